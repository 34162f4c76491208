package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/cmd/custom-misp/internal/config"
	"custom-misp/cmd/custom-misp/internal/doctor"
	"custom-misp/misp/misptest"
)

// wrongValues has for each key with a form a value that is not of it.
var wrongValues = map[string]string{
	"misp.url": "misp.example.org", "misp.pins": "[sha256/x]", "misp.insecure_skip_verify": "perhaps", "misp.timeout": "soon", "misp.retries": "many",
	"timeout": "soon", "lookup.to_ids": "perhaps", "lookup.warninglists": "perhaps", "lookup.published": "perhaps", "lookup.min_threat_level": "huge",
	"lookup.max_age": "old", "lookup.min_decay_score": "101", "lookup.match_kinds": "[nearly]", "lookup.policy": "both", "lookup.remember_hit": "long",
	"lookup.remember_miss": "long", "mirror.misp": "perhaps", "mirror.feeds": "[etc/feed]", "mirror.lists": "[etc/list]", "mirror.interval": "often",
	"mirror.feed_interval": "often", "mirror.reconcile_interval": "often", "mirror.full_interval": "often", "mirror.timeout": "long",
	"serve.start": "middle", "serve.listen": "127.0.0.1", "serve.listen_anywhere": "perhaps", "serve.stale_after": "soon", "sightings.enabled": "perhaps",
	"sightings.tlp_red": "perhaps", "mappings.builtin": "perhaps", "ignore.values": "[10.0.0.0/99]", "wazuh.plain_header": "perhaps",
	"wazuh.send_timeout": "long", "spool.max_entries": "many", "spool.max_mib": "many", "spool.drain_time": "long", "error_interval": "often",
	"log.format": "xml", "log.level": "loud",
}

// A breakage is a configuration that cannot be used, for another reason than the form of a value.
type breakage struct {
	key   string            // that every verb has to name
	name  string            // of the test
	keys  map[string]string // set over the base, an empty text takes one away
	files map[string]string // to be written, by name; a name with a slash at its end is a directory
	open  string            // a file that everyone may read
	fault string            // part of what every verb has to say
	done  bool              // a call does its work all the same: only serve cannot
}

const mirrored = "[one=etc/one]"

