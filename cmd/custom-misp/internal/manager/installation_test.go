package manager

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"custom-misp/cmd/custom-misp/internal/config"
)

// newHome returns a Wazuh of a version with elements in the block of the program.
func newHome(t *testing.T, version, elements string) string {
	t.Helper()
	home := t.TempDir()
	for name, content := range map[string]string{
		"etc/ossec.conf": "<ossec_config><integration><name>slack</name><hook_url>https://other.example</hook_url></integration>" +
			"<integration><name>custom-misp</name>" + elements + "</integration></ossec_config>",
		"VERSION.json":         `{"version":"` + version + `"}`,
		"etc/custom-misp.yaml": "timeout: 20s\nmisp: {retries: 5, url: https://file.example}\n",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(home, name)), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(home, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return home
}

// TestConfig has the configuration be that of a call: with what integratord of that version passes.
func TestConfig(t *testing.T) {
	t.Parallel()
	type seen struct {
		URL     string
		Timeout time.Duration
		Retries int
		Level   string
	}
	for name, tt := range map[string]struct {
		version, elements string
		flags             config.Flags
		want              seen
	}{
		"4.7 passes no times":           {"4.7.5", "<hook_url>https://hook.example</hook_url>", config.Flags{}, seen{"https://hook.example", 20 * time.Second, 5, "INFO"}},
		"4.8 passes its defaults":       {"4.8.0", "", config.Flags{}, seen{"https://file.example", 10 * time.Second, 3, "INFO"}},
		"4.14 passes what is set":       {"4.14.7", "<timeout>7</timeout><retries>0</retries>", config.Flags{}, seen{"https://file.example", 7 * time.Second, 0, "INFO"}},
		"no version is a late one":      {"", "", config.Flags{}, seen{"https://file.example", 10 * time.Second, 3, "INFO"}},
		"options under the block":       {"4.7.5", `<options>{"misp.url": "https://options.example", "log": {"level": "warn"}}</options>`, config.Flags{}, seen{"https://options.example", 20 * time.Second, 5, "WARN"}},
		"the block counts over options": {"4.7.5", `<options>{"misp.url": "https://options.example"}</options><hook_url>https://hook.example</hook_url>`, config.Flags{}, seen{"https://hook.example", 20 * time.Second, 5, "INFO"}},
		"flags count over all":          {"4.14.7", "<hook_url>https://hook.example</hook_url>", config.Flags{URL: "https://flag.example"}, seen{"https://flag.example", 10 * time.Second, 3, "INFO"}},
		"a number with a unit is none":  {"4.14.7", "<timeout>7s</timeout>", config.Flags{}, seen{"https://file.example", 10 * time.Second, 3, "INFO"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := Open(newHome(t, tt.version, tt.elements))
			c, err := i.Config("", tt.flags)
			if err != nil || len(i.Blocks) != 1 || i.Version != tt.version {
				t.Fatalf("%d blocks, version %q, %v", len(i.Blocks), i.Version, err)
			}
			if diff := cmp.Diff(tt.want, seen{c.MISP.URL, c.Timeout, c.MISP.Retries, c.Log.Level.String()}); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestSince compares versions by their numbers.
func TestSince(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]bool{"4.8.0": true, "4.10.1": true, "5.0.0": true, "4.7.5": false, "3.13.0": false, "": true, "rolling": true} {
		if got := (&Installation{Version: version}).Since(4, 8); got != want {
			t.Errorf("%q: %t", version, got)
		}
	}
}

// TestFindHome takes what it is told, made absolute, and Wazuh's usual place otherwise.
func TestFindHome(t *testing.T) {
	t.Parallel()
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for told, want := range map[string]string{"/a": "/a", "b": filepath.Join(here, "b"), "": config.DefaultHome} {
		if got := FindHome(told); got != want {
			t.Errorf("%q: %s, want %s", told, got, want)
		}
	}
}
