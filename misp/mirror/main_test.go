package mirror

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"testing"

	"go.uber.org/goleak"
)

// longTests is the environment variable that makes the tests of kills and of random changes run as long as they can
// (value 1). Without it they try the same, less often.
const longTests = "LONG_TESTS"

// times returns how often a test tries.
func times(usual, long int) int {
	if os.Getenv(longTests) == "1" {
		return long
	}
	return usual
}

// TestMain fails the package if a test leaves a goroutine or a mapped file behind. Random tests sync a MISP, so they
// try less often than is usual for rapid; -rapid.checks makes them try more.
func TestMain(m *testing.M) {
	_ = flag.Set("rapid.checks", strconv.Itoa(times(20, 30)))
	goleak.VerifyTestMain(closing{m})
}

// closing runs the tests, removes what benchmarks have left, and looks for files that are still mapped.
type closing struct{ *testing.M }

func (c closing) Run() int {
	code := c.M.Run()
	for _, dir := range bench.dir {
		_ = os.RemoveAll(dir)
	}
	opened.Lock()
	defer opened.Unlock()
	if n := len(opened.segments); n > 0 && code == 0 {
		fmt.Fprintf(os.Stderr, "%d segments are still mapped: a test, or the package, did not release them\n", n)
		code = 1
	}
	return code
}
