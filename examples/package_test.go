package examples_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// script runs one of the scripts of the packages on a root directory, as dpkg does without a chroot.
func script(t *testing.T, root, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/bin/sh", append([]string{"../.ci/package/" + name}, args...)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DPKG_ROOT=" + root}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// TestPackageScripts has the scripts of the packages put the program in its place, keep what is the administrator's, and
// say what stays. .ci/release-test does the same with whole packages.
func TestPackageScripts(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("files get owners")
	}
	root := t.TempDir()
	home := filepath.Join(root, "var/ossec")
	put := func(name, content string, mode os.FileMode) {
		t.Helper()
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
	}
	want := func(name, content string) {
		t.Helper()
		if got, err := os.ReadFile(filepath.Join(home, name)); err != nil || string(got) != content {
			t.Errorf("%s: %q, %v, want %q", name, got, err, content)
		}
	}
	put("usr/bin/custom-misp", "\x7fELF one", 0o755)
	put("usr/share/custom-misp/examples/custom-misp.yaml", "example", 0o644)
	if said := script(t, root, "postinst", "configure", ""); !strings.Contains(said, "there is no Wazuh manager") {
		t.Errorf("without Wazuh: %q", said)
	}
	put("var/ossec/integrations/other", "", 0o750)
	put("var/ossec/etc/ossec.conf", "<ossec_config/>", 0o660)
	put("var/ossec/logs/ossec.log", "", 0o660)
	if said := script(t, root, "postinst", "configure", ""); !strings.Contains(said, "write the address of MISP") {
		t.Errorf("first installation: %q", said)
	}
	want("integrations/custom-misp", "\x7fELF one")
	want("etc/custom-misp.yaml", "example")
	want("etc/ossec.conf", "<ossec_config/>")

	put("var/ossec/etc/custom-misp.yaml", "ours", 0o640)
	put("usr/bin/custom-misp", "\x7fELF two", 0o755)
	before, err := os.Stat(filepath.Join(home, "integrations/custom-misp"))
	if err != nil {
		t.Fatal(err)
	}
	script(t, root, "prerm", "upgrade", "2")
	script(t, root, "postrm", "upgrade", "2")
	if said := script(t, root, "postinst", "configure", "1"); said != "" {
		t.Errorf("upgrade: %q", said)
	}
	want("integrations/custom-misp", "\x7fELF two")
	want("etc/custom-misp.yaml", "ours")
	after, err := os.Stat(filepath.Join(home, "integrations/custom-misp"))
	if err != nil || os.SameFile(before, after) || after.Mode().Perm() != 0o750 {
		t.Errorf("the file of a program that may run was written to, or has mode %v, %v", after.Mode(), err)
	}

	put("var/ossec/etc/ossec.conf", "<integration><name>custom-misp</name></integration>", 0o660)
	put("var/ossec/logs/custom-misp/spool/a", "{}", 0o640)
	script(t, root, "prerm", "remove")
	said := script(t, root, "postrm", "remove")
	for _, part := range []string{"take its <integration> block out", "/var/ossec/etc/custom-misp.yaml stays", "1 queued alerts"} {
		if !strings.Contains(said, part) {
			t.Errorf("removal says %q, without %q", said, part)
		}
	}
	if _, err := os.Stat(filepath.Join(home, "integrations/custom-misp")); err == nil {
		t.Error("removal leaves the program")
	}
	want("logs/custom-misp/spool/a", "{}")
	script(t, root, "postrm", "purge")
	if _, err := os.Stat(filepath.Join(home, "logs/custom-misp")); err == nil {
		t.Error("purge leaves the state")
	}
}

// TestReleaseRefusesVersions has no word that is not a version become one, or a path.
func TestReleaseRefusesVersions(t *testing.T) {
	for _, version := range []string{"", "1.0", "latest", "v1.0.0/..", "v1.0.0 x"} {
		var out bytes.Buffer
		cmd := exec.CommandContext(t.Context(), "bash", "../.ci/release", version)
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Run(); err == nil || !strings.Contains(out.String(), "with a VERSION like v1.2.3") {
			t.Errorf("%q: %v, %s", version, err, &out)
		}
	}
}
