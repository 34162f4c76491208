package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
)

// checkLoaded checks what holds for any input: there is a configuration, and an error is lines without control characters.
func checkLoaded(t *testing.T, c *Config, err error) {
	t.Helper()
	if c == nil || len(c.Values()) != len(options)+1 || len(c.Watched()) < 2 {
		t.Fatal("no configuration")
	}
	for _, line := range lines(err) {
		if line == "" || strings.ContainsFunc(line, unicode.IsControl) {
			t.Errorf("fault %q", line)
		}
	}
}

// FuzzFile reads any text as the configuration file.
func FuzzFile(f *testing.F) {
	for _, seed := range []string{
		"", "{}", "misp:\n  url: https://misp.example.org\n  pins: []\n", "misp: {key: &a x, key_file: *a}", "lookup: {tags: [a, 'b', \"\\e\\u202e\"]}",
		"mirror: {feeds: [a=b, c=https://d.example]}\n---\n{}", "timeout: 5\ntimeout: 6", "ignore: {values: [10.0.0.0/8, example.org]}", "? [a]: b",
		"\xff\xfe", "a: {\x00", "<<: {timeout: 1s}", "serve: {listen: ':0'}", "misp: !!binary aGk=",
	} {
		f.Add([]byte(seed))
	}
	home := f.TempDir()
	name := filepath.Join(home, "custom-misp.yaml")
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := Load(Request{Home: home, File: name})
		checkLoaded(t, c, err)
	})
}

// FuzzOptions reads any text as <options>.
func FuzzOptions(f *testing.F) {
	for _, seed := range []string{
		"", " ", "{}", "null", `{"misp": {"url": "https://misp.example.org", "retries": 3}}`, `{"misp.url": 1, "misp": 2}`, `{"lookup.tags": ["a", 1, true]}`,
		`{"lookup": {"tags": [[]]}}`, `{"": {"": ""}}`, `{"misp": {"misp": {"misp": {}}}}`, `{"a\u001b\u202e\n": 1}`, `{"timeout": 1e9}`, `{"x":`, `{}{}`,
	} {
		f.Add([]byte(seed))
	}
	home := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Load(Request{Home: home, Options: data})
		checkLoaded(t, c, err)
	})
}
