package config

import "slices"

type key struct {
	scope Scope
	name  string
}

// row is a setting with its default parsed.
type row struct {
	Setting
	value Value
}

type table struct {
	order  []*row
	byName map[key]*row
}

// settings is built once and never changes.
var settings = newTable()

func newTable() *table {
	t := &table{byName: map[key]*row{}}
	riskOfDefault := map[string]Risk{}
	add := func(s Setting) {
		if _, ok := t.byName[key{s.Scope, s.Name}]; ok {
			panic("config: two rows for " + s.Name)
		}
		r := &row{Setting: s, value: s.defaultValue()}
		t.order = append(t.order, r)
		t.byName[key{s.Scope, s.Name}] = r
	}
	for _, s := range topicSettings {
		s.Scope, s.Dynamic, s.Risk = Topic, true, risks[s.Name]
		for _, synonym := range s.Synonyms {
			if synonym.Factor == 1 {
				riskOfDefault[synonym.Name] = s.Risk
			}
		}
		add(s)
	}
	for _, s := range groupSettings {
		s.Scope, s.Dynamic = Group, true
		add(s)
	}
	for _, s := range clientMetricsSettings {
		s.Scope, s.Dynamic = ClientMetrics, true
		add(s)
	}
	for _, s := range slices.Concat(brokerSettings, groupBrokerSettings, telemetrySettings) {
		s.Scope, s.Risk = Broker, riskOfDefault[s.Name]
		add(s)
	}
	for _, s := range topicSettings {
		for _, synonym := range s.Synonyms {
			if synonym.Factor != 1 || t.byName[key{Broker, synonym.Name}] != nil {
				continue
			}
			derived := s
			derived.Name, derived.Scope, derived.Dynamic, derived.Synonyms, derived.Risk = synonym.Name, Broker, true, nil, risks[s.Name]
			derived.Doc = "Default of topics' " + s.Name + ": " + s.Doc
			add(derived)
		}
	}
	for _, group := range meaninglessSettings {
		for _, s := range group.settings {
			if t.byName[key{Broker, s.Name}] != nil {
				continue
			}
			s.Scope, s.Inert, s.Unsupported, s.Doc = Broker, true, group.unsupported, group.doc
			add(s)
		}
	}
	return t
}

// Lookup finds a setting.
func Lookup(scope Scope, name string) (Setting, bool) {
	r, ok := settings.byName[key{scope, name}]
	if !ok {
		return Setting{}, false
	}
	return r.Setting, true
}

// All lists the settings of a scope, in the order of the table. Callers own the result.
func All(scope Scope) []Setting {
	var all []Setting
	for _, r := range settings.order {
		if r.Scope == scope {
			all = append(all, r.Setting)
		}
	}
	return all
}

// Nearest is the setting of that scope whose name is most like name, or "" if none is near enough to be meant.
func Nearest(scope Scope, name string) string {
	names := make([]string, 0, len(settings.order))
	for _, r := range settings.order {
		if r.Scope == scope && !r.Internal {
			names = append(names, r.Name)
		}
	}
	return NearestOf(name, names)
}

// NearestOf is the candidate with the smallest edit distance to name, "" if even that differs by more than four edits or a third of it.
func NearestOf(name string, candidates []string) string {
	best, least := "", min(len(name)/3, 4)+1
	if len(name) > 256 {
		return "" // nobody mistypes that much, and the work is quadratic
	}
	for _, candidate := range candidates {
		if d := distance(name, candidate); d < least {
			best, least = candidate, d
		}
	}
	return best
}

// distance is the Levenshtein distance, in bytes, with a swap of neighbours counted as one edit.
func distance(a, b string) int {
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	row := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := last[j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			row[j] = min(change, last[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}

// sortedNames are a layer's names in order.
func sortedNames(layer map[string]string) []string {
	names := make([]string, 0, len(layer))
	for name := range layer {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
