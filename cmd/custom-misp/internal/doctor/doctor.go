// Package doctor checks an installation from end to end and says what is wrong and what corrects it. It changes nothing
// and sends nothing to Wazuh.
package doctor

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/cmd/custom-misp/internal/config"
	"custom-misp/cmd/custom-misp/internal/manager"
)

// A Finding is the result of one check. Its fields are a promise to those who read the JSON.
type Finding struct {
	Check  string `json:"check"` // id of the check
	Status Status `json:"status"`
	Found  string `json:"found"`  // one line, never with a secret in it
	Remedy string `json:"remedy"` // a command where there is one, else a sentence; empty if nothing is to be done
	// Server is which of several MISP servers the finding is about.
	Server string `json:"server,omitempty"`
	// Command is set if the remedy is a command for a shell of root.
	Command bool `json:"command,omitempty"`
}

// A Status says how bad a finding is.
type Status string

// The values of a status.
const (
	StatusOK      Status = "ok"
	StatusWarning Status = "warning" // works, but not well or not for long
	StatusProblem Status = "problem" // look-ups fail, or get lost
	StatusSkipped Status = "skipped" // nothing was checked, and Found says why
)

func good(format string, args ...any) Finding {
	return Finding{Status: StatusOK, Found: fmt.Sprintf(format, args...)}
}

func warning(remedy, format string, args ...any) Finding {
	return Finding{Status: StatusWarning, Found: fmt.Sprintf(format, args...), Remedy: remedy}
}

func problem(remedy, format string, args ...any) Finding {
	return Finding{Status: StatusProblem, Found: fmt.Sprintf(format, args...), Remedy: remedy}
}

func skipped(format string, args ...any) Finding {
	return Finding{Status: StatusSkipped, Found: fmt.Sprintf(format, args...)}
}

// problemOf turns an error into a problem. In our errors, what to do stands after a semicolon.
func problemOf(err error, otherwise string) Finding {
	found, remedy, ok := strings.Cut(err.Error(), "; ")
	if !ok {
		remedy = otherwise
	}
	return problem(remedy, "%s", found)
}

// A check looks at one part of an installation. A finding that names no check of its own gets the check's id.
type check struct {
	id    string
	wazuh bool // needs Wazuh's directory
	run   func(*examination, context.Context) []Finding
}

// checks are all of them, in the order in which an alert meets what they look at.
func checks() []check {
	return []check{
		{"wazuh", false, (*examination).checkWazuh},
		{"program", true, (*examination).checkProgram},
		{"rights", true, (*examination).checkRights},
		{"integration", true, (*examination).checkIntegration},
		{"rules", true, (*examination).checkRules},
		{"enabled", true, (*examination).checkEnabled},
		{"output", true, (*examination).checkOutput},
		{"daemons", true, (*examination).checkDaemons},
		{"queue", true, (*examination).checkQueue},
		{"restart", true, (*examination).checkRestart},
		{"configuration", false, (*examination).checkConfiguration},
		{"key", false, (*examination).checkKey},
		{"mappings", false, (*examination).checkMappings},
		{"log", true, (*examination).checkLog},
		{"state", true, (*examination).checkState},
		{"serve", true, (*examination).checkDaemon},
		{"history", true, (*examination).checkHistory},
		{"effect", false, (*examination).checkEffect},
		{"misp", false, (*examination).checkMISP},
	}
}

// An examination is what the checks look at.
type examination struct {
	*manager.Installation
	config    *config.Config
	configErr error // why config is not complete
	buildErr  error // what keeps a call from building its chain
	rules     []ruleFile

	root     uint32            // who has to own the program: 0, but in tests
	now      func() time.Time  // clock
	systemd  bool              // systemd runs, and not a container's first process
	readOnly func(string) bool // a path is on a file system that cannot be written to
	comm     func(int) string  // the name of a process, cut to 15 characters; empty if there is none
}

// Examine runs all checks on an installation and the configuration that integratord's calls have there. It does not stop
// at a problem: the next one may be another.
func Examine(ctx context.Context, i *manager.Installation, configFile string) []Finding {
	x := newExamination(i)
	x.config, x.configErr = i.Config(configFile, config.Flags{})
	return x.examine(ctx)
}

func newExamination(i *manager.Installation) *examination {
	return &examination{Installation: i, now: time.Now, systemd: systemdRuns(), readOnly: onReadOnly, comm: commOf}
}

func (i *examination) examine(ctx context.Context) []Finding {
	a, err := app.Build(i.config, app.Hooks{})
	if a != nil {
		a.Close()
	}
	i.buildErr = err
	findings := []Finding{}
	for _, c := range checks() {
		found := []Finding{skipped("there is no Wazuh to look at")}
		if !c.wazuh || i.HomeErr == nil {
			found = c.run(i, ctx)
		}
		for _, f := range found {
			if f.Check == "" {
				f.Check = c.id
			}
			findings = append(findings, i.finished(f))
		}
	}
	return append(findings, i.unsaid(findings)...)
}

// finished returns a finding as it is shown.
func (i *examination) finished(f Finding) Finding {
	if verb, ok := strings.CutPrefix(f.Remedy, "see custom-misp "); ok {
		f.Remedy = i.command(verb)
	}
	f.Found, f.Remedy = cli.Clean(f.Found), cli.Clean(i.possible(f.Remedy))
	f.Command = isCommand(f.Remedy)
	return f
}

// unsaid returns what keeps a call from building its chain, where no check has said so.
func (i *examination) unsaid(said []Finding) []Finding {
	if i.configErr != nil || i.buildErr == nil {
		return nil // a configuration that cannot be read is what its check says
	}
	var more []Finding
	for _, line := range cli.Lines(i.buildErr) {
		found, remedy, _ := strings.Cut(strings.TrimPrefix(line, "custom-misp: "), "; ")
		if !slices.ContainsFunc(said, func(f Finding) bool { return f.Status == StatusProblem && strings.Contains(f.Found, found) }) {
			more = append(more, i.finished(Finding{Check: "configuration", Status: StatusProblem, Found: found, Remedy: remedy}))
		}
	}
	return more
}

// HasProblem reports whether one of the findings is a problem.
func HasProblem(findings []Finding) bool { return countStatus(findings, StatusProblem) > 0 }

// Print writes the findings for people, with a summary.
func Print(w io.Writer, findings []Finding) {
	for _, f := range findings {
		fmt.Fprintf(w, "%-8s %-13s %s\n", f.Status, f.Check, cli.Clean(f.Found))
		if f.Remedy != "" {
			fmt.Fprintf(w, "%-8s %-13s → %s\n", "", "", cli.Clean(f.Remedy))
		}
	}
	problems, warnings := countStatus(findings, StatusProblem), countStatus(findings, StatusWarning)
	summary := "nothing is wrong"
	switch {
	case problems > 0 && warnings > 0:
		summary = cli.Plural(problems, "problem") + " and " + cli.Plural(warnings, "warning")
	case problems > 0:
		summary = cli.Plural(problems, "problem")
	case warnings > 0:
		summary = "no problem, " + cli.Plural(warnings, "warning")
	}
	fmt.Fprintf(w, "%s; %d ok, %d skipped\n", summary, countStatus(findings, StatusOK), countStatus(findings, StatusSkipped))
}

func countStatus(findings []Finding, s Status) int {
	n := 0
	for _, f := range findings {
		if f.Status == s {
			n++
		}
	}
	return n
}

// shownTime says how long something took, or how far times are apart, to what matters of it.
func shownTime(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return "less than 1ms"
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}
