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

	"custom-misp/engine/wazuh"
)

// checkIntegration reads the <integration> block as integratord does, which is not as one expects.
func (i *examination) checkIntegration(context.Context) []Finding {
	file := i.ConfFile()
	switch {
	case errors.Is(i.ConfErr, fs.ErrNotExist):
		return []Finding{problem("name the directory of a Wazuh manager with --home DIR", "%s is not there", file)}
	case errors.Is(i.ConfErr, fs.ErrPermission):
		return []Finding{problem(i.asRoot("doctor"), "this user must not read %s", file)}
	case i.ConfErr != nil && len(i.Blocks) == 0:
		return []Finding{problem(i.config.FromHome("bin/wazuh-analysisd")+" -t", "%s cannot be read to its end: %v", file, i.ConfErr)}
	case len(i.Blocks) == 0 && i.ConfErr == nil && i.serveFollows():
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
	findings = append(findings, i.leftOver()...)
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
			remedy := fmt.Sprintf("write <name>%s</name> at line %d of %s and restart the manager", name, b.Line, i.ConfFile())
			for _, e := range b.Elements {
				if e.Name == "name" {
					remedy = i.rewrite(e, name, remedy)
				}
			}
			return problem(remedy, "line %d of %s has the name %q, and has to have %q: a name begins with custom-, is that of the file, and has no blanks", b.Line, i.ConfFile(), given, name)
		}
	}
	return problem(i.newBlock(), "%s has no <integration> with the name %s", i.ConfFile(), name)
}

// blockElements are the elements that integratord knows. Any other keeps it from starting.
var blockElements = []string{
	"name", "hook_url", "api_key", "level", "rule_id", "group", "event_location", "alert_format", "max_log", "options", "timeout", "retries",
}

// maxLevel is the highest level that a rule has.
const maxLevel = 16

// blockFaults says what is wrong with one block. No text of it is shown that may hold a key.
func (i *examination) blockFaults(b wazuh.Integration) []Finding {
	var findings []Finding
	if b.Within != "" {
		findings = append(findings, problem(fmt.Sprintf("move the block at line %d of %s out of <%s>, right below <ossec_config>, and restart the manager", b.Line, i.ConfFile(), b.Within),
			"line %d: the block is inside <%s>, where integratord does not look for it", b.Line, b.Within))
	}
	for _, e := range b.Elements {
		findings = append(findings, i.elementFaults(e)...)
	}
	if b.Text("alert_format") != "json" {
		remedy := i.insert(b, "<alert_format>json</alert_format>")
		for _, e := range b.Elements {
			if e.Name == "alert_format" {
				remedy = i.rewrite(e, "json", "write <alert_format>json</alert_format> "+i.at(e))
			}
		}
		findings = append(findings, problem(remedy, "line %d: without <alert_format>json</alert_format> integratord hands over a text that is no alert", b.Line))
	}
	findings = append(findings, i.groupFaults(b)...)
	if passed(b) == everything {
		findings = append(findings, warning(i.insert(b, "<level>3</level>"),
			"line %d: every alert starts the program; the block has neither <group> nor <level>, <rule_id> or <event_location>", b.Line))
	}
	return findings
}

// at says where an element is, as the end of a sentence that says what to do there.
func (i *examination) at(e wazuh.Element) string {
	return fmt.Sprintf("at line %d of %s and restart the manager", e.Line, i.ConfFile())
}

// elementFaults says what is wrong with one element by itself.
func (i *examination) elementFaults(e wazuh.Element) []Finding {
	since := map[string]int{"options": 7, "timeout": 8, "retries": 8}[e.Name]
	switch {
	case !slices.Contains(blockElements, e.Name):
		return []Finding{problem(i.rewrite(e, "", "take it out "+i.at(e)), "line %d: integratord does not know <%s>, and does not start with it", e.Line, e.Name)}
	case since > 0 && !i.Since(4, since):
		return []Finding{problem(i.rewrite(e, "", "take it out "+i.at(e)), "line %d: <%s> is for Wazuh 4.%d and later; integratord %s does not start with it", e.Line, e.Name, since, i.Version)}
	}
	switch e.Name {
	case "level", "max_log", "timeout", "retries":
		return i.numberFaults(e)
	case "rule_id":
		for item := range strings.SplitSeq(e.Text, ",") {
			if _, err := strconv.Atoi(strings.TrimSpace(item)); err != nil {
				return []Finding{problem("write the numbers of rules, with commas between them, "+i.at(e), "line %d: the item %q of <rule_id> is not a number", e.Line, item)}
			}
		}
	case "hook_url", "api_key":
		if strings.ContainsFunc(e.Text, unicode.IsSpace) {
			remedy := "take the blanks out of <" + e.Name + "> " + i.at(e)
			if e.Name == "hook_url" { // a command with the key in it would be in the shell's history
				remedy = i.rewrite(e, strings.Join(strings.Fields(e.Text), ""), remedy)
			}
			return []Finding{problem(remedy, "line %d: <%s> has a blank or line break in it, at which integratord cuts its command line", e.Line, e.Name)}
		}
	}
	return nil
}

// numberFaults says what is wrong with an element that has to be a number.
func (i *examination) numberFaults(e wazuh.Element) []Finding {
	n, err := strconv.Atoi(e.Text)
	switch {
	case err != nil || n < 0:
		digits := strings.TrimFunc(e.Text, func(r rune) bool { return !unicode.IsDigit(r) })
		if _, err := strconv.Atoi(digits); err != nil {
			digits = map[string]string{"level": "3", "max_log": "165", "timeout": "10", "retries": "3"}[e.Name]
		}
		return []Finding{problem(i.rewrite(e, digits, "write a plain number "+i.at(e)), "line %d: <%s> is not a number", e.Line, e.Name)}
	case e.Name == "level" && n > maxLevel:
		return []Finding{problem(i.rewrite(e, "3", "write a lower level "+i.at(e)), "line %d: no alert has level %d; the highest is %d", e.Line, n, maxLevel)}
	}
	return nil
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

// leftOver finds what an earlier integration with MISP has left: blocks of ossec.conf, and scripts.
func (i *examination) leftOver() []Finding {
	var findings []Finding
	own := filepath.Base(i.Program)
	for _, b := range i.Conf.Integrations {
		name := b.Text("name")
		if strings.Contains(strings.ToLower(name), "misp") && name != own && name != "custom-misp" {
			findings = append(findings, problem(i.removeBlock(b), "line %d: another integration with MISP, %q: each alert is looked up and reported twice", b.Line, cut(name, 40)))
		}
	}
	if len(i.Blocks) > 1 {
		findings = append(findings, i.twice()...)
	}
	files, _ := filepath.Glob(filepath.Join(filepath.Dir(i.Program), "custom-*misp*"))
	for _, file := range files {
		if name := filepath.Base(file); name != own && !strings.HasPrefix(name, "custom-misp.new") {
			findings = append(findings, warning("rm "+file, "%s is left of another integration with MISP", file))
		}
	}
	return findings
}

// twice finds blocks for this program that are the same: an alert that passes both is looked up twice.
func (i *examination) twice() []Finding {
	for n, b := range i.Blocks[1:] {
		for _, before := range i.Blocks[:n+1] {
			if passed(b) == passed(before) {
				return []Finding{warning(i.removeBlock(b), "line %d: a second block for this program with the filter of line %d; each alert starts the program twice", b.Line, before.Line)}
			}
		}
	}
	return nil
}
