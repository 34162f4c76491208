package config

import (
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"custom-misp/cmd/custom-misp/internal/handover"
)

// candidates are texts of which each form accepts one that is not the default of its key.
var candidates = []string{
	"false", "true", "7", "7s", "https://other.example", "high", "30d", "exact", "ignore", "accept", "mirror", "beginning", "json", "debug",
	"127.0.0.1:9464", "sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "one=etc/one", "count", "email",
}

// another returns a value of an option that is not the default.
func another(t *testing.T, o option) any {
	t.Helper()
	for _, text := range candidates {
		if v, err := o.form.parse([]string{text}); err == nil && !reflect.DeepEqual(v, o.def) {
			return v
		}
	}
	t.Fatalf("%s: add a value for its form to candidates", o.key)
	return nil
}

// with returns the configuration in which one key has another value, as if that were its default.
func with(t *testing.T, home, key string, value any) *Config {
	t.Helper()
	l := emptyLayers(Request{Home: home})
	values := map[string]any{}
	for _, o := range options {
		values[o.key] = o.def
	}
	values[key] = value
	if err := l.lay(fromDefault, values); err != nil {
		t.Fatal(err)
	}
	return l.config()
}

// TestEveryKeyIsRead fails for a key that no field of the configuration depends on.
func TestEveryKeyIsRead(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	fields := func(c *Config) Config {
		only := *c
		only.values = nil
		return only
	}
	for _, o := range options {
		usual, changed := fields(with(t, home, o.key, o.def)), fields(with(t, home, o.key, another(t, o)))
		if reflect.DeepEqual(usual, changed) {
			t.Errorf("%s: no field of Config depends on it; read it in layers.config", o.key)
		}
	}
}

// TestOptions checks the table itself.
func TestOptions(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, o := range options {
		if seen[o.key] || o.help == "" || strings.HasSuffix(o.help, ".") {
			t.Errorf("%s: the key is there twice, or its help is missing or ends with a full stop", o.key)
		}
		seen[o.key] = true
		given, isList := o.def.([]string)
		if isList != o.form.list {
			t.Errorf("%s: default %v", o.key, o.def)
			continue
		}
		if !isList {
			given = []string{defaultText(o.def)}
		}
		if v, err := o.form.parse(given); err != nil || !reflect.DeepEqual(v, o.def) {
			t.Errorf("%s: its form reads the default %v as %v, %v", o.key, o.def, v, err)
		}
	}
}

func defaultText(v any) string {
	if d, ok := v.(time.Duration); ok {
		return d.String()
	}
	return fmt.Sprint(v)
}

// TestWatched fails for a path whose change would not be noticed.
func TestWatched(t *testing.T) {
	t.Parallel()
	unwatched := map[string]string{
		"serve.alerts": "it is followed", "wazuh.queue": "a socket, dialled for each event", "state_dir": "what serve itself writes",
		"log.file": "what serve itself writes", "mappings.sample": "lint alone reads it",
	}
	home := t.TempDir()
	for _, o := range options {
		if !o.form.path {
			if o.watched {
				t.Errorf("%s is watched, and is no path", o.key)
			}
			continue
		}
		name, value := filepath.Join(home, "some/where"), any("some/where")
		if o.form.list {
			value = []string{"other", "some/where"}
		}
		is := slices.Contains(with(t, home, o.key, value).Watched(), name)
		if want := unwatched[o.key] == ""; is != want {
			t.Errorf("%s: watched %t, want %t; set watched in the table of options, or say here why not", o.key, is, want)
		}
	}
	for _, key := range []string{"feed.dir", "misp.key_file", "ignore.files", "mappings.dirs"} {
		if o, ok := find(key); !ok || !o.watched {
			t.Errorf("%s is not watched", key)
		}
	}
	c := with(t, home, "misp.url", "")
	want := []string{filepath.Join(home, "etc/custom-misp.yaml"), filepath.Join(home, "etc/ossec.conf"), filepath.Join(home, "etc/custom-misp/sources"), filepath.Join(home, "etc/custom-misp/mappings"), filepath.Join(home, "etc/custom-misp/mutes.yaml")}
	if diff := cmp.Diff(want, c.Watched()); diff != "" {
		t.Errorf("watched when nothing is set (-want +got):\n%s", diff)
	}
}

// TestNeedRestart names the keys that serve reads only when it starts, and no other.
func TestNeedRestart(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	usual := with(t, home, "misp.url", "")
	if keys := usual.NeedRestart(with(t, home, "misp.url", "")); len(keys) > 0 {
		t.Errorf("%v differ in equal configurations", keys)
	}
	for _, o := range options {
		var want []string
		if o.restart {
			want = []string{o.key}
		}
		if diff := cmp.Diff(want, usual.NeedRestart(with(t, home, o.key, another(t, o)))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", o.key, diff)
		}
	}
}

// TestValues shows every key once, in the order of the table, with secrets masked and paths absolute.
func TestValues(t *testing.T) {
	t.Parallel()
	const secret = "fake-key-for-tests-only"
	home := newHome(t, "misp: {key: "+secret+", timeout: 90s, ca_file: etc/ca.pem}\nignore: {files: [etc/a, /b]}\n")
	c, err := Load(Request{Home: home})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]any{}
	var order []string
	for _, v := range c.Values() {
		got[v.Key] = v.Value
		order = append(order, v.Key)
		if strings.Contains(fmt.Sprint(v.Value), secret) {
			t.Errorf("%s shows the key", v.Key)
		}
	}
	if diff := cmp.Diff(append([]string{"home"}, keys()...), order); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	for key, want := range map[string]any{
		"home": home, "misp.key": "********", "misp.timeout": "1m30s", "misp.key_file": "", "misp.ca_file": filepath.Join(home, "etc/ca.pem"),
		"ignore.files": []string{filepath.Join(home, "etc/a"), "/b"}, "misp.retries": 3,
	} {
		if diff := cmp.Diff(want, got[key]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", key, diff)
		}
	}
	if key, err := c.MISP.Key.Read(); key != secret || err != nil {
		t.Errorf("the key is %q, %v", key, err)
	}
}

// TestHandoverPlaces compares the places that a call knows without the configuration with the defaults.
func TestHandoverPlaces(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]any{"state_dir": handover.StateDir, "serve.alerts": []string{handover.AlertsFile}} {
		if o, ok := find(key); !ok || !reflect.DeepEqual(o.def, want) {
			t.Errorf("%s is %v, and calls look in %s", key, o.def, want)
		}
	}
}

// TestWithholdOutside has the default where others may read, also if nothing is withheld in events.
func TestWithholdOutside(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	usual := with(t, home, "misp.url", "").Lookup
	if len(usual.Withhold) > 0 || !slices.Equal(usual.WithholdOutside(), []string{"tlp:red", "tlp:amber+strict"}) {
		t.Errorf("withheld in events %v, elsewhere %v", usual.Withhold, usual.WithholdOutside())
	}
	own := with(t, home, "lookup.withhold", []string{"tlp:amber"}).Lookup
	if !slices.Equal(own.Withhold, []string{"tlp:amber"}) || !slices.Equal(own.WithholdOutside(), own.Withhold) {
		t.Errorf("withheld in events %v, elsewhere %v", own.Withhold, own.WithholdOutside())
	}
}
