// Command custom-misp puts an organisation's own MISP intelligence into Wazuh alerts. Wazuh's integratord starts
// it for an alert; people use its verbs.
//
// This file holds the rules for what the program prints and how it ends. Results go to standard output, and
// nothing else does. Errors go to standard error, one line each: "FILE:LINE:COLUMN: …" where there is a file,
// "custom-misp: …" otherwise, lower case, no full stop, with what to do about it after a semicolon. The exit
// code is 0 for good, 1 for findings or failures, 2 for wrong use, which a wrong configuration is.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"custom-misp/engine/wazuh"
	"custom-misp/engine/yamlfile"
)

const (
	exitGood     = 0
	exitFailure  = 1
	exitWrongUse = 2
)

func main() {
	log.SetOutput(io.Discard) // where net/http tells of servers that do not keep to the protocol; we tell it ourselves
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args, os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the whole program but for the process around it. argv includes the program name.
func run(ctx context.Context, argv []string, stdin io.Reader, stdout, stderr io.Writer) int {
	global, rest := splitGlobal(argv[1:])
	if isCall(argv[0], rest) {
		return report(stderr, serveCall(ctx, global, rest, stderr))
	}
	root := newRoot(streams{stdin, stdout, stderr})
	root.SetArgs(argv[1:])
	return report(stderr, root.ExecuteContext(ctx))
}

// report writes err, if any, and returns the exit code.
func report(stderr io.Writer, err error) int {
	switch {
	case err == nil:
		return exitGood
	case errors.Is(err, errSilent):
		return exitFailure
	}
	if faults, ok := errors.AsType[yamlfile.Faults](err); ok {
		for _, f := range faults {
			fmt.Fprintln(stderr, f.Error())
		}
	} else {
		for line := range strings.Lines(err.Error()) {
			fmt.Fprintln(stderr, "custom-misp: "+strings.TrimSuffix(line, "\n"))
		}
	}
	if _, ok := errors.AsType[wrongUse](err); ok {
		return exitWrongUse
	}
	return exitFailure
}

// errSilent ends a verb that has already said what there is to say with exit code 1.
var errSilent = errors.New("findings")

// wrongUse is an error that the person who called can mend on the command line or in the configuration.
type wrongUse struct{ err error }

func (w wrongUse) Error() string { return w.err.Error() }
func (w wrongUse) Unwrap() error { return w.err }

func wrongUsef(format string, args ...any) error { return wrongUse{fmt.Errorf(format, args...)} }

// streams are what a verb reads and writes.
type streams struct {
	in  io.Reader
	out io.Writer
	err io.Writer
}

// globalFlags may stand anywhere on a command line, also on one of integratord's, for trying it by hand.
type globalFlags struct {
	home   string
	config string
}

// splitGlobal takes the global flags out of args.
func splitGlobal(args []string) (globalFlags, []string) {
	var g globalFlags
	rest := make([]string, 0, len(args))
	for i := 0; i < len(args); i++ {
		for name, to := range map[string]*string{"--home": &g.home, "--config": &g.config} {
			if v, ok := strings.CutPrefix(args[i], name+"="); ok {
				*to = v
				goto next
			}
			if args[i] == name && i+1 < len(args) {
				i++
				*to = args[i]
				goto next
			}
		}
		rest = append(rest, args[i])
	next:
	}
	return g, rest
}

// isCall reports whether the command line is integratord's: it starts every integration under one name, and its
// first argument is a file, or empty when that could not be written. A word that is neither a verb nor a file is a
// verb misspelt, and a line with flags is a person's.
func isCall(program string, args []string) bool {
	if filepath.Base(program) == wazuh.ProgramName {
		return true
	}
	if len(args) == 0 || strings.HasPrefix(args[0], "-") || slices.Contains(verbs(), args[0]) {
		return false
	}
	if slices.ContainsFunc(args, func(a string) bool { return strings.HasPrefix(a, "-") }) {
		return false // integratord passes no flags
	}
	if args[0] == "" || strings.ContainsAny(args[0], `/.`) {
		return true
	}
	_, err := os.Stat(args[0])
	return err == nil
}

func verbs() []string {
	names := []string{"help", "completion", cobra.ShellCompRequestCmd, cobra.ShellCompNoDescRequestCmd}
	for _, c := range newRoot(streams{}).Commands() {
		names = append(names, c.Name())
	}
	return names
}