// breakages are all of them; %H is the home.
var breakages = []breakage{
	{key: "misp.url", name: "not set", keys: map[string]string{"misp.url": ""}, fault: "misp.url is not set"},
	{key: "misp.key", name: "in an open file", keys: map[string]string{"misp.key": misptest.Key}, open: "etc/custom-misp.yaml", fault: "open to everybody"},
	{key: "misp.url", name: "with a query", keys: map[string]string{"misp.url": "'https://misp.example.org/?a=b'"}, fault: "host and path alone"},
	{key: "misp.key", name: "not a key", keys: map[string]string{"misp.key_file": "", "misp.key": "'a b'"}, fault: "characters that no key has"},
	{key: "misp.key_file", name: "not a key", files: map[string]string{"etc/key": "a b"}, fault: "characters that no key has"},
	{key: "misp.key_file", name: "neither it nor a key", keys: map[string]string{"misp.key_file": ""}, fault: "no key for"},
	{key: "misp.key_file", name: "absent", keys: map[string]string{"misp.key_file": "etc/gone"}, fault: "%H/etc/gone"},
	{key: "misp.key_file", name: "unreadable", keys: map[string]string{"misp.key_file": "etc"}, fault: "is a directory"},
	{key: "misp.key_file", name: "open", open: "etc/key", fault: "open to everybody"},
	{key: "misp.key_file", name: "empty", files: map[string]string{"etc/key": "\n"}, fault: "etc/key"},
	{key: "misp.ca_file", name: "absent", keys: map[string]string{"misp.ca_file": "etc/gone"}, fault: "%H/etc/gone"},
	{key: "misp.ca_file", name: "unreadable", keys: map[string]string{"misp.ca_file": "etc"}, fault: "is a directory"},
	{key: "misp.ca_file", name: "without a certificate", keys: map[string]string{"misp.ca_file": "etc/key"}, fault: "no certificate"},
	{key: "misp.ca_file", name: "empty", keys: map[string]string{"misp.ca_file": "etc/empty"}, files: map[string]string{"etc/empty": ""}, fault: "no certificate"},
	{key: "misp.client_cert_file", name: "without a key", keys: map[string]string{"misp.client_cert_file": "etc/key"}, fault: "needs both"},
	{key: "misp.client_key_file", name: "without a certificate", keys: map[string]string{"misp.client_key_file": "etc/key"}, fault: "needs both"},
	{
		key: "misp.client_cert_file", name: "absent", keys: map[string]string{"misp.client_cert_file": "etc/gone", "misp.client_key_file": "etc/key"},
		fault: "%H/etc/gone",
	},
	{
		key: "misp.client_key_file", name: "absent", keys: map[string]string{"misp.client_cert_file": "etc/key", "misp.client_key_file": "etc/gone"},
		fault: "%H/etc/gone",
	},
	{
		key: "misp.client_key_file", name: "open", keys: map[string]string{"misp.client_cert_file": "etc/key", "misp.client_key_file": "etc/own"},
		files: map[string]string{"etc/own": "x"}, open: "etc/own", fault: "open to everybody",
	},
	{
		key: "misp.client_cert_file", name: "not PEM", keys: map[string]string{"misp.client_cert_file": "etc/key", "misp.client_key_file": "etc/key"},
		fault: "PEM",
	},
	{key: "feed.dir", name: "absent", keys: map[string]string{"feed.dir": "etc/gone"}, fault: "%H/etc/gone"},
	{key: "feed.dir", name: "without a manifest", keys: map[string]string{"feed.dir": "etc"}, fault: "manifest.json"},
	{key: "feed.dir", name: "bad manifest", keys: map[string]string{"feed.dir": "feed"}, files: map[string]string{"feed/manifest.json": "["}, fault: "manifest.json"},
	{
		key: "misp.url", name: "nothing to mirror", keys: map[string]string{"lookup.policy": "mirror", "misp.url": ""},
		fault: "nothing to mirror",
	},
	{
		key: "mirror.feeds", name: "nothing to mirror", keys: map[string]string{"lookup.policy": "mirror", "mirror.misp": "false"},
		fault: "nothing to mirror",
	},
	{
		key: "lookup.min_decay_score", name: "under the policy mirror",
		keys: map[string]string{"lookup.policy": "mirror", "mirror.misp": "false", "mirror.lists": mirrored, "lookup.min_decay_score": "50"}, fault: "needs MISP's own scores",
	},
	{
		key: "misp.key_file", name: "absent, to mirror MISP", keys: map[string]string{"lookup.policy": "mirror", "misp.key_file": "etc/gone"},
		fault: "%H/etc/gone",
	},
	{
		key: "misp.ca_file", name: "absent, to mirror MISP and ask it", keys: map[string]string{"lookup.policy": "mirror-then-live", "misp.ca_file": "etc/gone"},
		fault: "%H/etc/gone",
	},
	{
		key: "mirror.feeds", name: "a name twice", keys: map[string]string{"lookup.policy": "mirror", "mirror.feeds": "[one=a, one=b]"},
		fault: `the name "one" stands twice`,
	},
	{
		key: "mirror.lists", name: "the name of a feed", keys: map[string]string{"lookup.policy": "mirror", "mirror.feeds": mirrored, "mirror.lists": mirrored},
		fault: `the name "one" stands twice`,
	},
	{
		key: "misp.key_file", name: "absent, to report sightings under the policy mirror", fault: "%H/etc/gone",
		keys: map[string]string{"lookup.policy": "mirror", "mirror.misp": "false", "mirror.lists": mirrored, "sightings.enabled": "true", "misp.key_file": "etc/gone"},
	},
	{key: "serve.listen", name: "where others can reach it", keys: map[string]string{"serve.listen": "0.0.0.0:9464"}, fault: "others can reach"},
	{key: "serve.alerts", name: "a directory", keys: map[string]string{"serve.alerts": "logs"}, fault: "is a directory", done: true},
	{key: "state_dir", name: "a file", keys: map[string]string{"state_dir": "etc/key"}, fault: "%H/etc/key is not a directory", done: true},
	{key: "state_dir", name: "below a file", keys: map[string]string{"state_dir": "etc/key/state"}, fault: "%H/etc/key is not a directory", done: true},
	{key: "mappings.dirs", name: "absent", keys: map[string]string{"mappings.dirs": "[etc/gone]"}, fault: "%H/etc/gone"},
	{key: "mappings.disable", name: "unknown id", keys: map[string]string{"mappings.disable": "[nothing]"}, fault: "nothing"},
	{key: "ignore.files", name: "absent", keys: map[string]string{"ignore.files": "[etc/gone]"}, fault: "%H/etc/gone"},
	{key: "ignore.files", name: "unreadable", keys: map[string]string{"ignore.files": "[etc]"}, fault: "is a directory"},
	{
		key: "ignore.files", name: "bad line", keys: map[string]string{"ignore.files": "[etc/ignore]"},
		files: map[string]string{"etc/ignore": "# ours\nexample.org\n10.0.0.0/99\n"}, fault: "%H/etc/ignore:3: ",
	},
}

