package mirror

import (
	"flag"
	"testing"

	"go.uber.org/goleak"
)

// TestMain fails the package if a test leaves a goroutine behind. Random tests sync a MISP, so they try less often than
// usual; -rapid.checks has them try more.
func TestMain(m *testing.M) {
	_ = flag.Set("rapid.checks", "40")
	goleak.VerifyTestMain(m)
}
