package config

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/engine/wazuh"
)

// TestFaultsAtOnce finds the faults of all layers in one run, names the place of each, and keeps what is good: an alert
// is queued where the configuration says.
func TestFaultsAtOnce(t *testing.T) {
	home := newHome(t, "state_dir: /from/file\nmisp:\n  url: misp.example.org\n  retries: [1, 2]\nlookup: {to_ids: perhaps, tag: x}\nlog: text\n")
	file := filepath.Join(home, "etc/custom-misp.yaml")
	t.Setenv("CUSTOM_MISP_TIMEOUT", "soon")
	t.Setenv("CUSTOM_MISP_MISP_RETRY", "1")
	c, err := Load(Request{
		Home: home, Options: []byte(`{"spool": {"max_mib": -1, "max_entries": 7}, "lookup": 1, "misp.keys": "x", "ignore.values": [["a"]]}`),
		Call:  &wazuh.Call{HookURL: "misp.example.org", OptionsFile: home, Retries: -1},
		Flags: Flags{URL: "https://a.example", FeedDir: "b"},
	})
	want := []string{
		file + `:3:8: misp.url: "misp.example.org" is not an address like https://misp.example.org`,
		file + `:4:12: misp.retries: takes one value, not a list`,
		file + `:5:18: lookup.to_ids: "perhaps" is neither true nor false`,
		file + `:5:27: unknown key "tag" in section lookup; did you mean "tags"?`,
		file + `:6:6: section log must be a set of keys and values, not "text"; write KEY: VALUE, each on a line of its own`,
		`custom-misp: environment: unknown variable CUSTOM_MISP_MISP_RETRY; did you mean "CUSTOM_MISP_MISP_RETRIES"?`,
		`custom-misp: environment: CUSTOM_MISP_TIMEOUT: "soon" is not a time like 10s or 500ms`,
		`custom-misp: <options>: ignore.values takes a value; leave the key out for none`,
		`custom-misp: <options>: lookup is a section; write {"lookup": {...}}`,
		`custom-misp: <options>: unknown key "misp.keys"; did you mean "misp.key"?`,
		`custom-misp: <options>: spool.max_mib: "-1" is not a number from 0 to 1000000`,
		`custom-misp: options: read ` + home + `: is a directory`,
		`custom-misp: hook_url: "misp.example.org" is not an address like https://misp.example.org`,
		`custom-misp: --feed and --url exclude each other`,
	}
	got := lines(err)
	slices.Sort(want[5:7]) // the environment has no order
	slices.Sort(got[min(5, len(got)):min(7, len(got))])
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
	if code := cli.Report(io.Discard, err); code != cli.ExitWrongUse {
		t.Errorf("exit code %d", code)
	}
	if c.StateDir != "/from/file" || c.Spool.MaxEntries != 7 || c.MISP.Retries != 3 {
		t.Errorf("state_dir %s, spool.max_entries %d, misp.retries %d", c.StateDir, c.Spool.MaxEntries, c.MISP.Retries)
	}
}

