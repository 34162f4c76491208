package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/engine/wazuh"
)

// checkIntegration reads the <integration> block as integratord does, which is not as one expects.
func (i *examination) checkIntegration(context.Context) []Finding {
	file := i.ConfFile()
	switch {
	case errors.Is(i.ConfErr, fs.ErrNotExist):
		return []Finding{problem("custom-misp doctor --home DIR, with the directory of a Wazuh manager for DIR", "%s is not there", file)}
	case errors.Is(i.ConfErr, fs.ErrPermission):
		return []Finding{problem("sudo "+i.command("doctor"), "this user must not read %s", file)}
	case i.ConfErr != nil && len(i.Blocks) == 0:
		return []Finding{problem(i.config.FromHome("bin/wazuh-analysisd")+" -t", "%s cannot be read to its end: %v", file, i.ConfErr)}
	case len(i.Blocks) == 0 && i.ConfErr == nil && app.ServeRuns(app.StateOf(i.config)) && i.config.Serve.Alerts != "":
		return []Finding{good("no block is needed: serve follows the alerts by itself")}
	case len(i.Blocks) == 0:
		return []Finding{i.noBlock()}
	}
	var findings []Finding
	for _, b := range i.Blocks {
		found := i.blockFaults(b)
		if len(found) == 0 {
			found = []Finding{good("line %d of %s: alerts of %s", b.Line, file, passed(b))}
		}
		findings = append(findings, found...)
	}
	if i.ConfErr != nil {
		findings = append(findings, warning(i.config.FromHome("bin/wazuh-analysisd")+" -t", "%s was not read to its end: %v", file, i.ConfErr))
	}
	if st, err := os.Stat(file); err == nil && st.Mode().Perm()&0o007 != 0 && slices.ContainsFunc(i.Blocks, func(b wazuh.Integration) bool { return b.Text("api_key") != "" }) {
		findings = append(findings, warning("chmod o= "+file, "%s holds the key for MISP and is open to everybody (mode %04o)", file, st.Mode().Perm()))
	}
	return findings
}

// noBlock says why no block is for the program.
func (i *examination) noBlock() Finding {
	name := filepath.Base(i.Program)
	for _, b := range i.Conf.Integrations {
		if given := b.Text("name"); strings.Contains(strings.ToLower(given), "misp") {
			return problem(fmt.Sprintf("write <name>%s</name> there, then: %s", name, restart),
				"line %d of %s names %q, which has to be %q: begin with custom-, be the name of the file, without blanks", b.Line, i.ConfFile(), given, name)
		}
	}
	return problem(fmt.Sprintf("cat examples/ossec.conf >> %s && %s", i.ConfFile(), restart),
		"%s has no <integration> with the name %s", i.ConfFile(), name)
}

// blockElements are the elements that integratord knows. Any other keeps it from starting.
var blockElements = []string{
	"name", "hook_url", "api_key", "level", "rule_id", "group", "event_location", "alert_format", "max_log", "options", "timeout", "retries",
}

// blockFaults says what is wrong with one block. No text of it is shown that may hold a key.
func (i *examination) blockFaults(b wazuh.Integration) []Finding {
	var findings []Finding
	report := func(remedy, format string, args ...any) {
		findings = append(findings, problem(remedy+", then: "+restart, format, args...))
	}
	groupLine := b.Line
	for _, e := range b.Elements {
		if e.Name == "group" {
			groupLine = e.Line
		}
		since := map[string]int{"options": 7, "timeout": 8, "retries": 8}[e.Name]
		switch {
		case !slices.Contains(blockElements, e.Name):
			report("take it out", "line %d: integratord does not know <%s>, and does not start with it", e.Line, e.Name)
		case since > 0 && !i.Since(4, since):
			report("take it out", "line %d: <%s> is for Wazuh 4.%d and later; integratord %s does not start with it", e.Line, e.Name, since, i.Version)
		}
		switch e.Name {
		case "level", "max_log", "timeout", "retries":
			if n, err := strconv.Atoi(e.Text); err != nil || n < 0 {
				report("write a plain number there, without blanks", "line %d: <%s> is not a number", e.Line, e.Name)
			}
		case "hook_url", "api_key":
			if strings.ContainsFunc(e.Text, unicode.IsSpace) {
				report("take the blanks out", "line %d: <%s> has a blank or line break in it, at which integratord cuts its command line", e.Line, e.Name)
			}
		}
	}
	if b.Text("alert_format") != "json" {
		report("write <alert_format>json</alert_format> into the block", "line %d: without <alert_format>json</alert_format> integratord hands over a text that is no alert", b.Line)
	}
	groups, stray := groupItems(b)
	if n := b.Count("group"); n > 1 {
		var all []string
		for _, e := range b.Elements {
			if e.Name == "group" {
				items, _ := groupItems(wazuh.Integration{Elements: []wazuh.Element{e}})
				all = append(all, items...)
			}
		}
		report(fmt.Sprintf("write them as one: <group>%s</group>", strings.Join(all, ",")),
			"line %d: %d <group> elements, of which only the last counts", b.Line, n)
	}
	for _, item := range stray {
		report(fmt.Sprintf("write <group>%s</group>", strings.Join(groups, ",")),
			"line %d: the item %q of <group> has a blank or line break in it and matches no alert", groupLine, item)
	}
	if passed(b) == everything {
		findings = append(findings, warning("write <group>sysmon,syscheck</group> into the block, then: "+restart,
			"line %d: every alert starts the program; the block has neither <group> nor <level>, <rule_id> or <event_location>", b.Line))
	}
	return findings
}

// groupItems returns the items of <group> as they were meant, and those that stand otherwise: integratord compares
// them with every blank.
func groupItems(b wazuh.Integration) (items, stray []string) {
	for item := range strings.SplitSeq(b.Text("group"), ",") {
		meant := strings.TrimSpace(item)
		if meant == "" {
			continue
		}
		items = append(items, meant)
		if meant != item {
			stray = append(stray, item)
		}
	}
	return items, stray
}

const everything = "every rule"

// passed says in words which alerts a block lets pass.
func passed(b wazuh.Integration) string {
	var parts []string
	for _, f := range []struct{ element, words string }{
		{"group", "the groups "}, {"level", "level "}, {"rule_id", "the rules "}, {"event_location", "the location "},
	} {
		if text := b.Text(f.element); strings.TrimSpace(text) != "" {
			parts = append(parts, f.words+text)
		}
	}
	if len(parts) == 0 {
		return everything
	}
	return strings.Join(parts, ", ")
}