// unbreakable are the keys that take any value of their form, each with the reason.
var unbreakable = map[string]string{
	"lookup.tags":         "any text can be a tag",
	"lookup.exclude_tags": "any text can be a tag",
	"lookup.orgs":         "any text can be an organisation",
	"lookup.exclude_orgs": "any text can be an organisation",
	"sightings.source":    "any text can be a name",
	"wazuh.queue":         "a queue that is not there is an outage: events wait for it in the spool",
	"log.file":            "a log that cannot be opened must not cost an alert",
}

// A verdictSite is a home with a configuration that is good until it is broken.
type verdictSite struct {
	*testManager
	base map[string]string
}

func newVerdictSite(t *testing.T) *verdictSite {
	t.Helper()
	s := &verdictSite{testManager: newHome(t)}
	s.base = map[string]string{"misp.url": s.misp.URL, "misp.key_file": "etc/key", "misp.retries": "0", "mappings.builtin": "false", "serve.start": "end"}
	s.put(t, "etc/key", misptest.Key)
	s.put(t, "etc/custom-misp/mappings/t.yaml", hostMapping)
	s.put(t, "etc/one", "list.bad.example\n")
	return s
}

// put writes a file of the home.
func (s *verdictSite) put(t *testing.T, name, content string) {
	t.Helper()
	replace(t, filepath.Join(s.home, name), content)
}

// set writes the configuration: the base with keys over it.
func (s *verdictSite) set(t *testing.T, keys map[string]string) {
	t.Helper()
	all := maps.Clone(s.base)
	maps.Copy(all, keys)
	sections := map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(all)) {
		section, name, nested := strings.Cut(key, ".")
		switch {
		case all[key] == "":
		case nested:
			sections[section] += fmt.Sprintf("  %s: %s\n", name, all[key])
		default:
			sections[key] = all[key]
		}
	}
	var text strings.Builder
	for _, section := range slices.Sorted(maps.Keys(sections)) {
		if strings.HasPrefix(sections[section], "  ") {
			fmt.Fprintf(&text, "%s:\n%s", section, sections[section])
		} else {
			fmt.Fprintf(&text, "%s: %s\n", section, sections[section])
		}
	}
	s.put(t, "etc/custom-misp.yaml", text.String())
}

// break breaks the site.
func (s *verdictSite) breakIt(t *testing.T, b breakage) {
	t.Helper()
	s.set(t, b.keys)
	for name, content := range b.files {
		s.put(t, name, content)
	}
	if b.open != "" {
		if err := os.Chmod(filepath.Join(s.home, b.open), 0o644); err != nil { //nolint:gosec // that is the fault
			t.Fatal(err)
		}
	}
}

// verdictTime is more than any verb needs to refuse a configuration; serve runs as long if it does not.
const verdictTime = 10 * time.Second

// verdicts asks each verb, in this process, and returns what it says; empty if it finds nothing wrong.
func (s *verdictSite) verdicts(t *testing.T) map[string]string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), verdictTime)
	defer cancel()
	said := map[string]string{}
	for _, verb := range []string{"lint", "config", "serve", "doctor"} {
		var out, errs bytes.Buffer
		code := run(ctx, []string{"custom-misp", verb, "--home", s.home, "--output=json"}[:4+map[string]int{"doctor": 1}[verb]], strings.NewReader(""), &out, &errs)
		said[verb] = errs.String()
		if verb == "doctor" {
			said[verb] = problems(t, out.Bytes())
		}
		if code == cli.ExitOK {
			said[verb] = ""
		}
	}
	var out bytes.Buffer
	alert := s.alert(t, []byte(hostAlert("1", liveHit)))
	if code := run(ctx, []string{"integrations", "--home", s.home, alert}, strings.NewReader(""), &out, &out); code != cli.ExitOK {
		said["call"] = out.String()
	}
	return said
}

// problems returns what doctor found of problems, one a line.
func problems(t *testing.T, report []byte) string {
	t.Helper()
	var findings []doctor.Finding
	if err := json.Unmarshal(report, &findings); err != nil {
		t.Fatalf("doctor: %v in %q", err, report)
	}
	var lines strings.Builder
	for _, f := range findings {
		if f.Status == doctor.StatusProblem {
			fmt.Fprintf(&lines, "%s; %s\n", f.Found, f.Remedy)
		}
	}
	return lines.String()
}

