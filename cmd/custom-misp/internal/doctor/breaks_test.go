package doctor

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"custom-misp/cmd/custom-misp/internal/wazuhtest"
	"custom-misp/misp/misptest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	wazuhtest.RemoveProgram()
	os.Exit(code)
}

const (
	blockName   = "<name>custom-misp</name>"
	blockFormat = "<alert_format>json</alert_format>"
	blockLevel  = "<level>3</level>"
)

// A breakage is one thing that is wrong with an installation. Its remedies are commands, which are run, unless byHand does
// what a sentence says. A command that only shows what is wrong is run too, and byHand corrects it.
type breakage struct {
	name   string
	spoil  func(t *testing.T, w *ward)
	check  string
	status Status
	found  string
	byHand func(t *testing.T, w *ward)
}

// TestRemedies breaks a good installation, looks for the finding, carries out its remedies, and finds nothing wrong then.
func TestRemedies(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the program")
	}
	bin := stubs(t)
	program, err := wazuhtest.Program()
	if err != nil {
		t.Fatal(err)
	}
	all := breakages()
	if len(all) < 40 {
		t.Errorf("only %d breakages", len(all))
	}
	for _, b := range all {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			w := newWard(t)
			w.write(t, "bin/wazuh-analysisd", "#!/bin/sh\n", 0o750)
			b.spoil(t, w)
			self := func(i *examination) {
				i.Self = program
				i.config.Timeout, i.config.MISP.Timeout = 5*time.Minute, 5*time.Minute // on a busy machine too, MISP is not slow
			}
			before := w.examine(t, self)
			w.want(t, before, b.check, b.status, b.found, "")
			commands, sentences := w.carryOutAll(t, bin, b, before)
			switch {
			case b.byHand != nil:
				b.byHand(t, w)
			case sentences > 0 || commands == 0:
				t.Errorf("%d commands and %d sentences, and nothing that is done by hand:\n%+v", commands, sentences, before)
			}
			for _, f := range w.examine(t, self) {
				if f.Status == StatusProblem || f.Status == StatusWarning {
					t.Errorf("after the remedies: %+v", f)
				}
			}
		})
	}
}

// carryOutAll carries out the commands among the remedies, each once, and counts them and the sentences.
func (w *ward) carryOutAll(t *testing.T, bin string, b breakage, findings []Finding) (commands, sentences int) {
	t.Helper()
	done := map[string]bool{}
	for _, f := range findings {
		switch {
		case f.Status != StatusProblem && f.Status != StatusWarning || done[f.Remedy]:
		case f.Remedy == "":
			t.Errorf("no remedy for %s: %s", f.Check, f.Found)
		case f.Command:
			commands++
			if b.byHand == nil || f.Check == b.check {
				w.carryOut(t, bin, f.Remedy, b.byHand == nil)
			}
		default:
			sentences++
			if strings.Contains(f.Remedy, "&&") || strings.Contains(f.Remedy, "then:") {
				t.Errorf("neither a command nor a sentence: %s", f.Remedy)
			}
		}
		done[f.Remedy] = true
	}
	return commands, sentences
}

// stubs returns a directory with programs that do what a test may of what the real ones do: nothing gets another owner, and
// a restart of Wazuh is only noted.
func stubs(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, script := range map[string]string{
		"chown":     "exit 0",
		"systemctl": `echo "$@" >> "$WARD/systemctl.log"`,
		"sudo":      `exec "$@"`,
		"install": `a=()
while (($#)); do case $1 in -o|-g) shift 2;; *) a+=("$1"); shift;; esac; done
PATH=/usr/bin:/bin exec install "${a[@]}"`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/bash\n"+script+"\n"), 0o755); err != nil { //nolint:gosec // a program
			t.Fatal(err)
		}
	}
	return dir
}

