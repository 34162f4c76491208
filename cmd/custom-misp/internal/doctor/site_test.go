package doctor

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/cmd/custom-misp/internal/config"
	"custom-misp/cmd/custom-misp/internal/manager"
	"custom-misp/misp/misptest"
)

// A ward is a manager in good health: all files that an installation has, a queue, and a MISP with TLS.
type ward struct {
	home    string
	misp    *misptest.Server
	url     string
	answers map[string]string // what MISP answers instead, by path
}

func newWard(t *testing.T) *ward {
	t.Helper()
	home, err := os.MkdirTemp("", "ossec") // short: the address of a unix socket has 107 bytes at most
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	w := &ward{home: home, misp: misptest.New(t, os.DirFS("../../../../testdata/feed"))}
	secure := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if body, ok := w.answers[r.URL.Path]; ok {
			rw.Header().Set("Content-Type", "application/json")
			fmt.Fprint(rw, body)
			return
		}
		w.misp.Config.Handler.ServeHTTP(rw, r)
	}))
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	w.url = secure.URL
	for _, dir := range []string{"", "integrations", "bin", "etc/rules", "ruleset/rules", "logs/alerts", "queue/sockets", "var/run"} {
		w.mkdir(t, dir, 0o750)
	}
	for _, dir := range []string{"logs", "var/run"} {
		w.mkdir(t, dir, 0o770)
	}
	conf, err := os.ReadFile("../../../../examples/ossec.conf")
	if err != nil {
		t.Fatal(err)
	}
	rules, err := os.ReadFile("../../../../examples/rules/misp_rules.xml")
	if err != nil {
		t.Fatal(err)
	}
	w.write(t, "integrations/custom-misp", "binary", 0o750)
	w.write(t, "bin/wazuh-control", "#!/bin/sh\nVERSION=\"v4.14.7\"\n", 0o750)
	w.write(t, "etc/ossec.conf", string(conf), 0o660)
	w.write(t, "etc/rules/misp_rules.xml", string(rules), 0o660)
	w.write(t, "ruleset/rules/0010-rules_config.xml", `<group name="syslog,"><rule id="1" level="0"><match>\<x></match></rule></group>`, 0o640)
	w.write(t, "ruleset/rules/0015-ossec_rules.xml", `<group name="sysmon,syscheck,ids,web,">`+strings.Repeat(`<rule id="550" level="7"><group>sysmon_event1,pci_dss_11.5,</group></rule>`, enoughRules)+`</group>`, 0o640)
	w.write(t, "logs/alerts/alerts.json", "", 0o640)
	w.restarted(t)
	w.write(t, "etc/custom-misp.key", misptest.Key+"\n", 0o640)
	w.write(t, "etc/misp-ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})), 0o640)
	w.configure(t, "")
	w.listen(t)
	return w
}

func (w *ward) path(name string) string { return filepath.Join(w.home, name) }

func (w *ward) mkdir(t *testing.T, name string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(w.path(name), mode); err != nil {
		t.Fatal(err)
	}
	w.chmod(t, name, mode)
}

