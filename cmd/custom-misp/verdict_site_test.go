package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"custom-misp/misp/misptest"
)

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

// with returns keys with one more.
func with(keys map[string]string, key, value string) map[string]string {
	all := maps.Clone(keys)
	all[key] = value
	return all
}

// text returns the configuration.
func (s *verdictSite) text(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(s.home, "etc/custom-misp.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// events returns what the queue was sent since the last time, in the words of [told].
func (s *verdictSite) events(t *testing.T) []string {
	t.Helper()
	_, events := s.received(t)
	return told(events)
}

// queued returns the files of queued alerts.
func (s *verdictSite) queued(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(s.home, "logs/custom-misp/spool/alerts/*"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}