// carryOut runs a command as an administrator who pastes it, and restarts Wazuh if it does. A question for the key is
// answered.
func (w *ward) carryOut(t *testing.T, bin, command string, mustWork bool) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-c", command)
	cmd.Env = []string{"PATH=" + bin + ":/usr/sbin:/usr/bin:/sbin:/bin", "WARD=" + w.home}
	cmd.Dir, cmd.Stdin = "/", strings.NewReader(misptest.Key+"\n")
	out, err := cmd.CombinedOutput()
	if err != nil && mustWork {
		t.Errorf("%s: %v\n%s", command, err, out)
	}
	if _, err := os.Stat(w.path("systemctl.log")); err != nil {
		return
	}
	w.remove(t, "systemctl.log")
	w.restart(t)
}

// restart does what a restart of Wazuh does: new processes, a new socket, the file of alerts.
func (w *ward) restart(t *testing.T) {
	t.Helper()
	w.remove(t, "var/run")
	w.mkdir(t, "var/run", 0o770)
	w.restarted(t)
	w.write(t, "logs/alerts/alerts.json", "", 0o640)
	w.remove(t, "queue/sockets/queue")
	w.listen(t)
}

// breakages are all of them.
func breakages() []breakage {
	return append(append(programBreakages(), blockBreakages()...), append(wazuhBreakages(), append(configBreakages(), stateBreakages()...)...)...)
}

func removes(name string) func(*testing.T, *ward) {
	return func(t *testing.T, w *ward) { w.remove(t, name) }
}

func chmods(name string, mode os.FileMode) func(*testing.T, *ward) {
	return func(t *testing.T, w *ward) { w.chmod(t, name, mode) }
}

func writes(name, content string, mode os.FileMode) func(*testing.T, *ward) {
	return func(t *testing.T, w *ward) { w.write(t, name, content, mode) }
}

func configures(more string) func(*testing.T, *ward) {
	return func(t *testing.T, w *ward) { w.configure(t, more) }
}

func block(elements string) func(*testing.T, *ward) {
	return func(t *testing.T, w *ward) { w.block(t, elements) }
}

func programBreakages() []breakage {
	return []breakage{
		{name: "no program", spoil: removes("integrations/custom-misp"), check: "program", status: StatusProblem},
		{name: "integratord may write to the program", spoil: chmods("integrations/custom-misp", 0o770), check: "rights", status: StatusProblem},
		{name: "integratord must not run the program", spoil: chmods("integrations/custom-misp", 0o700), check: "rights", status: StatusProblem},
		{name: "directory of the program closed", spoil: chmods("integrations", 0o700), check: "rights", status: StatusProblem, found: "must not go through"},
		{name: "script of an old integration", spoil: writes("integrations/custom-misp.py", "#!/usr/bin/env python3\n", 0o750), check: "integration", status: StatusWarning, found: "custom-misp.py is left"},
	}
}

