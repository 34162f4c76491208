// Package cli holds the rules for what every verb prints and how it ends.
//
// Results go to standard output, and nothing else does. Errors go to standard error, one line each:
// "FILE:LINE:COLUMN: …" where there is a file, "custom-misp: …" otherwise, lower case, no full stop, with what to do
// about it after a semicolon. Texts from alerts, files and servers pass [Clean] before they reach a terminal.
//
// A verb returns its error, and [Report] prints it and decides the exit code: [WrongUse] for what the user can correct on
// the command line or in the configuration, [ErrReported] where the findings have been printed already. [Lines] says what
// becomes of an error that holds several. log.go is the form of the log, which follows the same rules.
package cli

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"custom-misp/engine/yamlfile"
)

// Exit codes.
const (
	ExitOK       = 0
	ExitFailure  = 1 // findings, or something failed
	ExitWrongUse = 2 // the command line or the configuration is wrong
	// ExitInterrupted is that of a verb that SIGINT or SIGTERM has ended; 128 and the number of SIGINT, as shells have it.
	ExitInterrupted = 130
)

// Streams are what a verb reads and writes.
type Streams struct {
	In  io.Reader
	Out io.Writer
	Err io.Writer
}

// ErrReported ends a verb that has already printed its findings, with exit code 1.
var ErrReported = errors.New("findings")

// WrongUse is an error that the user can correct on the command line or in the configuration. It ends the program
// with exit code 2.
type WrongUse struct{ Err error }

// Error implements error.
func (w WrongUse) Error() string { return w.Err.Error() }

// Unwrap returns what is wrong.
func (w WrongUse) Unwrap() error { return w.Err }

// WrongUsef returns a [WrongUse] with a text as of fmt.Errorf.
func WrongUsef(format string, args ...any) error { return WrongUse{fmt.Errorf(format, args...)} }

// Report writes err, if any, and returns the exit code.
func Report(stderr io.Writer, err error) int {
	switch {
	case err == nil:
		return ExitOK
	case errors.Is(err, ErrReported):
		return ExitFailure
	}
	for _, line := range Lines(err) {
		fmt.Fprintln(stderr, line)
	}
	if _, ok := errors.AsType[WrongUse](err); ok {
		return ExitWrongUse
	}
	return ExitFailure
}

// Lines returns an error as it is printed: one line for each fault in it.
func Lines(err error) []string {
	var lines []string
	switch e := err.(type) { //nolint:errorlint // what is wrapped is taken apart below
	case yamlfile.Faults:
		for _, f := range e {
			lines = append(lines, Clean(f.Error()))
		}
		return lines
	case WrongUse:
		return Lines(e.Err)
	case interface{ Unwrap() []error }:
		if isJoined(err, e.Unwrap()) {
			for _, part := range e.Unwrap() {
				lines = append(lines, Lines(part)...)
			}
			return lines
		}
	}
	for line := range strings.Lines(err.Error()) {
		lines = append(lines, "custom-misp: "+Clean(strings.TrimSuffix(line, "\n")))
	}
	return lines
}

// isJoined reports whether err is of errors.Join, and not a sentence with several errors in it.
func isJoined(err error, parts []error) bool {
	texts := make([]string, len(parts))
	for i, p := range parts {
		texts[i] = p.Error()
	}
	return strings.Join(texts, "\n") == err.Error()
}