// TestFaults has one fault a case.
func TestFaults(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, file, options, want string }{
		{name: "syntax", file: "misp: {url", want: "custom-misp.yaml:1:"},
		{name: "no mapping", file: "- misp", want: "must be a set of keys and values, not a list; write KEY: VALUE, each on a line of its own"},
		{name: "key twice", file: "timeout: 1s\ntimeout: 2s\n", want: "timeout"},
		{name: "section as a value", file: "misp: {url: {a: b}}", want: "misp.url takes a value, not a set of keys"},
		{name: "user in an address", file: "misp: {url: 'https://user:secret@misp.example.org'}", want: "misp.url: an address must not hold a user or password"},
		{name: "user in no address", file: "misp: {url: 'user:secret@misp.example.org'}", want: "misp.url: this is not an address"},
		{name: "query in an address", file: "misp: {url: 'https://misp.example.org/?key=secret'}", want: "misp.url: an address must be host and path alone"},
		{name: "fragment in an address", file: "misp: {url: 'https://misp.example.org/#secret'}", want: "misp.url: an address must be host and path alone"},
		{name: "port of an address", file: "misp: {url: 'https://misp.example.org:99999'}", want: "misp.url: "},
		{name: "address without a host", file: "misp: {url: 'https://:443'}", want: "misp.url: "},
		{name: "address of another scheme", file: "misp: {url: 'ftp://misp.example.org'}", want: "misp.url: "},
		{name: "time too long", file: "timeout: 25h", want: "timeout: "},
		{name: "time zero", file: "misp: {timeout: 0s}", want: "misp.timeout: "},
		{name: "number too large", file: "misp: {retries: 101}", want: "from 0 to 100"},
		{name: "pin", file: "misp: {pins: [sha256/x]}", want: "misp.pins: "},
		{name: "network", file: "ignore: {values: [example.org, 10.0.0.0/99]}", want: "ignore.values: "},
		{name: "kind of match", file: "lookup: {match_kinds: [exact, nearly]}", want: `lookup.match_kinds: "nearly" is not one of`},
		{name: "policy", file: "lookup: {policy: both}", want: `lookup.policy: "both" is not one of live, mirror, mirror-then-live`},
		{name: "source without a name", file: "mirror: {feeds: ['https://feed.example.org']}", want: "mirror.feeds: "},
		{name: "source named as MISP is", file: "mirror: {lists: [misp=etc/list]}", want: "mirror.lists: the name"},
		{name: "source in capitals", file: "mirror: {lists: [List=etc/list]}", want: "mirror.lists: "},
		{name: "source of another scheme", file: "mirror: {lists: ['list=ftp://a/b']}", want: "mirror.lists: "},
		{name: "address to listen at without a port", file: "serve: {listen: 127.0.0.1}", want: "serve.listen: "},
		{name: "port to listen at", file: "serve: {listen: '127.0.0.1:65536'}", want: "serve.listen: "},
		{name: "address that others can reach", file: "serve: {listen: '0.0.0.0:9464'}", want: "serve.listen: others can reach"},
		{name: "options no JSON", options: "misp.url", want: "<options> is not a JSON object"},
		{name: "options a list", options: "[1]", want: "<options> is not a JSON object"},
		{name: "options cut", options: `{"misp": {`, want: "<options> is not a JSON object"},
		{name: "options with more behind", options: `{} {"misp.url": "https://a.example"}`, want: "<options> has something after its JSON object"},
		{name: "options with null", options: `{"misp": {"key": null}}`, want: "<options>: misp.key takes a value"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, err := Load(Request{Home: newHome(t, tt.file), Options: []byte(tt.options)})
			got := lines(err)
			if c == nil || len(got) != 1 || !strings.Contains(got[0], tt.want) {
				t.Errorf("faults %q, want one with %q", got, tt.want)
			}
			if strings.Contains(strings.Join(got, ""), "secret") {
				t.Errorf("a secret is shown: %q", got)
			}
		})
	}
	for _, good := range []string{
		"serve: {listen: '127.0.0.1:0'}", "serve: {listen: 'localhost:9464'}", "serve: {listen: '[::1]:9464'}",
		"serve: {listen: ':9464', listen_anywhere: true}", "misp: {url: ''}", "lookup: {max_age: ''}", "{}",
	} {
		if _, err := Load(Request{Home: newHome(t, good)}); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
}

// TestOptionsFile has odd files in the place of the one with <options>, which is where every user can write.
func TestOptionsFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pipe, long, good := filepath.Join(dir, "pipe.options"), filepath.Join(dir, "long.options"), filepath.Join(dir, "good.options")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, size := range map[string]int64{long: 1 << 40, good: 0} {
		if err := os.WriteFile(name, []byte(`{"timeout": "3s"}`), 0o600); err != nil {
			t.Fatal(err)
		}
		if size > 0 {
			if err := os.Truncate(name, size); err != nil { // takes no place on the disk
				t.Fatal(err)
			}
		}
	}
	for name, want := range map[string]string{
		pipe: "options: read " + pipe + ": not a regular file", long: "longer than such a file can be (1048576 bytes)", good: "",
		filepath.Join(dir, "gone.options"): "",
	} {
		_, err := Load(Request{Home: newHome(t, ""), Call: &wazuh.Call{OptionsFile: name, Retries: -1}})
		if got := strings.Join(lines(err), "\n"); !strings.Contains(got, want) || (want == "") != (err == nil) {
			t.Errorf("%s: %q, want %q", filepath.Base(name), got, want)
		}
	}
}

// TestFile is about the file itself: the usual one may be absent, one that is named may not.
func TestFile(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	if c, err := Load(Request{Home: home}); err != nil || c.File != filepath.Join(home, "etc/custom-misp.yaml") {
		t.Errorf("without a file: %s, %v", c.File, err)
	}
	for _, name := range []string{filepath.Join(home, "gone.yaml"), home} {
		if _, err := Load(Request{Home: home, File: name}); err == nil || !strings.HasPrefix(err.Error(), "configuration: ") || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
