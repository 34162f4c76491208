package main

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"custom-misp/cmd/custom-misp/internal/wazuhtest"
	"custom-misp/engine/atomicfile"
)

// TestMain runs many tests at a time: most of them wait for time-outs. -parallel on the command line counts.
func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	testscript.Main(cleaning{m}, map[string]func(){
		"custom-misp": func() {
			slowDisk()
			main()
		},
	})
}

// syncTakes is set to the time that a sync of a file or a directory takes, in a program whose disk is slow.
const syncTakes = "TEST_SYNC_TAKES"

func slowDisk() {
	takes, err := time.ParseDuration(os.Getenv(syncTakes))
	if err != nil {
		return
	}
	atomicfile.TestOnlyHook(func(s atomicfile.Step, _ string) error {
		if s == atomicfile.StepSync || s == atomicfile.StepSyncDir {
			time.Sleep(takes)
		}
		return nil
	})
}

// cleaning removes the program that tests have built.
type cleaning struct{ *testing.M }

// Run implements testscript.TestingM.
func (c cleaning) Run() int {
	code := c.M.Run()
	wazuhtest.RemoveProgram()
	return code
}

// long reports whether the long runs of tests are wanted.
func long() bool { return os.Getenv("LONG_TESTS") != "" }

var update = flag.Bool("update", false, "rewrite the expected output in testdata")

// TestScripts runs the sessions in testdata, each of which reads like a terminal.
func TestScripts(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:           "testdata",
		UpdateScripts: *update,
		Cmds:          map[string]func(*testscript.TestScript, bool, []string){"flip": flip, "newer": newer},
		Setup: func(env *testscript.Env) error {
			env.Setenv("ROOT", root)
			return nil
		},
	})
}

// flip is a command of the scripts: it flips a bit in the middle of each named file.
func flip(ts *testscript.TestScript, _ bool, args []string) {
	for _, arg := range args {
		name := ts.MkAbs(arg)
		data, err := os.ReadFile(name)
		ts.Check(err)
		data[len(data)/2] ^= 1
		ts.Check(os.WriteFile(name, data, 0o600)) //nolint:gosec // a test
	}
}

// newer is a command of the scripts: it makes each named segment one of version 99.
func newer(ts *testscript.TestScript, _ bool, args []string) {
	for _, arg := range args {
		name := ts.MkAbs(arg)
		data, err := os.ReadFile(name)
		ts.Check(err)
		copy(data[6:], "99")
		copy(data[len(data)-2:], "99")
		ts.Check(os.WriteFile(name, data, 0o600)) //nolint:gosec // a test
	}
}