func blockBreakages() []breakage {
	list := []breakage{
		{name: "no block", spoil: block("<name>slack</name>"), check: "integration", status: StatusProblem},
		{name: "name without custom-", spoil: block("<name>misp</name>" + blockLevel + blockFormat), check: "integration", status: StatusProblem},
		{name: "name with a blank", spoil: block("<name> custom-misp</name>" + blockLevel + blockFormat), check: "integration", status: StatusProblem},
		{name: "no ossec.conf", spoil: removes("etc/ossec.conf"), check: "integration", status: StatusProblem, byHand: block(blockName + blockLevel + blockFormat)},
		{name: "ossec.conf ends early", spoil: writes("etc/ossec.conf", "<ossec_config>\n<global>\n", 0o660), check: "integration", status: StatusProblem, byHand: block(blockName + blockLevel + blockFormat)},
		{
			name: "group of no rule", spoil: block(blockName + blockFormat + "<group>sysmon,mail</group>"), check: "integration", status: StatusWarning,
			found: `no rule has the group "mail"`, byHand: block(blockName + blockFormat + "<group>sysmon</group>"),
		},
		{
			name: "key in an open ossec.conf", spoil: func(t *testing.T, w *ward) {
				w.block(t, blockName+blockLevel+blockFormat+"<api_key>"+misptest.Key+"</api_key>")
				w.chmod(t, "etc/ossec.conf", 0o664)
			},
			check: "integration", status: StatusWarning, found: "open to everybody", byHand: func(t *testing.T, w *ward) {
				w.replace(t, "etc/ossec.conf", "<api_key>"+misptest.Key+"</api_key>", "")
				w.restart(t)
			},
		},
		{name: "an integration inside of another section", spoil: writes("etc/ossec.conf", "<ossec_config>\n<syscheck>\n<integration>\n"+blockName+blockLevel+blockFormat+"\n</integration>\n</syscheck>\n</ossec_config>\n", 0o660), check: "integration", status: StatusProblem, found: "inside <syscheck>", byHand: block(blockName + blockLevel + blockFormat)},
	}
	for name, elements := range map[string]string{
		"blank in group":              blockName + blockFormat + "\n<group>sysmon, syscheck</group>",
		"line break in group":         blockName + blockFormat + "\n    <group>sysmon,\n  syscheck</group>",
		"two groups":                  blockName + blockFormat + "\n<group>sysmon</group>\n<group>syscheck</group>",
		"bar in group":                blockName + blockFormat + "\n<group>sysmon|syscheck</group>",
		"another spelling of a group": blockName + blockFormat + "\n<group>Sysmon_Event_1,syscheck</group>",
		"no alert format":             blockName + blockLevel,
		"another alert format":        blockName + blockLevel + "<alert_format>xml</alert_format>",
		"a level that none has":       blockName + blockFormat + "<level>20</level>",
		"a time with a unit":          blockName + blockFormat + blockLevel + "<timeout>10s</timeout>",
		"an element of no one":        blockName + blockFormat + blockLevel + "<disabled>no</disabled>",
		"a block of an old script":    blockName + blockFormat + blockLevel + "\n</integration>\n<integration>\n<name>custom-misp.py</name>\n<group>sysmon</group>",
	} {
		list = append(list, breakage{name: name, spoil: block(elements), check: "integration", status: StatusProblem})
	}
	for name, elements := range map[string]string{
		"no filter":              blockName + blockFormat,
		"the same block again":   blockName + blockFormat + blockLevel + "\n</integration>\n<integration>\n" + blockName + blockFormat + blockLevel,
		"the old script besides": blockName + blockFormat + blockLevel,
	} {
		spoil := block(elements)
		if name == "the old script besides" {
			spoil = writes("integrations/custom-misp-old", "", 0o750)
		}
		list = append(list, breakage{name: name, spoil: spoil, check: "integration", status: StatusWarning})
	}
	return append(list,
		breakage{name: "blank in the address", spoil: func(t *testing.T, w *ward) {
			w.block(t, blockName+blockFormat+blockLevel+"<hook_url>"+w.url+" </hook_url>")
		}, check: "integration", status: StatusProblem},
		breakage{name: "an element of a later Wazuh", spoil: func(t *testing.T, w *ward) {
			w.write(t, "bin/wazuh-control", "VERSION=\"v4.7.5\"\n", 0o750)
			w.block(t, blockName+blockFormat+blockLevel+"<retries>1</retries>")
		}, check: "integration", status: StatusProblem},
	)
}

