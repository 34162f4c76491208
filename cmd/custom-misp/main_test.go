package main

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"custom-misp/cmd/custom-misp/internal/wazuhtest"
)

// TestMain runs many tests at a time: most of them wait for time-outs. -parallel on the command line counts.
func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	testscript.Main(cleaning{m}, map[string]func(){
		"custom-misp": func() {
			os.Exit(run(context.Background(), os.Args, os.Stdin, os.Stdout, os.Stderr))
		},
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
		Setup: func(env *testscript.Env) error {
			env.Setenv("ROOT", root)
			return nil
		},
	})
}
