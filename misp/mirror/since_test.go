package mirror

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"custom-misp/misp"
	"custom-misp/misp/misptest"
)

// arrived returns what may have come since a version, in the order of its values, and the version of now.
func (s *site) arrived(since string, updated bool) (values, version string) {
	s.t.Helper()
	s.mirror.Refresh()
	a := s.mirror.Arrivals(ServerName, since)
	if a == nil {
		return "none", ""
	}
	defer a.Close()
	var list []string
	for in, err := range a.Each(updated) {
		must(s.t, err)
		if in.Origin != ServerName {
			s.t.Errorf("origin %q", in.Origin)
		}
		list = append(list, in.Value)
	}
	slices.Sort(list)
	if v := s.mirror.Versions()[ServerName]; v != a.Version {
		s.t.Errorf("version %q, not %q", a.Version, v)
	}
	return strings.Join(list, " "), a.Version
}

// TestArrivals yields the whole set once, and then what its changes have.
func TestArrivals(t *testing.T) {
	t.Parallel()
	const event = "11111111-1111-4111-8111-111111111111"
	s := newSite(t, misptest.New(t, os.DirFS(t.TempDir())))
	if got, _ := s.arrived("", false); got != "none" {
		t.Errorf("before the first sync: %s", got)
	}
	s.AddEvent(`{"uuid":"` + event + `","info":"e","Attribute":[{"type":"domain","value":"first.example","to_ids":true}]}`)
	s.Publish(event)
	s.tick(time.Hour)
	s.syncAs(true) // later polls do not go back to the event
	got, first := s.arrived("", false)
	if got != "first.example" {
		t.Errorf("the first sync: %s", got)
	}
	if got, _ := s.arrived(first, false); got != "" {
		t.Errorf("nothing new: %s", got)
	}
	other := strings.Replace(first, "base", "other", 1)
	if got, _ := s.arrived(other, false); got != "first.example" {
		t.Errorf("another base: %s", got)
	}
	s.tick(time.Hour)
	s.Publish(s.AddEvent(`{"info":"other","Attribute":[{"type":"domain","value":"second.example","to_ids":true}]}`))
	s.sync()
	got, second := s.arrived(first, false)
	if got != "second.example" {
		t.Errorf("an event was added: %s", got)
	}
	s.tick(time.Hour)
	s.TagEvent(event, "new")
	s.Publish(event)
	s.sync()
	a := s.mirror.Arrivals(ServerName, second)
	if !slices.ContainsFunc(a.Updated, func(e misp.Event) bool { return e.UUID == event }) {
		t.Errorf("an event was tagged: %+v", a.Updated)
	}
	a.Close()
	if got, _ := s.arrived(second, true); got != "first.example second.example" {
		t.Errorf("an event was tagged: %s", got)
	}
	if s.mirror.Arrivals("other", "") != nil {
		t.Error("arrivals of a source that is not there")
	}
}
