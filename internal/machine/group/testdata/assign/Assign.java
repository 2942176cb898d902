import java.util.*;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.coordinator.group.api.assignor.*;
import org.apache.kafka.coordinator.group.assignor.*;

public class Assign {
    static class Member { String id, instance; TreeSet<Integer> topics = new TreeSet<>(); TreeMap<Integer, TreeSet<Integer>> before = new TreeMap<>(); }
    static Uuid uuid(int n) { return new Uuid(0, n); }
    static Random rng;
    static TreeMap<Integer,Integer> topics = new TreeMap<>();
    static LinkedHashMap<String, Member> members = new LinkedHashMap<>();

    static Map<String, TreeMap<Integer, TreeSet<Integer>>> run(String name) {
        Map<Uuid, Map<Integer, String>> inverted = new HashMap<>();
        boolean same = true;
        Set<Integer> first = members.isEmpty() ? Set.of() : members.values().iterator().next().topics;
        for (Member m : members.values()) {
            if (!m.topics.equals(first)) same = false;
            m.before.forEach((t, ps) -> ps.forEach(p -> inverted.computeIfAbsent(uuid(t), k -> new HashMap<>()).put(p, m.id)));
        }
        final SubscriptionType type = same ? SubscriptionType.HOMOGENEOUS : SubscriptionType.HETEROGENEOUS;
        GroupSpec spec = new GroupSpec() {
            public Collection<String> memberIds() { return members.keySet(); }
            public SubscriptionType subscriptionType() { return type; }
            public boolean isPartitionAssigned(Uuid t, int p) { Map<Integer,String> m = inverted.get(t); return m != null && m.containsKey(p); }
            public boolean isPartitionAssignable(Uuid t, int p) { return true; }
            public MemberSubscription memberSubscription(String id) {
                Member m = members.get(id);
                return new MemberSubscription() {
                    public Optional<String> rackId() { return Optional.empty(); }
                    public Optional<String> instanceId() { return Optional.ofNullable(m.instance); }
                    public Set<Uuid> subscribedTopicIds() { Set<Uuid> s = new LinkedHashSet<>(); m.topics.forEach(t -> s.add(uuid(t))); return s; }
                };
            }
            public MemberAssignment memberAssignment(String id) {
                Map<Uuid, Set<Integer>> a = new LinkedHashMap<>();
                members.get(id).before.forEach((t, ps) -> a.put(uuid(t), ps));
                Map<Uuid, Set<Integer>> u = Collections.unmodifiableMap(a);
                return () -> u;
            }
        };
        SubscribedTopicDescriber d = new SubscribedTopicDescriber() {
            public int numPartitions(Uuid t) { return topics.getOrDefault((int) t.getLeastSignificantBits(), -1); }
            public Set<String> racksForPartition(Uuid t, int p) { return Set.of(); }
            public Set<Integer> assignablePartitions(Uuid t) { Set<Integer> s = new TreeSet<>(); for (int i = 0; i < numPartitions(t); i++) s.add(i); return s; }
        };
        PartitionAssignor assignor = name.equals("uniform") ? new UniformAssignor() : new RangeAssignor();
        GroupAssignment got = assignor.assign(spec, d);
        Map<String, TreeMap<Integer, TreeSet<Integer>>> out = new LinkedHashMap<>();
        for (String id : members.keySet()) {
            TreeMap<Integer, TreeSet<Integer>> mine = new TreeMap<>();
            MemberAssignment a = got.members().get(id);
            if (a != null) a.partitions().forEach((t, ps) -> { if (!ps.isEmpty()) mine.put((int) t.getLeastSignificantBits(), new TreeSet<>(ps)); });
            out.put(id, mine);
        }
        return out;
    }
    static String show(TreeMap<Integer, TreeSet<Integer>> a) {
        StringJoiner j = new StringJoiner(";");
        a.forEach((t, ps) -> { StringJoiner k = new StringJoiner(","); ps.forEach(p -> k.add("" + p)); j.add(t + ":" + k); });
        return j.toString();
    }
    public static void main(String[] args) {
        int cases = Integer.parseInt(args[0]);
        for (int seed = 0; seed < cases; seed++) {
            rng = new Random(seed);
            topics.clear(); members.clear();
            String name = seed % 4 == 3 ? "range" : "uniform";
            boolean same = rng.nextInt(3) == 0;
            int nTopics = 1 + rng.nextInt(6);
            for (int t = 1; t <= nTopics; t++) topics.put(t, 1 + rng.nextInt(8));
            TreeSet<String> ids = new TreeSet<>();
            int n = 1 + rng.nextInt(8);
            while (ids.size() < n) ids.add("m" + (char) ('a' + rng.nextInt(26)));
            for (String id : ids) add(id, same);
            // Three steps: assign, then somebody comes, goes, subscribes to something else, or a topic grows.
            for (int step = 0; step < 3; step++) {
                var out = run(name);
                System.out.println("case " + name + " seed=" + seed + " step=" + step);
                topics.forEach((t, c) -> System.out.println("topic " + t + " " + c));
                for (Member m : members.values()) {
                    StringJoiner k = new StringJoiner(","); m.topics.forEach(t -> k.add("" + t));
                    System.out.println("member " + m.id + " static=" + (m.instance == null ? "" : m.instance) + " topics=" + k + " before=" + show(m.before) + " after=" + show(out.get(m.id)));
                }
                for (Member m : members.values()) m.before = out.get(m.id);
                switch (rng.nextInt(4)) {
                    case 0 -> { if (members.size() > 1) { var list = new ArrayList<>(members.keySet()); members.remove(list.get(rng.nextInt(list.size()))); } }
                    case 1 -> { String id = "m" + (char) ('a' + rng.nextInt(26)); if (!members.containsKey(id)) { add(id, same); var sorted = new TreeMap<>(members); members.clear(); members.putAll(sorted); } }
                    case 2 -> { int t = 1 + rng.nextInt(nTopics); topics.put(t, topics.get(t) + 1 + rng.nextInt(3)); }
                    case 3 -> { for (Member m : members.values()) if (same || rng.nextInt(3) == 0) subscribe(m, same); }
                }
            }
        }
    }
    static TreeSet<Integer> all = new TreeSet<>();
    static void add(String id, boolean same) {
        Member m = new Member(); m.id = id;
        if (rng.nextInt(4) == 0) m.instance = "i" + rng.nextInt(100) + id;
        subscribe(m, same);
        members.put(id, m);
    }
    static void subscribe(Member m, boolean same) {
        m.topics.clear();
        for (int t : topics.keySet()) if (same || rng.nextInt(2) == 0) m.topics.add(t);
    }
}
