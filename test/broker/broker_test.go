package broker

import (
	"testing"
)

// The harness itself: a broker starts, is killed, starts again, stops cleanly.
func TestLifecycle(t *testing.T) {
	b, err := Start(Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Kill()
	b.Kill()
	if err := Probe(b.Addr(), 1e9); err == nil {
		t.Fatal("a killed broker answers")
	}
	if err := b.Restart(); err != nil {
		t.Fatal(err)
	}
	if err := b.Stop(); err != nil {
		t.Fatal(err)
	}
}