func wazuhBreakages() []breakage {
	const old = `<group name="misp,"><rule id="100620" level="10"><field name="integration">misp</field></rule></group>`
	return []breakage{
		{name: "no rules", spoil: removes("etc/rules/misp_rules.xml"), check: "rules", status: StatusProblem},
		{name: "rules that wazuh cannot read", spoil: chmods("etc/rules/misp_rules.xml", 0o600), check: "rules", status: StatusProblem, found: "analysisd starts without these rules"},
		{name: "rules excluded", spoil: func(t *testing.T, w *ward) {
			w.replace(t, "etc/ossec.conf", "<ossec_config>", "<ossec_config><ruleset><rule_dir>ruleset/rules</rule_dir><rule_dir>etc/rules</rule_dir><rule_exclude>misp_rules.xml</rule_exclude></ruleset>")
		}, check: "rules", status: StatusProblem, found: "leaves"},
		{name: "rules twice", spoil: writes("etc/rules/old_misp.xml", old, 0o660), check: "rules", status: StatusProblem, found: "both have the rules 100620"},
		{
			name: "rules shadowed", spoil: writes("etc/rules/a_misp.xml", strings.NewReplacer("100620", "100999", `level="10"`, `level="0"`).Replace(old), 0o660),
			check: "rules", status: StatusProblem, found: "takes our events before",
		},
		{
			name: "rule silenced", spoil: writes("etc/rules/local_rules.xml", `<group name="misp,"><rule id="100622" level="0" overwrite="yes"/></group>`, 0o660),
			check: "rules", status: StatusWarning, byHand: removes("etc/rules/local_rules.xml"),
		},
		{name: "no alerts.json wanted", spoil: func(t *testing.T, w *ward) {
			w.replace(t, "etc/ossec.conf", "<ossec_config>", "<ossec_config>\n<global>\n<jsonout_output>no</jsonout_output>\n</global>")
		}, check: "output", status: StatusProblem},
		{name: "no archives.json wanted", spoil: func(t *testing.T, w *ward) {
			w.configure(t, "serve: {alerts: [logs/alerts/alerts.json, logs/archives/archives.json]}\n")
			w.replace(t, "etc/ossec.conf", "<ossec_config>", "<ossec_config>\n<global>\n<logall_json>no</logall_json>\n</global>")
		}, check: "output", status: StatusProblem, found: "archives.json"},
		{name: "no alerts.json", spoil: removes("logs/alerts/alerts.json"), check: "output", status: StatusProblem},
		{name: "integratord does not run", spoil: removes(fmt.Sprintf("var/run/wazuh-integratord-%d.pid", pidIntegratord)), check: "integratord", status: StatusProblem, found: "not running"},
		{name: "analysisd has crashed", spoil: func(t *testing.T, w *ward) {
			if err := os.Rename(w.path(fmt.Sprintf("var/run/wazuh-analysisd-%d.pid", pidAnalysisd)), w.path("var/run/wazuh-analysisd-77.pid")); err != nil {
				t.Fatal(err)
			}
		}, check: "analysisd", status: StatusProblem, found: "has ended and left"},
		{name: "disabled when integratord started", spoil: func(t *testing.T, w *ward) {
			w.write(t, "logs/ossec.log", "2026/11/25 09:00:00 wazuh-integratord: INFO: Enabling integration for: 'custom-misp'.\n"+
				"2026/11/25 10:00:00 wazuh-integratord: ERROR: Unable to enable integration for: 'custom-misp'. File not found inside 'integrations'.\n", 0o660)
		}, check: "enabled", status: StatusProblem, found: "has disabled the integration"},
		{name: "no socket", spoil: removes("queue/sockets/queue"), check: "queue", status: StatusProblem},
		{name: "socket left over", spoil: func(t *testing.T, w *ward) {
			w.remove(t, "queue/sockets/queue")
			conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: w.path("queue/sockets/queue"), Net: "unixgram"})
			if err != nil {
				t.Fatal(err)
			}
			w.chmod(t, "queue/sockets/queue", 0o660)
			_ = conn.Close()
		}, check: "queue", status: StatusProblem, found: "left over"},
		{name: "queue full", spoil: fillQueue, check: "queue", status: StatusProblem, found: "is full"},
		{name: "not restarted", spoil: func(t *testing.T, w *ward) {
			socket := time.Now().Add(-time.Hour)
			if err := os.Chtimes(w.path("queue/sockets/queue"), socket, socket); err != nil {
				t.Fatal(err)
			}
		}, check: "restart", status: StatusWarning},
	}
}

// fillQueue sends to the queue, which no one reads, until it takes no more.
func fillQueue(t *testing.T, w *ward) {
	conn, err := net.Dial("unixgram", w.path("queue/sockets/queue"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	for n := range 100_000 {
		_ = conn.SetWriteDeadline(time.Now().Add(20 * time.Millisecond))
		if _, err := conn.Write([]byte("1:test:{}")); err != nil {
			if n == 0 {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatal("the queue never becomes full")
}
