package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"custom-misp/engine/wazuh"
)

// TestLayers lays one more layer in each case over those before it; the last one counts.
func TestLayers(t *testing.T) {
	type seen struct {
		url, urlFrom string
		timeout      time.Duration
		level        string
	}
	home := t.TempDir()
	r := Request{Home: home}
	steps := []struct {
		name string
		lay  func()
		want seen
	}{
		{"defaults", func() {}, seen{"", "default", 10 * time.Second, "INFO"}},
		{"file", func() {
			write(t, filepath.Join(home, "etc/custom-misp.yaml"), "misp: {url: https://file.example}\ntimeout: 11s\nlog: {level: warn}\n", 0o600)
		}, seen{"https://file.example", filepath.Join(home, "etc/custom-misp.yaml"), 11 * time.Second, "WARN"}},
		{"environment", func() {
			t.Setenv("CUSTOM_MISP_MISP_URL", "https://env.example")
			t.Setenv("CUSTOM_MISP_TIMEOUT", "12")
			t.Setenv("CUSTOM_MISP_LOG_LEVEL", "") // as good as not set
		}, seen{"https://env.example", "environment CUSTOM_MISP_MISP_URL", 12 * time.Second, "WARN"}},
		{"options", func() {
			r.Options = []byte(`{"misp": {"url": "https://options.example"}, "log.level": "error", "timeout": 13}`)
		}, seen{"https://options.example", "<options>", 13 * time.Second, "ERROR"}},
		{"options in a file", func() {
			name := filepath.Join(home, "options")
			write(t, name, `{"misp.url": "https://file-of-options.example"}`, 0o600)
			r.Call = &wazuh.Call{OptionsFile: name, Retries: -1}
		}, seen{"https://file-of-options.example", "<options>", 13 * time.Second, "ERROR"}},
		{"ossec.conf", func() {
			r.Call.HookURL, r.Call.Timeout, r.Call.Debug = "https://hook.example", 14*time.Second, true
		}, seen{"https://hook.example", "ossec.conf", 14 * time.Second, "DEBUG"}},
		{"flags", func() { r.Flags = Flags{URL: "https://flag.example"} }, seen{"https://flag.example", "flag", 14 * time.Second, "DEBUG"}},
	}
	for _, s := range steps {
		s.lay()
		c, err := Load(r)
		if err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		got := seen{c.MISP.URL, c.values.from["misp.url"], c.Timeout, c.Log.Level.String()}
		if diff := cmp.Diff(s.want, got, cmp.AllowUnexported(seen{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", s.name, diff)
		}
	}
}

// TestLayersOfKeys has of a key and a file with a key that one count which the later layer gives.
func TestLayersOfKeys(t *testing.T) {
	const byFile, byText = "file", "text"
	tests := []struct {
		name, file string
		env        map[string]string
		options    string
		call       *wazuh.Call
		flags      Flags
		want       string
	}{
		{name: "neither", want: ""},
		{name: "text alone", file: "misp: {key: text}", want: byText},
		{name: "both in one layer", file: "misp: {key: text, key_file: etc/key}", want: byFile},
		{name: "text is later", file: "misp: {key_file: etc/key}", env: map[string]string{"CUSTOM_MISP_MISP_KEY": "text"}, want: byText},
		{name: "file is later", file: "misp: {key: other}", options: `{"misp.key_file": "etc/key"}`, want: byFile},
		{name: "api_key over <options>", options: `{"misp.key_file": "etc/key"}`, call: &wazuh.Call{APIKey: "text", Retries: -1}, want: byText},
		{name: "flag over api_key", call: &wazuh.Call{APIKey: "other", Retries: -1}, flags: Flags{KeyFile: "HOME/etc/key"}, want: byFile},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			home := newHome(t, tt.file)
			write(t, filepath.Join(home, "etc/key"), byFile+"\n", 0o640)
			for name, value := range tt.env {
				t.Setenv(name, value)
			}
			tt.flags.KeyFile = strings.Replace(tt.flags.KeyFile, "HOME", home, 1)
			c, err := Load(Request{Home: home, Options: []byte(tt.options), Call: tt.call, Flags: tt.flags})
			if err != nil {
				t.Fatal(err)
			}
			if got, err := c.MISP.Key.Read(); got != tt.want || err != nil {
				t.Errorf("key %q, %v, want %q", got, err, tt.want)
			}
			if got, want := c.MISP.Key.InOssecConf(), tt.call != nil && tt.want == byText; got != want {
				t.Errorf("in ossec.conf: %t", got)
			}
		})
	}
}

// TestFlags has whoever names a feed or a MISP get the answer of that one, with paths from where they are.
func TestFlags(t *testing.T) {
	t.Parallel()
	home := newHome(t, "misp: {url: https://file.example}\nfeed: {dir: etc/feed}\nlookup: {policy: mirror}\n")
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	type seen struct{ url, feed, ca, policy string }
	for name, tt := range map[string]struct {
		flags Flags
		want  seen
	}{
		"none":    {Flags{}, seen{"https://file.example", filepath.Join(home, "etc/feed"), "", "mirror"}},
		"address": {Flags{URL: "https://flag.example", CAFile: "ca.pem"}, seen{"https://flag.example", "", filepath.Join(here, "ca.pem"), "live"}},
		"feed":    {Flags{FeedDir: "mine"}, seen{"https://file.example", filepath.Join(here, "mine"), "", "live"}},
	} {
		c, err := Load(Request{Home: home, Flags: tt.flags})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(tt.want, seen{c.MISP.URL, c.FeedDir, c.MISP.CAFile, string(c.Lookup.Policy)}, cmp.AllowUnexported(seen{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestDefaultsMayBeAbsent knows the default directory of mappings and the default queue from ones that were named.
func TestDefaultsMayBeAbsent(t *testing.T) {
	t.Parallel()
	type seen struct{ mappings, queue bool }
	for text, want := range map[string]seen{
		"":                                    {true, true},
		"mappings: {dirs: [etc/m]}":           {false, true},
		"wazuh: {queue: queue/ossec/queue}":   {true, false},
		"wazuh: {queue: queue/sockets/queue}": {true, false},
	} {
		c, err := Load(Request{Home: newHome(t, text)})
		if err != nil {
			t.Fatal(err)
		}
		if got := (seen{c.Mappings.MayBeAbsent, c.Queue.Default}); got != want {
			t.Errorf("%q: %+v, want %+v", text, got, want)
		}
	}
}
