package epochs

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/logfiles"
)

// model is a log as a list of the epoch of each offset from start on, and the entries that a look at all of it would give.
type model struct {
	start  ids.Offset
	epochs []ids.LeaderEpoch
}

func (m *model) end() ids.Offset { return m.start + ids.Offset(len(m.epochs)) }

func (m *model) entries() (out []logfiles.EpochStart) {
	last := ids.NoLeaderEpoch
	for i, e := range m.epochs {
		if e != last {
			out = append(out, logfiles.EpochStart{Epoch: e, Start: m.start + ids.Offset(i)})
			last = e
		}
	}
	return out
}

// endOffset is KIP-279's answer: the largest epoch of a batch that is not above the asked one, and where the next one begins.
func (m *model) endOffset(asked ids.LeaderEpoch) (ids.LeaderEpoch, ids.Offset) {
	if len(m.epochs) == 0 || asked < 0 || asked > m.epochs[len(m.epochs)-1] {
		return ids.NoLeaderEpoch, -1
	}
	n, _ := slices.BinarySearch(m.epochs, asked+1)
	if n == 0 {
		return asked, m.start
	}
	return m.epochs[n-1], m.start + ids.Offset(n)
}

// TestAgainstModel: appends, and truncations of both ends, leave what the batches that are left say.
func TestAgainstModel(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		var c Cache
		var m model
		epoch := ids.LeaderEpoch(0)
		for step := range 60 {
			switch random.IntN(8) {
			case 0:
				end := m.start + ids.Offset(random.IntN(len(m.epochs)+1))
				c.TruncateEnd(end)
				m.epochs = m.epochs[:end-m.start]
			case 1:
				if len(m.epochs) == 0 {
					continue
				}
				n := random.IntN(len(m.epochs))
				m.epochs, m.start = m.epochs[n:], m.start+ids.Offset(n)
				c.TruncateStart(m.start)
			case 2:
				epoch += ids.LeaderEpoch(random.IntN(3))
			default:
				c.Assign(epoch, m.end())
				for range 1 + random.IntN(3) {
					m.epochs = append(m.epochs, epoch)
				}
			}
			got, _ := c.Snapshot()
			if want := m.entries(); !slices.Equal(got, want) {
				t.Fatalf("seed %d, step %d: %v, want %v", seed, step, got, want)
			}
			for asked := ids.LeaderEpoch(-1); asked < epoch+2; asked++ {
				e, at := c.EndOffset(asked, m.end())
				if we, wat := m.endOffset(asked); e != we || at != wat {
					t.Fatalf("seed %d, step %d: epoch %d of %v ends as (%d, %d), want (%d, %d)", seed, step, asked, got, e, at, we, wat)
				}
			}
			for i, want := range m.epochs {
				if e := c.At(m.start + ids.Offset(i)); e != want {
					t.Fatalf("seed %d, step %d: offset %d has epoch %d, want %d", seed, step, m.start+ids.Offset(i), e, want)
				}
			}
			if e := c.At(m.start - 1); e != ids.NoLeaderEpoch {
				t.Fatalf("seed %d, step %d: epoch %d before the start", seed, step, e)
			}
		}
	}
}

// TestDirty: the file lags behind until what it holds is what there is.
func TestDirty(t *testing.T) {
	var c Cache
	c.Load([]logfiles.EpochStart{{Epoch: 1, Start: 0}, {Epoch: 2, Start: 10}})
	if _, dirty := c.Snapshot(); dirty {
		t.Error("what was loaded is not in the file")
	}
	c.Assign(3, 20)
	before, dirty := c.Snapshot()
	if !dirty {
		t.Error("a new epoch is in the file before it was written")
	}
	c.Assign(4, 30)
	c.Written(before)
	if _, dirty := c.Snapshot(); !dirty {
		t.Error("what came while the file was written is taken to be in it")
	}
	now, _ := c.Snapshot()
	c.Written(now)
	if _, dirty := c.Snapshot(); dirty {
		t.Error("the file holds it all, and lags behind")
	}
	c.Assign(4, 40) // a batch more of the same epoch
	c.TruncateEnd(31)
	c.TruncateStart(0)
	if _, dirty := c.Snapshot(); dirty {
		t.Error("nothing has changed, and the file lags behind")
	}
	c.Replace(now[:1])
	if got, dirty := c.Snapshot(); !dirty || c.Latest() != 1 || len(got) != 1 {
		t.Errorf("after all were replaced: %v, lags behind: %v", got, dirty)
	}
}