func (w *ward) write(t *testing.T, name, content string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(w.path(name), []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	w.chmod(t, name, mode)
}

func (w *ward) chmod(t *testing.T, name string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(w.path(name), mode); err != nil {
		t.Fatal(err)
	}
}

func (w *ward) remove(t *testing.T, name string) {
	t.Helper()
	if err := os.RemoveAll(w.path(name)); err != nil {
		t.Fatal(err)
	}
}

// replace changes a file's text.
func (w *ward) replace(t *testing.T, name, from, to string) {
	t.Helper()
	data, err := os.ReadFile(w.path(name))
	if err != nil || !strings.Contains(string(data), from) {
		t.Fatalf("%s does not have %q, %v", name, from, err)
	}
	if err := os.WriteFile(w.path(name), []byte(strings.ReplaceAll(string(data), from, to)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// configure writes the configuration with more lines.
func (w *ward) configure(t *testing.T, more string) {
	t.Helper()
	w.write(t, "etc/custom-misp.yaml", "misp: {url: "+w.url+", key_file: etc/custom-misp.key, ca_file: etc/misp-ca.pem}\n"+more, 0o640)
}

// block writes ossec.conf with one block of these elements.
func (w *ward) block(t *testing.T, elements string) {
	t.Helper()
	w.write(t, "etc/ossec.conf", "<ossec_config>\n<integration>\n"+elements+"\n</integration>\n</ossec_config>\n", 0o660)
}

// Numbers of processes that examine takes for Wazuh's.
const (
	pidAnalysisd   = 4001
	pidIntegratord = 4002
)

// restarted leaves what a start of Wazuh does.
func (w *ward) restarted(t *testing.T) {
	t.Helper()
	w.write(t, fmt.Sprintf("var/run/wazuh-analysisd-%d.pid", pidAnalysisd), "", 0o640)
	w.write(t, fmt.Sprintf("var/run/wazuh-integratord-%d.pid", pidIntegratord), "", 0o640)
	w.write(t, "logs/ossec.log", "2026/11/25 10:00:00 wazuh-integratord: INFO: Enabling integration for: 'custom-misp'.\n", 0o660)
}

func (w *ward) listen(t *testing.T) {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: w.path("queue/sockets/queue"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	w.chmod(t, "queue/sockets/queue", 0o660)
}

// examine runs doctor for a wazuh that is another than the owner of the files, but of their group.
func (w *ward) examine(t *testing.T, change func(*examination)) []Finding {
	t.Helper()
	return w.examination(t, change).examine(t.Context())
}

// examination is what examine runs the checks of.
func (w *ward) examination(t *testing.T, change func(*examination)) *examination {
	t.Helper()
	i := &examination{Installation: manager.Open(w.home), root: uint32(os.Getuid()), now: time.Now, systemd: true}
	i.readOnly = func(string) bool { return false }
	i.comm = func(pid int) string {
		name := map[int]string{pidAnalysisd: "wazuh-analysisd", pidIntegratord: "wazuh-integratord"}[pid]
		return name[:min(len(name), 15)]
	}
	i.User = manager.Account{Name: "wazuh", Group: "wazuh", UID: uint32(os.Getuid()) + 1, Groups: []uint32{uint32(os.Getgid())}, IsWazuh: true}
	i.config, i.configErr = i.Config("", config.Flags{})
	if change != nil {
		change(i)
	}
	return i
}

// tree describes all files of the home directory.
func (w *ward) tree(t *testing.T) []string {
	t.Helper()
	var tree []string
	err := filepath.Walk(w.home, func(path string, st os.FileInfo, err error) error {
		if err == nil {
			tree = append(tree, fmt.Sprint(path, st.Mode(), st.Size(), st.ModTime()))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// want looks for one finding, and for the key in all of them.
func (w *ward) want(t *testing.T, findings []Finding, check string, s Status, found, remedy string) {
	t.Helper()
	var out bytes.Buffer
	Print(&out, findings)
	if strings.Contains(out.String(), misptest.Key) {
		t.Errorf("the key is printed:\n%s", &out)
	}
	found, remedy = cli.Clean(strings.ReplaceAll(found, "HOME", w.home)), strings.ReplaceAll(remedy, "HOME", w.home)
	for _, f := range findings {
		if f.Check == check && f.Status == s && strings.Contains(f.Found, found) && strings.Contains(f.Remedy, remedy) {
			return
		}
	}
	t.Errorf("no %s of %s with %q and %q:\n%s", s, check, found, remedy, &out)
}

// sync brings the mirror up to date.
func (w *ward) sync(t *testing.T) {
	t.Helper()
	c, err := manager.Open(w.home).Config("", config.Flags{})
	if err != nil {
		t.Fatal(err)
	}
	syncs, closeAll, err := app.Syncs(c, cli.NoLog())
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll()
	for _, s := range syncs {
		if _, err := s.Run(t.Context(), false); err != nil {
			t.Fatal(err)
		}
	}
}
