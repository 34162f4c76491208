package doctor

import (
	"context"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"custom-misp/cmd/custom-misp/internal/config"
	"custom-misp/cmd/custom-misp/internal/manager"
	"custom-misp/cmd/custom-misp/internal/serve"
)

// TestRemedyWithoutSystemd has the remedies of a container name Wazuh's own script.
func TestRemedyWithoutSystemd(t *testing.T) {
	t.Parallel()
	w := newWard(t)
	w.remove(t, "queue/sockets/queue")
	w.remove(t, "integrations/custom-misp")
	found := w.examine(t, func(i *examination) { i.systemd = false })
	w.want(t, found, "queue", StatusProblem, "is not there", "HOME/bin/wazuh-control start")
	w.want(t, found, "program", StatusProblem, "is not there", "&& HOME/bin/wazuh-control restart")
	for _, f := range found {
		if strings.Contains(f.Remedy, "systemctl") {
			t.Errorf("systemctl in a container: %+v", f)
		}
	}
	w.remove(t, "bin/wazuh-control")
	w.write(t, "etc/ossec-init.conf", "VERSION=\"v4.1.5\"\n", 0o640)
	w.want(t, w.examine(t, func(i *examination) { i.systemd = false }), "queue", StatusProblem, "is not there", "HOME/bin/ossec-control start")
}

// TestRemedyReadOnly has no remedy change what cannot be changed here, as the files of a ConfigMap.
func TestRemedyReadOnly(t *testing.T) {
	t.Parallel()
	w := newWard(t)
	w.chmod(t, "etc/custom-misp.yaml", 0o600)
	w.block(t, blockName+blockFormat+blockLevel+"<timeout>10s</timeout>")
	w.chmod(t, "logs", 0o750)
	readOnly := func(i *examination) {
		i.readOnly = func(path string) bool { return strings.HasPrefix(path, w.path("etc")) }
	}
	found := w.examine(t, readOnly)
	w.want(t, found, "configuration", StatusProblem, "must not read", "change HOME/etc/custom-misp.yaml where it comes from")
	w.want(t, found, "integration", StatusProblem, "is not a number", "change HOME/etc/ossec.conf where it comes from")
	w.want(t, found, "state", StatusProblem, "cannot be made", "install -d -o wazuh")
	for _, f := range found {
		if f.Command && strings.Contains(f.Remedy, w.path("etc")) {
			t.Errorf("%+v", f)
		}
	}
}

// TestServeWithoutAlerts has a serve that follows a file which does not exist be a problem.
func TestServeWithoutAlerts(t *testing.T) {
	w := newWard(t)
	w.block(t, "<name>slack</name>")
	w.mkdir(t, "logs/custom-misp", 0o770)
	w.configure(t, "serve: {alerts: logs/alerts/alert.json}\n")
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	load := func() (*config.Config, error) { return manager.Open(w.home).Config("", config.Flags{}) }
	go func() { ended <- serve.Run(ctx, load, io.Discard) }()
	c, err := load()
	if err != nil {
		t.Fatal(err)
	}
	for begin := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		if now, err := serve.Ask(t.Context(), c); err == nil && now.Running {
			break
		}
		if time.Since(begin) > time.Minute {
			t.Fatal("serve does not run after a minute")
		}
	}
	w.want(t, w.examine(t, nil), "serve", StatusProblem, "serve follows HOME/logs/alerts/alert.json, which does not exist", "HOME/logs/alerts/alerts.json")
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	w.want(t, w.examine(t, nil), "serve", StatusProblem, "serve ran here and does not run now", "systemctl enable --now custom-misp")
	if err := os.Remove(w.path("logs/custom-misp/serve.lock")); err != nil {
		t.Fatal(err)
	}
	for _, f := range w.examine(t, nil) {
		if f.Check == "serve" {
			t.Errorf("serve never ran here: %+v", f)
		}
	}
}

// TestSubstitution has sed see a text as it is.
func TestSubstitution(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ from, to, want string }{
		{"a.b*[c]$", "x&y", `s|a\.b\*\[c\]\$|x\&y|`},
		{"a|b", "a,b", "s#a|b#a,b#"},
		{"it's", "x", ""},
		{"|#~@%!", "x", ""},
	} {
		if got, ok := substitution(tt.from, tt.to); got != tt.want || ok != (tt.want != "") {
			t.Errorf("substitution(%q, %q) = %q, %v, want %q", tt.from, tt.to, got, ok, tt.want)
		}
	}
}

// TestAnotherVersion has doctor say that integratord starts another version than the one that runs, and put it right.
func TestAnotherVersion(t *testing.T) {
	t.Parallel()
	w := newWard(t)
	w.mkdir(t, "usr/bin", 0o755)
	w.write(t, "usr/bin/custom-misp", "binary", 0o755)
	self := func(i *examination) { i.Self = w.path("usr/bin/custom-misp") }
	w.want(t, w.examine(t, self), "program", StatusOK, "HOME/integrations/custom-misp", "")
	w.write(t, "usr/bin/custom-misp", "newer binary", 0o755)
	found := w.examine(t, self)
	w.want(t, found, "program", StatusWarning, "is another version than HOME/usr/bin/custom-misp", "HOME/integrations/custom-misp.new")
	for _, f := range found {
		if f.Check == "program" {
			w.carryOut(t, stubs(t), f.Remedy, true)
		}
	}
	w.want(t, w.examine(t, self), "program", StatusOK, "HOME/integrations/custom-misp", "")
}