// expectVerdict breaks a site and has every verb say so, in a line that names the key.
func expectVerdict(t *testing.T, b breakage) {
	t.Helper()
	s := newVerdictSite(t)
	s.breakIt(t, b)
	said := s.verdicts(t)
	fault := strings.ReplaceAll(b.fault, "%H", s.home)
	for _, verb := range []string{"doctor", "lint", "config", "call", "serve"} {
		names := func(line string) bool { return strings.Contains(line, b.key) && strings.Contains(line, fault) }
		if !slices.ContainsFunc(strings.Split(said[verb], "\n"), names) {
			t.Errorf("%s says %q, and not %s with %q", verb, said[verb], b.key, fault)
		}
		if strings.Contains(said[verb], misptest.Key) {
			t.Errorf("%s shows the key: %s", verb, said[verb])
		}
	}
	s.expectFate(t, b.done)
}

// expectFate looks what became of the alert of the call: it was looked up and its event sent, or MISP was not asked for its
// value and it is queued.
func (s *verdictSite) expectFate(t *testing.T, done bool) {
	t.Helper()
	asked := slices.ContainsFunc(s.misp.Requests(), func(q misptest.Request) bool { return strings.Contains(fmt.Sprint(q.Body), liveHit) })
	queued := s.queued(t)
	hit := slices.ContainsFunc(s.events(t), func(e string) bool { return strings.HasPrefix(e, "hit ") })
	if asked != done || hit != done || (len(queued) > 0) == done {
		t.Errorf("the alert: asked for %t, event %t, queued %d; want it done %t", asked, hit, len(queued), done)
	}
}

// TestOneVerdict breaks each key of the configuration, in each way in which it can be broken, and finds the same verdict
// from doctor, lint, config, a call by integratord and serve.
func TestOneVerdict(t *testing.T) {
	t.Parallel()
	c, err := config.Load(config.Request{Home: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	isKey, considered := map[string]bool{}, map[string]bool{}
	for _, v := range c.Values()[1:] {
		isKey[v.Key] = true
		_, isList := v.Value.([]string)
		wrong := "[a, b]"
		if isList {
			wrong = "{a: b}"
		}
		t.Run(v.Key+"/other shape", func(t *testing.T) {
			t.Parallel()
			expectVerdict(t, breakage{key: v.Key, keys: map[string]string{v.Key: wrong}, fault: "custom-misp.yaml:"})
		})
	}
	for key, value := range wrongValues {
		considered[key] = true
		t.Run(key+"/other form", func(t *testing.T) {
			t.Parallel()
			expectVerdict(t, breakage{key: key, keys: map[string]string{key: value}, fault: "custom-misp.yaml:"})
		})
	}
	for _, b := range breakages {
		considered[b.key] = true
		t.Run(b.key+"/"+b.name, func(t *testing.T) {
			t.Parallel()
			expectVerdict(t, b)
		})
	}
	for key, reason := range unbreakable {
		if considered[key] || reason == "" {
			t.Errorf("%s is in unbreakable, and broken, or without a reason", key)
		}
		considered[key] = true
	}
	for key := range isKey {
		if !considered[key] {
			t.Errorf("%s: add a value to wrongValues or a case to breakages, or say in unbreakable why it cannot be broken", key)
		}
	}
	for key := range considered {
		if !isKey[key] {
			t.Errorf("%s is not a key", key)
		}
	}
}

// TestOneVerdictGood finds nothing wrong with the site that is broken above.
func TestOneVerdictGood(t *testing.T) {
	t.Parallel()
	s := newVerdictSite(t)
	s.set(t, nil)
	for _, verb := range []string{"lint", "config"} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), []string{"custom-misp", verb, "--home", s.home}, strings.NewReader(""), &out, &errs); code != cli.ExitOK || errs.Len() > 0 {
			t.Errorf("%s: exit code %d, %q", verb, code, &errs)
		}
	}
	var out bytes.Buffer
	alert := s.alert(t, []byte(hostAlert("1", liveHit)))
	if code := run(t.Context(), []string{"integrations", "--home", s.home, alert}, strings.NewReader(""), &out, &out); code != cli.ExitOK || out.Len() > 0 {
		t.Errorf("call: exit code %d, %q", code, &out)
	}
	if _, events := s.received(t); len(events) != 1 {
		t.Errorf("events %v", events)
	}
}
