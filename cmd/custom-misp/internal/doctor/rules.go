package doctor

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/cmd/custom-misp/internal/manager"
	"custom-misp/engine/atomicfile"
	"custom-misp/engine/wazuh"
)

// A ruleFile is a file in a directory that analysisd reads rules from.
type ruleFile struct {
	name     string
	rules    []wazuh.Rule
	excluded bool // by <rule_exclude>
}

// ruleFiles reads all rules, Wazuh's own as well, in the order in which analysisd does. What cannot be read or parsed is
// passed over: analysisd says more about it.
func (i *examination) ruleFiles() []ruleFile {
	if i.rules == nil { // several checks need them, and a manager has thousands
		i.rules = i.readRules()
	}
	return slices.Clone(i.rules)
}

func (i *examination) readRules() []ruleFile {
	files := []ruleFile{}
	dirs := i.Conf.RuleDirs
	if len(dirs) == 0 {
		dirs = []string{"etc/rules"}
	}
	for _, dir := range dirs {
		names, _ := filepath.Glob(filepath.Join(i.config.FromHome(dir), "*.xml"))
		for _, name := range names {
			if slices.ContainsFunc(files, func(f ruleFile) bool { return f.name == name }) {
				continue
			}
			data, err := atomicfile.ReadRegular(name, cli.MaxFile)
			if err != nil {
				continue
			}
			rules, _ := wazuh.ParseRules(data)
			excluded := func(e string) bool { return filepath.Base(e) == filepath.Base(name) }
			files = append(files, ruleFile{name, rules, slices.ContainsFunc(i.Conf.RuleExcludes, excluded)})
		}
	}
	return files
}

// ours returns the rule that takes all our events, nil if the file has none.
func (f ruleFile) ours() *wazuh.Rule {
	for n := range f.rules {
		if field, ok := f.rules[n].Fields["integration"]; ok && strings.Trim(field, "^$ ") == "misp" {
			return &f.rules[n]
		}
	}
	return nil
}

// installRules returns the command that installs the rules for our events.
func (i *examination) installRules(dir string) string {
	return fmt.Sprintf("%s | install -o %s -g %s -m 0660 /dev/stdin %s && %s", i.program("example misp_rules.xml"), i.User.Name, i.User.Group,
		filepath.Join(dir, "misp_rules.xml"), i.restart())
}

// checkRules looks for rules for our events, without which they raise no alert.
func (i *examination) checkRules(context.Context) []Finding {
	files := i.ruleFiles()
	var ours, out []ruleFile
	for _, f := range files {
		switch {
		case f.ours() == nil:
		case f.excluded:
			out = append(out, f)
		default:
			ours = append(ours, f)
		}
	}
	if len(ours) == 0 && len(out) > 0 {
		return []Finding{i.excludedRules(out[0])}
	}
	if len(ours) == 0 {
		return []Finding{problem(i.installRules(i.config.FromHome("etc/rules")), "no rule has the field integration misp; our events raise no alert")}
	}
	var findings []Finding
	ids := map[string]bool{} // of rules in files of ours
	for _, f := range ours {
		for _, r := range f.rules {
			ids[r.ID] = true
		}
		if err := i.May(f.name, manager.MayRead); err != nil {
			remedy := fmt.Sprintf("chown %s:%s %s && chmod 0660 %s && %s", i.User.Name, i.User.Group, f.name, f.name, i.restart())
			findings = append(findings, problem(i.allow(f.name, remedy), "%v; analysisd starts without these rules", err))
			continue
		}
		findings = append(findings, good("rule %s in %s takes our events", f.ours().ID, f.name))
	}
	files = slices.DeleteFunc(files, func(f ruleFile) bool { return f.excluded })
	faults := slices.Concat(i.doubleRules(files, ids), i.silenced(files, ids))
	if len(faults) == 0 {
		faults = i.shadowed(ours)
	}
	if len(faults) > 0 {
		findings = slices.DeleteFunc(findings, func(f Finding) bool { return f.Status == StatusOK })
	}
	return append(findings, faults...)
}

