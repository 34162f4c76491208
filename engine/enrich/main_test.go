package enrich_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// TestMain fails the package if a test leaves a goroutine behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// long reports whether tests that gain by it are to run for long.
func long() bool { return os.Getenv("LONG_TESTS") != "" }
