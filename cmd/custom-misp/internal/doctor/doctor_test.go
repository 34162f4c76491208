package doctor

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"custom-misp/misp/misptest"
)

func TestDoctorGood(t *testing.T) {
	w := newWard(t)
	before := w.tree(t)
	findings := w.examine(t, nil)
	var ids []string
	for _, f := range findings {
		ids = append(ids, f.Check)
		if f.Status != StatusOK || f.Found == "" || f.Remedy != "" {
			t.Errorf("%+v", f)
		}
	}
	want := []string{
		"wazuh", "program", "rights", "integration", "rules", "enabled", "output", "analysisd", "integratord", "queue", "restart", "configuration", "key", "mappings", "log",
		"state", "spool", "outage", "effect", "misp-name", "misp-connect", "misp-tls", "misp-key", "misp-role", "misp-clock", "misp-search",
	}
	if diff := cmp.Diff(want, ids); diff != "" {
		t.Errorf("checks (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(before, w.tree(t)); diff != "" {
		t.Errorf("doctor changed the installation (-before +after):\n%s", diff)
	}
	var out bytes.Buffer
	Print(&out, findings)
	if got := strings.Split(strings.TrimSpace(out.String()), "\n"); len(got) != len(want)+1 || got[len(want)] != "nothing is wrong; 26 ok, 0 skipped" {
		t.Errorf("printed:\n%s", &out)
	}
}

// TestDoctor breaks one thing a case.
func TestDoctor(t *testing.T) {
	const name, format = "<name>custom-misp</name>", "<alert_format>json</alert_format>"
	tests := []struct {
		name   string
		spoil  func(t *testing.T, w *ward)
		change func(i *examination)

		check         string
		status        Status
		found, remedy string // parts of them; HOME for the directory
	}{
		{
			name: "no Wazuh", spoil: func(t *testing.T, w *ward) { w.remove(t, "") },
			check: "wazuh", status: StatusProblem, found: "there is no Wazuh in HOME", remedy: "--home DIR",
		},
		{
			name: "Wazuh 5", spoil: func(t *testing.T, w *ward) { w.write(t, "VERSION.json", `{"version":"5.0.0"}`, 0o640) },
			check: "wazuh", status: StatusProblem, found: "Wazuh 5.0.0 has no integratord", remedy: "Wazuh 4",
		},
		{
			name: "no version", spoil: func(t *testing.T, w *ward) { w.remove(t, "bin/wazuh-control") },
			check: "wazuh", status: StatusOK, found: "of a version that no file in it tells",
		},
		{
			name: "no program", spoil: func(t *testing.T, w *ward) { w.remove(t, "integrations/custom-misp") },
			change: func(i *examination) { i.Self = "/tmp/built" },
			check:  "program", status: StatusProblem, found: "HOME/integrations/custom-misp is not there",
			remedy: "install -o root -g wazuh -m 0750 /tmp/built HOME/integrations/custom-misp && systemctl",
		},
		{
			name: "no program, own name not known", spoil: func(t *testing.T, w *ward) { w.remove(t, "integrations/custom-misp") },
			change: func(i *examination) { i.Self = "" },
			check:  "program", status: StatusProblem, remedy: "-m 0750 custom-misp HOME/integrations/custom-misp && systemctl",
		},
		{
			name: "integratord may write", spoil: func(t *testing.T, w *ward) { w.chmod(t, "integrations/custom-misp", 0o770) },
			check: "rights", status: StatusProblem, found: "mode 0770); integratord refuses to start it",
			remedy: "chown root:wazuh HOME/integrations/custom-misp && chmod 0750 HOME/integrations/custom-misp",
		},
		{
			name: "integratord must not run it", spoil: func(t *testing.T, w *ward) { w.chmod(t, "integrations/custom-misp", 0o700) },
			check: "rights", status: StatusProblem, found: "user wazuh must not run HOME/integrations/custom-misp", remedy: "chmod 0750 HOME",
		},
		{
			name: "directory closed", spoil: func(t *testing.T, w *ward) { w.chmod(t, "integrations", 0o700) },
			check: "rights", status: StatusProblem, found: "must not go through HOME/integrations (mode 0700)",
		},
		{
			name: "another owner", change: func(i *examination) { i.root++ },
			check: "rights", status: StatusWarning, found: "belongs to another than root", remedy: "chown root:wazuh",
		},
		{
			name: "no user wazuh", change: func(i *examination) { i.User.IsWazuh = false },
			check: "rights", status: StatusSkipped, found: "neither a user wazuh nor ossecm",
		},
		{
			name: "no ossec.conf", spoil: func(t *testing.T, w *ward) { w.remove(t, "etc/ossec.conf") },
			check: "integration", status: StatusProblem, found: "HOME/etc/ossec.conf is not there",
		},
		{
			name: "ossec.conf ends early", spoil: func(t *testing.T, w *ward) { w.write(t, "etc/ossec.conf", "<ossec_config>\n<global>\n", 0o660) },
			check: "integration", status: StatusProblem, found: "line 3", remedy: "HOME/bin/wazuh-analysisd -t",
		},
		{
			name: "no block", spoil: func(t *testing.T, w *ward) { w.block(t, "<name>slack</name>") },
			check: "integration", status: StatusProblem, found: "has no <integration> with the name custom-misp", remedy: `</ossec_config>\n' >> HOME/etc/ossec.conf && systemctl`,
		},
		{
			name: "name without custom-", spoil: func(t *testing.T, w *ward) { w.block(t, "<name>misp</name>"+format) },
			check: "integration", status: StatusProblem, found: `has the name "misp", and has to have "custom-misp"`, remedy: "sed -i '3s|<name>misp</name>|<name>custom-misp</name>|' HOME/etc/ossec.conf && systemctl",
		},
		{
			name: "name with a blank", spoil: func(t *testing.T, w *ward) { w.block(t, "<name> custom-misp</name>"+format) },
			check: "integration", status: StatusProblem, found: `has the name " custom-misp"`, remedy: "sed -i '3s|<name> custom-misp</name>|<name>custom-misp</name>|' HOME",
		},
		{
			name: "blank in group", spoil: func(t *testing.T, w *ward) { w.block(t, name+format+"<group>sysmon, syscheck</group>") },
			check: "integration", status: StatusProblem, found: `the item " syscheck" of <group>`, remedy: "sed -i '3s|<group>sysmon, syscheck</group>|<group>sysmon,syscheck</group>|' HOME/etc/ossec.conf && systemctl restart wazuh-manager",
		},
		{
			name: "line break in group", spoil: func(t *testing.T, w *ward) { w.block(t, name+format+"<group>sysmon,\n  syscheck</group>") },
			check: "integration", status: StatusProblem, found: `the item "\n  syscheck"`,
		},
		{
			name: "two groups", spoil: func(t *testing.T, w *ward) {
				w.block(t, name+format+"<group>sysmon</group><group>syscheck</group>")
			},
			check: "integration", status: StatusProblem, found: "2 <group> elements, of which only the last counts", remedy: "sed -i -e '3s|<group>sysmon</group>||' -e '3s|<group>syscheck</group>|<group>sysmon,syscheck</group>|' HOME",
		},
		{
			name: "no alert format", spoil: func(t *testing.T, w *ward) { w.block(t, name+"<group>sysmon</group>") },
			check: "integration", status: StatusProblem, found: "line 2: without <alert_format>", remedy: format,
		},
		{
			name: "no filter", spoil: func(t *testing.T, w *ward) { w.block(t, name+format) },
			check: "integration", status: StatusWarning, found: "every alert starts the program", remedy: "<level>3</level>",
		},
		{
			name: "blank in URL", spoil: func(t *testing.T, w *ward) {
				w.block(t, name+format+"<level>3</level><hook_url>"+w.url+" </hook_url>")
			},
			check: "integration", status: StatusProblem, found: "<hook_url> has a blank", remedy: "sed -i '3s|<hook_url>",
		},
		{
			name: "no number", spoil: func(t *testing.T, w *ward) {
				w.block(t, name+format+"<level>3</level>\n<timeout>10s</timeout>")
			},
			check: "integration", status: StatusProblem, found: "line 4: <timeout> is not a number",
		},
		{
			name: "unknown element", spoil: func(t *testing.T, w *ward) { w.block(t, name+format+"<level>3</level><disabled>no</disabled>") },
			check: "integration", status: StatusProblem, found: "integratord does not know <disabled>",
		},
		{
			name: "element of a later Wazuh", spoil: func(t *testing.T, w *ward) {
				w.write(t, "bin/wazuh-control", "VERSION=\"v4.7.5\"\n", 0o750)
				w.block(t, name+format+"<level>3</level><retries>1</retries>")
			},
			check: "integration", status: StatusProblem, found: "<retries> is for Wazuh 4.8 and later; integratord 4.7.5",
		},
		{
			name: "key in an open ossec.conf", spoil: func(t *testing.T, w *ward) {
				w.block(t, name+format+"<level>3</level><api_key>"+misptest.Key+"</api_key>")
				w.chmod(t, "etc/ossec.conf", 0o664)
			},
			check: "integration", status: StatusWarning, found: "open to everybody (mode 0664)", remedy: "chmod o= HOME/etc/ossec.conf",
		},
		{
			name: "key on command lines", spoil: func(t *testing.T, w *ward) {
				w.block(t, name+format+"<level>3</level><api_key>"+misptest.Key+"</api_key>")
			},
			check: "key", status: StatusWarning, found: "the key is in <api_key>", remedy: "HOME/etc/custom-misp.key",
		},
		{
			name: "no rules", spoil: func(t *testing.T, w *ward) { w.remove(t, "etc/rules/misp_rules.xml") },
			check: "rules", status: StatusProblem, found: "no rule has the field integration", remedy: "example misp_rules.xml | install -o wazuh -g wazuh -m 0660 /dev/stdin HOME/etc/rules/misp_rules.xml && systemctl restart wazuh-manager",
		},
		{
			name: "rules excluded", spoil: func(t *testing.T, w *ward) {
				w.replace(t, "etc/ossec.conf", "<ossec_config>", "<ossec_config><ruleset><rule_dir>etc/rules</rule_dir><rule_exclude>misp_rules.xml</rule_exclude></ruleset>")
			},
			check: "rules", status: StatusProblem, found: "<rule_exclude> in HOME/etc/ossec.conf leaves HOME/etc/rules/misp_rules.xml out", remedy: `|<rule_exclude>misp_rules\.xml</rule_exclude>||' HOME/etc/ossec.conf`,
		},
		{
			name: "rules in a directory of one's own", spoil: func(t *testing.T, w *ward) {
				w.mkdir(t, "site", 0o750)
				if err := os.Rename(w.path("etc/rules/misp_rules.xml"), w.path("site/misp.xml")); err != nil {
					t.Fatal(err)
				}
				w.replace(t, "etc/ossec.conf", "<ossec_config>", "<ossec_config><ruleset><rule_dir>site</rule_dir></ruleset>")
			},
			check: "rules", status: StatusOK, found: "rule 100620 in HOME/site/misp.xml",
		},
		{
			name: "rules twice", spoil: func(t *testing.T, w *ward) {
				w.write(t, "etc/rules/old_misp.xml", `<group name="misp,"><rule id="100620" level="10"><field name="integration">misp</field></rule><rule id="100622" level="12"/></group>`, 0o660)
			},
			check: "rules", status: StatusProblem, found: "HOME/etc/rules/misp_rules.xml and HOME/etc/rules/old_misp.xml both have the rules 100620 100622",
		},
		{
			name: "rule overwritten", spoil: func(t *testing.T, w *ward) {
				w.write(t, "etc/rules/local_rules.xml", `<group name="misp,"><rule id="100622" level="10" overwrite="yes"/></group>`, 0o660)
			},
			check: "rules", status: StatusOK, found: "misp_rules.xml takes our events",
		},
		{
			name: "no socket", spoil: func(t *testing.T, w *ward) { w.remove(t, "queue/sockets/queue") },
			check: "queue", status: StatusProblem, found: "HOME/queue/sockets/queue is not there", remedy: "systemctl start wazuh-manager",
		},
		{
			name: "file for a socket", spoil: func(t *testing.T, w *ward) {
				w.remove(t, "queue/sockets/queue")
				w.write(t, "queue/sockets/queue", "", 0o660)
			},
			check: "queue", status: StatusProblem, found: "is not a socket",
		},
		{
			name: "socket left over", spoil: func(t *testing.T, w *ward) {
				w.remove(t, "queue/sockets/queue")
				conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: w.path("queue/sockets/queue"), Net: "unixgram"})
				if err != nil {
					t.Fatal(err)
				}
				w.chmod(t, "queue/sockets/queue", 0o660)
				_ = conn.Close() // which leaves the file of a datagram socket
			},
			check: "queue", status: StatusProblem, found: "analysisd is not running", remedy: "systemctl restart wazuh-manager",
		},
		{
			name: "socket closed to wazuh", spoil: func(t *testing.T, w *ward) { w.chmod(t, "queue/sockets/queue", 0o600) },
			check: "queue", status: StatusProblem, found: "user wazuh must not write to HOME/queue/sockets/queue",
		},
		{
			name: "not restarted", spoil: func(t *testing.T, w *ward) {
				later := time.Now().Add(time.Minute)
				if err := os.Chtimes(w.path("etc/ossec.conf"), later, later); err != nil {
					t.Fatal(err)
				}
			},
			check: "restart", status: StatusWarning, found: "HOME/etc/ossec.conf was changed after Wazuh started", remedy: "systemctl restart wazuh-manager",
		},
		{
			name: "fault in the configuration", spoil: func(t *testing.T, w *ward) { w.configure(t, "log: {verbosity: info}\n") },
			check: "configuration", status: StatusProblem, found: `HOME/etc/custom-misp.yaml:2:7: unknown key "verbosity" in section log`,
		},
		{
			name: "fault in <options>", spoil: func(t *testing.T, w *ward) {
				w.block(t, name+format+`<level>3</level><options>{"lookup": {"toids": true}}</options>`)
			},
			check: "configuration", status: StatusProblem, found: `<options>: unknown key "lookup.toids"`, remedy: `did you mean "lookup.to_ids"?`,
		},
		{
			name: "configuration closed to wazuh", spoil: func(t *testing.T, w *ward) { w.chmod(t, "etc/custom-misp.yaml", 0o600) },
			check: "configuration", status: StatusProblem, found: "user wazuh must not read HOME/etc/custom-misp.yaml", remedy: "chown root:wazuh HOME/etc/custom-misp.yaml && chmod 0640",
		},
		{
			name: "CA file closed to wazuh", spoil: func(t *testing.T, w *ward) { w.chmod(t, "etc/misp-ca.pem", 0o600) },
			check: "configuration", status: StatusProblem, found: "misp.ca_file: user wazuh must not read HOME/etc/misp-ca.pem", remedy: "chmod 0640 HOME/etc/misp-ca.pem",
		},
		{
			name: "no address", spoil: func(t *testing.T, w *ward) { w.write(t, "etc/custom-misp.yaml", "log: {level: info}\n", 0o640) },
			check: "configuration", status: StatusProblem, found: "misp.url is not set", remedy: "HOME/etc/custom-misp.yaml",
		},
		{
			name: "no key file", spoil: func(t *testing.T, w *ward) { w.remove(t, "etc/custom-misp.key") },
			check: "key", status: StatusProblem, found: "HOME/etc/custom-misp.key: no such file", remedy: "install -o root -g wazuh -m 0640 /dev/stdin HOME/etc/custom-misp.key",
		},
		{
			name: "empty key file", spoil: func(t *testing.T, w *ward) { w.write(t, "etc/custom-misp.key", "\n", 0o640) },
			check: "key", status: StatusProblem, found: "HOME/etc/custom-misp.key is empty", remedy: "read -rsp",
		},
		{
			name: "key file open", spoil: func(t *testing.T, w *ward) { w.chmod(t, "etc/custom-misp.key", 0o644) },
			check: "key", status: StatusProblem, found: "open to everybody (mode 0644)", remedy: "chmod o= HOME/etc/custom-misp.key",
		},
		{
			name: "key file closed to wazuh", spoil: func(t *testing.T, w *ward) { w.chmod(t, "etc/custom-misp.key", 0o600) },
			check: "key", status: StatusProblem, found: "user wazuh must not read HOME/etc/custom-misp.key", remedy: "chown root:wazuh HOME/etc/custom-misp.key",
		},
		{
			name: "nothing is ignored", spoil: func(t *testing.T, w *ward) {
				file := filepath.Join(w.home, "etc/custom-misp.yaml")
				data, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				w.write(t, "etc/custom-misp.yaml", strings.Replace(string(data), "ignore: {values: [corp.example]}\n", "", 1), 0o640)
			},
			check: "mappings", status: StatusWarning, found: "ignore.values is empty", remedy: "ignore: {values: [DOMAIN, NETWORK]}",
		},
		{
			name: "fault in a mapping", spoil: func(t *testing.T, w *ward) {
				w.mkdir(t, "etc/custom-misp/mappings", 0o750)
				w.write(t, "etc/custom-misp/mappings/site.yaml", "version: 1\n", 0o640)
			},
			check: "mappings", status: StatusProblem, found: "1 fault, files with faults are left out; the first: HOME/etc/custom-misp/mappings/site.yaml:1:1", remedy: "lint --home HOME",
		},
		{
			name: "log made by root", spoil: func(t *testing.T, w *ward) { w.write(t, "logs/integrations.log", "", 0o640) },
			check: "log", status: StatusProblem, found: "user wazuh must not write to HOME/logs/integrations.log", remedy: "chown wazuh:wazuh HOME/logs/integrations.log",
		},
		{
			name: "no directory for the log", spoil: func(t *testing.T, w *ward) { w.remove(t, "logs") },
			check: "log", status: StatusProblem, found: "", remedy: "install -d -o wazuh -g wazuh -m 0770 HOME/logs",
		},
		{
			name: "no log", spoil: func(t *testing.T, w *ward) { w.configure(t, "log: {file: ''}\n") },
			check: "log", status: StatusSkipped, found: "log.file is empty",
		},
		{
			name: "state of an earlier release",
			spoil: func(t *testing.T, w *ward) {
				if err := os.MkdirAll(filepath.Join(w.home, "var/run/custom-misp"), 0o750); err != nil {
					t.Fatal(err)
				}
			},
			check: "state", status: StatusWarning, found: "var/run/custom-misp of an earlier release is not moved to HOME/logs/custom-misp yet", remedy: "spool drain --home HOME",
		},
		{
			name: "state cannot be made", spoil: func(t *testing.T, w *ward) { w.chmod(t, "logs", 0o750) },
			check: "state", status: StatusProblem, found: "cannot be made: user wazuh must not write to HOME/logs", remedy: "install -d -o wazuh -g wazuh -m 0770 HOME/logs/custom-misp",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWard(t)
			if tt.spoil != nil {
				tt.spoil(t, w)
			}
			w.want(t, w.examine(t, tt.change), tt.check, tt.status, tt.found, tt.remedy)
		})
	}
}

// TestPrint has no text of a server or a file reach the terminal as it is.
func TestPrint(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	Print(&out, []Finding{{Check: "misp", Status: StatusProblem, Found: "version \x1b[31m2\u009b.\u202e5\n", Remedy: "update\x7f"}})
	want := "problem  misp          version ?[31m2?.?5 \n                       → update?\n1 problem; 0 ok, 0 skipped\n"
	if got := out.String(); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
