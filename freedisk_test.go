package ottla

import (
	"bytes"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/ottla-io/ottla/internal/vfs"
	"github.com/ottla-io/ottla/internal/wire"
)

// takeAll leaves not a byte of the disk, as another program would.
func takeAll(t *testing.T, mem *vfs.Mem) {
	t.Helper()
	f, err := mem.Create("foreign")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	at := int64(0)
	for chunk := 1 << 16; chunk > 0; {
		n, err := f.WriteAt(bytes.Repeat([]byte{1}, chunk), at)
		at += int64(n)
		if err != nil {
			chunk /= 2
		}
	}
}

// TestFullDiskIsFreedByClients: with not a byte left, each of the requests that make room succeeds and makes room, also after a start on the full disk.
func TestFullDiskIsFreedByClients(t *testing.T) {
	ways := map[string]func(s session) wire.ErrorCode{
		"DeleteTopics": func(s session) wire.ErrorCode { return s.remove("big") },
		"DeleteRecords": func(s session) wire.ErrorCode {
			req := &wire.DeleteRecordsRequest{TimeoutMs: 30_000, Topics: []wire.DeleteRecordsRequestDeleteRecordsTopic{{
				Name: "big", Partitions: []wire.DeleteRecordsRequestDeleteRecordsPartition{{Offset: -1}}}}}
			var resp wire.DeleteRecordsResponse
			s.must(s.do(wire.DeleteRecordsKey, 2, req, &resp))
			return resp.Topics[0].Partitions[0].ErrorCode
		},
		"lower retention": func(s session) wire.ErrorCode {
			value := wire.SomeString("1")
			req := &wire.IncrementalAlterConfigsRequest{Resources: []wire.IncrementalAlterConfigsRequestAlterConfigsResource{{
				ResourceType: 2, ResourceName: "big", Configs: []wire.IncrementalAlterConfigsRequestAlterableConfig{{Name: "retention.ms", Value: value}}}}}
			var resp wire.IncrementalAlterConfigsResponse
			s.must(s.do(wire.IncrementalAlterConfigsKey, 1, req, &resp))
			return resp.Responses[0].ErrorCode
		},
	}
	for name, free := range ways {
		for _, restart := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				mem := vfs.NewMem(1)
				mem.SetCapacity(8 << 20)
				d := startOnDisk(t, mem)
				s := d.connect(t)
				for _, topic := range []string{"big", "small"} {
					if code := s.create(topic, 1); code != wire.ErrorNone {
						t.Fatal(code.Name())
					}
				}
				for range 20 {
					if got := s.produce("big", 0, strings.Repeat("v", 100_000)); got.ErrorCode != wire.ErrorNone {
						t.Fatal(got.ErrorCode.Name())
					}
				}
				takeAll(t, mem)
				if got := s.produce("small", 0, strings.Repeat("v", 100_000)); got.ErrorCode != wire.ErrorKafkaStorageError {
					t.Fatalf("produce to a full disk: %s", got.ErrorCode.Name())
				}
				if restart {
					_ = d.stopNow() // its checkpoints may not find room
					d = startOnDisk(t, mem)
					s = d.connect(t)
				}
				if code := free(s); code != wire.ErrorNone {
					t.Fatalf("%s on a full disk: %s; logged: %q", name, code.Name(), d.log.with("level=ERROR"))
				}
				for deadline := time.Now().Add(10 * time.Second); ; {
					if got := s.produce("small", 0, strings.Repeat("v", 100_000)); got.ErrorCode == wire.ErrorNone {
						break
					} else if time.Now().After(deadline) {
						t.Fatalf("no room after %s: %s", name, got.ErrorMessage.Value)
					}
				}
				if _, usable, _ := mem.Space("data"); usable < 1<<20 {
					t.Errorf("%d bytes are free", usable)
				}
			})
		}
	}
}

// The reserve of a data directory that does not exist yet is that of the file system it will be on.
func TestReserveOfANewDirectory(t *testing.T) {
	dir := t.TempDir()
	want := reserveBytes(vfs.OS(), []string{dir})
	rooms := &oneRoom{FS: vfs.OS(), dir: dir}
	if got := reserveBytes(rooms, []string{dir + "/new/data"}); got != 1000 || want <= 0 {
		t.Errorf("a reserve of %d bytes, want 1000; of the real disk: %d", got, want)
	}
}

// oneRoom is a disk on which one directory exists, of a file system of 50,000 bytes.
type oneRoom struct {
	vfs.FS
	dir string
}

func (r *oneRoom) Space(dir string) (total, usable int64, err error) {
	if dir != r.dir {
		return 0, 0, fs.ErrNotExist
	}
	return 50_000, 50_000, nil
}
