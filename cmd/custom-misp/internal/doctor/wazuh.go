package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/cmd/custom-misp/internal/manager"
	"custom-misp/engine/atomicfile"
	"custom-misp/engine/wazuh"
)

const restart = "systemctl restart wazuh-manager"

// checkWazuh finds Wazuh and its version. Every other check of files needs it.
func (i *examination) checkWazuh(context.Context) []Finding {
	switch {
	case errors.Is(i.HomeErr, fs.ErrPermission):
		return []Finding{problem("sudo "+i.command("doctor"), "this user must not look into %s", i.Home)}
	case i.HomeErr != nil:
		return []Finding{problem("custom-misp doctor --home DIR, with Wazuh's directory for DIR", "there is no Wazuh in %s", i.Home)}
	case i.Version == "":
		return []Finding{good("%s, of a version that no file in it tells", i.Home)}
	case i.Since(5, 0):
		return []Finding{problem("use custom-misp on a manager of Wazuh 4", "Wazuh %s has no integratord, which starts this program", i.Version)}
	}
	return []Finding{good("Wazuh %s in %s", i.Version, i.Home)}
}

// command returns a command line with this program.
func (i *examination) command(verb string) string {
	name := i.Self
	if name == "" {
		name = i.Program
	}
	return name + " " + verb + " --home " + i.Home
}

// checkProgram looks for the file that integratord starts.
func (i *examination) checkProgram(context.Context) []Finding {
	st, err := os.Stat(i.Program)
	name := filepath.Base(i.Program)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		from := i.Self
		if from == "" {
			from = "custom-misp"
		}
		return []Finding{problem(fmt.Sprintf("install -o root -g %s -m 0750 %s %s && %s", i.User.Group, from, i.Program, restart),
			"%s is not there; integratord then leaves the integration off until its next start", i.Program)}
	case err != nil:
		return []Finding{problem("sudo "+i.command("doctor"), "%v", err)}
	case !st.Mode().IsRegular():
		return []Finding{problem("put the program in its place", "%s is not a file", i.Program)}
	case !strings.HasPrefix(name, "custom-"):
		to := filepath.Join(filepath.Dir(i.Program), "custom-misp")
		return []Finding{problem(fmt.Sprintf("mv %s %s", i.Program, to), "%s: integratord takes names that begin with custom- only", i.Program)}
	}
	return []Finding{good("%s", i.Program)}
}

// checkRights looks at owner and mode of the program. integratord refuses a program that its own user can change.
func (i *examination) checkRights(context.Context) []Finding {
	st, err := os.Stat(i.Program)
	if err != nil {
		return []Finding{skipped("no program to look at")}
	}
	if !i.User.IsWazuh {
		return []Finding{skipped("there is neither a user wazuh nor ossecm on this machine; owner and mode are not checked")}
	}
	remedy := fmt.Sprintf("chown root:%s %s && chmod 0750 %s", i.User.Group, i.Program, i.Program)
	uid, _ := manager.Owner(st)
	shown := fmt.Sprintf("owner %s, mode %04o", manager.ShownOwner(st), st.Mode().Perm())
	switch {
	case i.User.Allowed(st, manager.MayWrite):
		return []Finding{problem(remedy, "%s can write to the program (%s); integratord refuses to start it", i.User, shown)}
	case i.May(i.Program, manager.MayRun) != nil:
		return []Finding{problem(remedy, "%v", i.May(i.Program, manager.MayRun))}
	case uid != i.root:
		return []Finding{warning(remedy, "the program belongs to another than root (%s), who can put his own in its place", shown)}
	}
	return []Finding{good("%s", shown)}
}

// checkQueue connects to the queue of analysisd. A connection without a datagram is nothing to analysisd.
func (i *examination) checkQueue(ctx context.Context) []Finding {
	path := app.QueuePath(i.config)
	const start = "systemctl start wazuh-manager; if the socket is somewhere else, set wazuh.queue"
	st, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return []Finding{problem(start, "%s is not there; analysisd is not running", path)}
	case err != nil:
		return []Finding{problem("sudo "+i.command("doctor"), "%v", err)}
	case st.Mode().Type() != fs.ModeSocket:
		return []Finding{problem(start, "%s is not a socket", path)}
	}
	if err := i.May(path, manager.MayWrite); err != nil {
		return []Finding{problem(restart, "%v", err)}
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unixgram", path)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return []Finding{problem("systemctl start wazuh-manager", "%s is left over; analysisd is not running", path)}
	}
	if err != nil {
		return []Finding{problem("sudo "+i.command("doctor"), "%v", err)}
	}
	_ = conn.Close()
	return []Finding{good("%s takes connections", path)}
}

