package groups

import (
	"context"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/ottla-io/ottla/test/broker"
)

// TestFranzGroupETL runs franz-go's own test of groups: chains of groups with each balancer, of both protocols and with static members,
// that copy records while members join and leave. No record may come twice or out of order, and none may be missing.
func TestFranzGroupETL(t *testing.T) {
	b, err := broker.Start(broker.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Kill()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "test", "github.com/twmb/franz-go/pkg/kgo", "-run", "^TestGroupETL$", "-count=1", "-v")
	cmd.Dir = broker.ModuleDir()
	cmd.Env = append(os.Environ(), "KGO_SEEDS="+b.Addr(), "KGO_TEST_RF=1", "KGO_TEST_RECORDS=50000", "KGO_LOG_LEVEL=none")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s\nthe broker said, at the end: %s", err, tail(string(out)), tail(b.Output()))
	}
}
