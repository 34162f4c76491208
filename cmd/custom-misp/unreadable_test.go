package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"custom-misp/cmd/custom-misp/internal/wazuhtest"
)

// TestVerbsOfAuthors has the verbs of those who write mappings work for a user who may not read Wazuh's configuration.
func TestVerbsOfAuthors(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("becomes another user")
	}
	m := newManager(t)
	m.configure(t, "misp: {key: fake-key-for-tests-only}\n")
	dir, err := os.MkdirTemp("", "author")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	for _, name := range []string{"../../mappings/dns.yaml", "../../mappings/dns_test.yaml", "../../testdata/alerts/sysmon-windows-22-dns.json"} {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(name)), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	program, err := wazuhtest.Program()
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []string{dir, program} {
		if err := os.Chmod(at, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(m.home, 0o700); err != nil {
		t.Fatal(err)
	}
	alert := filepath.Join(dir, "sysmon-windows-22-dns.json")
	for _, args := range [][]string{
		{"test", dir}, {"explain", alert}, {"coverage", alert}, {"mappings"}, {"schema"}, {"lint", filepath.Join(dir, "dns.yaml")}, {"example"},
	} {
		cmd, out := wazuhtest.Command(m.home, append(args, "--home", m.home)...)
		cmd.Path, cmd.Args[0], cmd.Dir = program, "custom-misp", dir
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		if err := cmd.Run(); err != nil {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
		if strings.Contains(out.String(), "fake-key") {
			t.Errorf("%v shows the key", args)
		}
	}
}