// excludedRules says that <rule_exclude> leaves our rules out.
func (i *examination) excludedRules(f ruleFile) Finding {
	remedy := "take the <rule_exclude> of " + filepath.Base(f.name) + " out of " + i.ConfFile() + " and restart the manager"
	for n, line := range i.confLines() {
		for _, name := range i.Conf.RuleExcludes {
			if element := "<rule_exclude>" + name + "</rule_exclude>"; filepath.Base(name) == filepath.Base(f.name) && strings.Contains(line, element) {
				remedy = i.change(n+1, element, "", remedy)
			}
		}
	}
	return problem(remedy, "<rule_exclude> in %s leaves %s out; our events raise no alert", i.ConfFile(), f.name)
}

// silenced finds rules that overwrite one of ours with a level that is not recorded.
func (i *examination) silenced(files []ruleFile, ids map[string]bool) []Finding {
	const recorded = 3 // log_alert_level of a stock manager
	var findings []Finding
	for _, f := range files {
		for _, r := range f.rules {
			if r.Overwrite && ids[r.ID] && r.Level >= 0 && r.Level < recorded && f.ours() == nil {
				findings = append(findings, warning("give the rule "+r.ID+" in "+f.name+" a level of 3 or more, or take it out, and restart the manager",
					"%s overwrites the rule %s with level %d, which is not recorded", f.name, r.ID, r.Level))
			}
		}
	}
	return findings
}

// shadowed finds a rule of another file that takes our events before ours do: of rules with level 0, the first file counts.
func (i *examination) shadowed(ours []ruleFile) []Finding {
	at := slices.IndexFunc(ours, func(f ruleFile) bool {
		return slices.ContainsFunc(f.rules, func(r wazuh.Rule) bool { return r.ID == "100622" })
	})
	if at <= 0 || ours[0].ours().Level != 0 {
		return nil
	}
	return []Finding{problem(i.withoutFile(ours[0], ours[0].rules), "rule %s in %s takes our events before the rules in %s do", ours[0].ours().ID, ours[0].name, ours[at].name)}
}

// withoutFile returns the command that takes a file of rules away, if it has no others than the given ones.
func (i *examination) withoutFile(f ruleFile, rules []wazuh.Rule) string {
	if len(rules) < len(f.rules) || strings.HasPrefix(filepath.Base(f.name), "local_rules") {
		var ids []string
		for _, r := range rules {
			ids = append(ids, r.ID)
		}
		return "take " + cli.Plural(len(ids), "rule") + " (" + strings.Join(ids, " ") + ") out of " + f.name + " and restart the manager"
	}
	return fmt.Sprintf("mv %s %s.old && %s", f.name, f.name, i.restart())
}

// doubleRules finds rules of the given ids that are in two files: one Finding for two files.
func (i *examination) doubleRules(files []ruleFile, ids map[string]bool) []Finding {
	type pair struct{ a, b int }
	first := map[string]int{}
	double := map[pair][]wazuh.Rule{}
	var order []pair
	for n, f := range files {
		for _, r := range f.rules {
			if !ids[r.ID] || r.Overwrite {
				continue
			}
			other, taken := first[r.ID]
			if !taken {
				first[r.ID] = n
				continue
			}
			if other == n {
				continue
			}
			p := pair{other, n}
			if double[p] == nil {
				order = append(order, p)
			}
			double[p] = append(double[p], r)
		}
	}
	var findings []Finding
	for _, p := range order {
		a, b := files[p.a], files[p.b]
		older := slices.MinFunc([]ruleFile{a, b}, func(x, y ruleFile) int { return cmp.Compare(len(x.rules), len(y.rules)) })
		var both []string
		for _, r := range double[p] {
			both = append(both, r.ID)
		}
		findings = append(findings, problem(i.withoutFile(older, double[p]),
			"%s and %s both have the rules %s; Wazuh does not take two with one id", a.name, b.name, strings.Join(both, " ")))
	}
	return findings
}