// A ruleFile is a file that analysisd reads rules from.
type ruleFile struct {
	name  string
	rules []wazuh.Rule
}

// ruleFiles reads all rules, Wazuh's own as well. What cannot be read or parsed is passed over: analysisd says
// more about it.
func (i *examination) ruleFiles() []ruleFile {
	var files []ruleFile
	dirs := i.Conf.RuleDirs
	if len(dirs) == 0 {
		dirs = []string{"etc/rules"}
	}
	for _, dir := range dirs {
		names, _ := filepath.Glob(filepath.Join(i.config.FromHome(dir), "*.xml"))
		for _, name := range names {
			excluded := func(e string) bool { return filepath.Base(e) == filepath.Base(name) }
			if slices.ContainsFunc(i.Conf.RuleExcludes, excluded) || slices.ContainsFunc(files, func(f ruleFile) bool { return f.name == name }) {
				continue
			}
			data, err := atomicfile.ReadRegular(name, cli.MaxFile)
			if err != nil {
				continue
			}
			rules, _ := wazuh.ParseRules(data)
			files = append(files, ruleFile{name, rules})
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

// checkRules looks for rules for our events, without which they raise no alert, and for ids that stand twice.
func (i *examination) checkRules(context.Context) []Finding {
	files := i.ruleFiles()
	var findings []Finding
	ids := map[string]bool{} // of rules in files of ours
	for _, f := range files {
		if rule := f.ours(); rule != nil {
			findings = append(findings, good("rule %s in %s takes our events", rule.ID, f.name))
			for _, r := range f.rules {
				ids[r.ID] = true
			}
		}
	}
	if len(findings) == 0 {
		dir := i.config.FromHome("etc/rules/")
		return []Finding{problem(fmt.Sprintf("install -o %s -g %s -m 0660 examples/rules/misp_rules.xml %s/ && %s", i.User.Name, i.User.Group, dir, restart),
			"no rule has the field integration misp; our events raise no alert")}
	}
	if doubles := doubleRules(files, ids); len(doubles) > 0 {
		return doubles
	}
	return findings
}

// doubleRules finds rules of the given ids that stand in two files: one Finding for two files.
func doubleRules(files []ruleFile, ids map[string]bool) []Finding {
	type pair struct{ a, b string }
	first := map[string]string{}
	double := map[pair][]string{}
	var order []pair
	for _, f := range files {
		for _, r := range f.rules {
			if !ids[r.ID] || r.Overwrite {
				continue
			}
			other, taken := first[r.ID]
			if !taken {
				first[r.ID] = f.name
				continue
			}
			if other == f.name {
				continue
			}
			p := pair{other, f.name}
			if double[p] == nil {
				order = append(order, p)
			}
			double[p] = append(double[p], r.ID)
		}
	}
	var findings []Finding
	for _, p := range order {
		findings = append(findings, problem("take the older file away, then: "+restart,
			"%s and %s both have the rules %s; Wazuh does not take two with one id", p.a, p.b, strings.Join(double[p], " ")))
	}
	return findings
}

// checkRestart compares files that Wazuh reads when it starts with the socket, which analysisd makes when it does.
func (i *examination) checkRestart(context.Context) []Finding {
	socket, err := os.Stat(app.QueuePath(i.config))
	if err != nil {
		return []Finding{skipped("Wazuh is not running")}
	}
	names := []string{i.ConfFile()}
	for _, f := range i.ruleFiles() {
		if f.ours() != nil {
			names = append(names, f.name)
		}
	}
	for _, name := range names {
		if st, err := os.Stat(name); err == nil && st.ModTime().Sub(socket.ModTime()) > time.Second {
			return []Finding{warning(restart, "%s was changed after Wazuh started, which has not read it since", name)}
		}
	}
	return []Finding{good("Wazuh started after ossec.conf and the rules were last changed")}
}
