package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"
)

func newDoctor(s streams, g *globalFlags) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check an installation and say what is wrong and what mends it",
		Long: `Walk an installation from end to end: Wazuh, the program's file, ossec.conf, rules, queue, configuration, key,
mappings, log, state, and MISP from its name to a search. The settings are those that integratord would give,
with what the <integration> block says.

Run it as root, or as the user wazuh. It changes nothing and sends nothing to Wazuh; MISP is asked for its version,
the role of the key's user, and one name that nobody has. Secrets are not printed.

Exit code 1 if there is a problem; warnings alone are good.`,
		Example: `  sudo /var/ossec/integrations/custom-misp doctor
  custom-misp doctor --home /var/ossec --output json`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			findings := readInstallation(*g).examine(cmd.Context())
			if output == "json" {
				if err := writeJSON(s.out, findings); err != nil {
					return err
				}
			} else {
				printFindings(s.out, findings)
			}
			if countStatus(findings, statusProblem) > 0 {
				return errSilent
			}
			return nil
		},
	}
	outputFlag(cmd, &output, "table", "table", "json")
	return cmd
}

// A finding is what one check has to say. Its fields are a promise to those who read the JSON.
type finding struct {
	Check  string `json:"check"` // id of the check
	Status status `json:"status"`
	Found  string `json:"found"`  // one line, never with a secret in it
	Remedy string `json:"remedy"` // a command where there is one, else a sentence; empty if nothing is to be done
}

// A status says how bad a finding is.
type status string

const (
	statusOK      status = "ok"
	statusWarning status = "warning" // works, but not well or not for long
	statusProblem status = "problem" // look-ups fail, or get lost
	statusSkipped status = "skipped" // nothing was checked, and Found says why
)

func good(format string, args ...any) finding {
	return finding{Status: statusOK, Found: fmt.Sprintf(format, args...)}
}

func warning(remedy, format string, args ...any) finding {
	return finding{Status: statusWarning, Found: fmt.Sprintf(format, args...), Remedy: remedy}
}

func problem(remedy, format string, args ...any) finding {
	return finding{Status: statusProblem, Found: fmt.Sprintf(format, args...), Remedy: remedy}
}

func skipped(format string, args ...any) finding {
	return finding{Status: statusSkipped, Found: fmt.Sprintf(format, args...)}
}

// problemOf turns an error into a problem. In our errors, what to do stands after a semicolon.
func problemOf(err error, otherwise string) finding {
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
	run   func(*installation, context.Context) []finding
}

// checks are all of them, in the order in which an alert meets what they look at.
func checks() []check {
	return []check{
		{"wazuh", false, (*installation).checkWazuh},
		{"program", true, (*installation).checkProgram},
		{"rights", true, (*installation).checkRights},
		{"integration", true, (*installation).checkIntegration},
		{"rules", true, (*installation).checkRules},
		{"queue", true, (*installation).checkQueue},
		{"restart", true, (*installation).checkRestart},
		{"configuration", false, (*installation).checkConfiguration},
		{"key", false, (*installation).checkKey},
		{"mappings", false, (*installation).checkMappings},
		{"log", true, (*installation).checkLog},
		{"state", true, (*installation).checkState},
		{"serve", true, (*installation).checkResident},
		{"misp", false, (*installation).checkMISP},
	}
}

// examine runs all checks. It does not stop at a problem: the next one may be another.
func (i *installation) examine(ctx context.Context) []finding {
	findings := []finding{}
	for _, c := range checks() {
		found := []finding{skipped("there is no Wazuh to look at")}
		if !c.wazuh || i.open {
			found = c.run(i, ctx)
		}
		for _, f := range found {
			if f.Check == "" {
				f.Check = c.id
			}
			f.Found, f.Remedy = oneLine(f.Found), oneLine(f.Remedy)
			findings = append(findings, f)
		}
	}
	return findings
}

// oneLine makes a text fit for a terminal: parts of it come from files and from servers.
func oneLine(s string) string {
	return strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)), " ")
}

func printFindings(w io.Writer, findings []finding) {
	for _, f := range findings {
		fmt.Fprintf(w, "%-8s %-13s %s\n", f.Status, f.Check, f.Found)
		if f.Remedy != "" {
			fmt.Fprintf(w, "%-8s %-13s → %s\n", "", "", f.Remedy)
		}
	}
	problems, warnings := countStatus(findings, statusProblem), countStatus(findings, statusWarning)
	summary := "nothing is wrong"
	switch {
	case problems > 0 && warnings > 0:
		summary = plural(problems, "problem") + " and " + plural(warnings, "warning")
	case problems > 0:
		summary = plural(problems, "problem")
	case warnings > 0:
		summary = "no problem, " + plural(warnings, "warning")
	}
	fmt.Fprintf(w, "%s; %d ok, %d skipped\n", summary, countStatus(findings, statusOK), countStatus(findings, statusSkipped))
}

func countStatus(findings []finding, s status) int {
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
