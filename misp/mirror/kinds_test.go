package mirror

import (
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"custom-misp/engine"
	"custom-misp/misp/misptest"
)

// The syncs by which a change is seen.
const (
	byPoll      = "poll"           // the next one
	byReconcile = "reconciliation" // one that compares the events
	byWalk      = "walk"           // one that walks over everything
)

// kindsFixture has beside the fixture an event with two objects, in which one object with half of the attributes can be
// deleted, and one that is hidden from the user of the key at first.
func kindsFixture() fstest.MapFS {
	all := maps.Clone(fixture)
	all["4.json"] = &fstest.MapFile{Data: []byte(`{"Event":{"uuid":"` + uuidOf("e4") + `","info":"Objects","published":true,"timestamp":"1780000000","publish_timestamp":"1780000000",
		"Tag":[{"name":"event:first"}],"Object":[
		{"Attribute":[{"uuid":"` + uuidOf("41") + `","type":"domain","value":"one.example","to_ids":true,"timestamp":"1780000000"},
			{"uuid":"` + uuidOf("42") + `","type":"domain","value":"two.example","to_ids":true,"timestamp":"1780000000"}]},
		{"Attribute":[{"uuid":"` + uuidOf("43") + `","type":"domain","value":"three.example","to_ids":true,"timestamp":"1780000000","Tag":[{"name":"own:first"}]},
			{"uuid":"` + uuidOf("44") + `","type":"domain","value":"four.example","to_ids":true,"timestamp":"1780000000"}]}]}}`)}
	all["5.json"] = &fstest.MapFile{Data: []byte(`{"Event":{"uuid":"` + uuidOf("e5") + `","info":"Hidden","timestamp":"1780000000","publish_timestamp":"1780000000",
		"Attribute":[{"uuid":"` + uuidOf("51") + `","type":"domain","value":"hidden.example","to_ids":true,"timestamp":"1780000000"}]}}`)}
	return all
}

var kindsAsked = append([]engine.Observable{
	observable("domain", "one.example"), observable("domain", "two.example"), observable("domain", "three.example"),
	observable("domain", "four.example"), observable("domain", "hidden.example"),
}, asked...)

// A kind is a kind of change that users of a MISP, or other servers, make.
type kind struct {
	name   string
	before func(s *site) // before the first walk
	change func(s *site)
	seen   string
}

// kinds are all of them, in the order of README.md.
func kinds() []kind {
	e1, e2, e3, e4, e5 := uuidOf("e1"), uuidOf("e2"), uuidOf("e3"), uuidOf("e4"), uuidOf("e5")
	old := begin.AddDate(-1, 0, 0).Unix()
	attributes := []kind{
		{"attribute added", nil, func(s *site) { s.AddAttribute(e1, `{"type":"domain","value":"new.example","to_ids":true}`) }, byPoll},
		{"attribute added that says itself that it is old", nil, func(s *site) {
			s.AddOldAttribute(e1, `{"type":"domain","value":"new.example","to_ids":true}`, old)
		}, byPoll},
		{"value edited", nil, func(s *site) { s.EditAttribute(uuidOf("01"), `{"value":"other.example"}`) }, byPoll},
		{"comment edited", nil, func(s *site) { s.EditAttribute(uuidOf("02"), `{"comment":"second"}`) }, byPoll},
		{"category edited", nil, func(s *site) { s.EditAttribute(uuidOf("02"), `{"category":"Payload delivery"}`) }, byPoll},
		{"first_seen or last_seen edited", nil, func(s *site) { s.EditAttribute(uuidOf("02"), `{"last_seen":"2026-09-01T00:00:00Z"}`) }, byPoll},
		{"to_ids removed", nil, func(s *site) { s.EditAttribute(uuidOf("01"), `{"to_ids":false}`) }, byPoll},
		{"to_ids set", nil, func(s *site) { s.EditAttribute(uuidOf("10"), `{"to_ids":true}`) }, byPoll},
		{"type edited to one that is not compared", nil, func(s *site) { s.EditAttribute(uuidOf("01"), `{"type":"comment"}`) }, byPoll},
		{"type edited to one that is compared", nil, func(s *site) { s.EditAttribute(uuidOf("14"), `{"type":"domain"}`) }, byPoll},
		{"attribute tagged", nil, func(s *site) { s.TagAttribute(uuidOf("01"), "tlp:red") }, byPoll},
		{"attribute untagged", nil, func(s *site) { s.UntagAttribute(uuidOf("10"), "own") }, byPoll},
		{"attribute deleted softly", nil, func(s *site) { s.SoftDelete(uuidOf("01")) }, byPoll},
		{"all attributes of an event deleted softly", nil, func(s *site) { s.SoftDelete(uuidOf("21")) }, byPoll},
		{"attribute restored", nil, func(s *site) { s.Restore(uuidOf("15")) }, byPoll},
		{"attribute restored whose deletion was seen", func(s *site) { s.sync(); s.SoftDelete(uuidOf("01")) }, func(s *site) { s.Restore(uuidOf("01")) }, byPoll},
		{"attribute deleted for good", nil, func(s *site) { s.HardDelete(uuidOf("01")) }, byPoll},
		{"attribute deleted for good, and others edited", nil, func(s *site) {
			s.HardDelete(uuidOf("01"))
			s.EditAttribute(uuidOf("02"), `{"comment":"second"}`)
		}, byReconcile},
		{"attribute of another organisation narrowed", nil, func(s *site) { s.HideAttribute(uuidOf("01")) }, byPoll},
		{"object deleted softly", nil, func(s *site) {
			s.AddAttribute(e4, `{"type":"domain","value":"new.example"}`)
			s.DeleteObject(uuidOf("41"))
		}, byPoll},
		{"object deleted softly, so that MISP counts no attributes any more", nil, func(s *site) { s.DeleteObject(uuidOf("41")) }, byPoll},
		{"attribute edited in an event that MISP counts no attributes of", func(s *site) { s.DeleteObject(uuidOf("41")) }, func(s *site) {
			s.EditAttribute(uuidOf("43"), `{"value":"other.example"}`)
		}, byPoll},
	}
	events := []kind{
		{"event added", nil, func(s *site) {
			s.AddEvent(`{"info":"New","Attribute":[{"type":"domain","value":"new.example","to_ids":true}],"Tag":[{"name":"tlp:red"}]}`)
		}, byPoll},
		{"draft published", nil, func(s *site) { s.Publish(e2) }, byPoll},
		{"event edited and published", nil, func(s *site) { s.TagEvent(e1, "tlp:red"); s.Publish(e1) }, byPoll},
		{"event unpublished", nil, func(s *site) { s.Unpublish(e1) }, byReconcile},
		{"event made a draft by an edit", nil, func(s *site) { s.EditAttribute(uuidOf("02"), `{"comment":"x"}`) }, byPoll},
		{"event made a draft by an attribute that is never compared", nil, func(s *site) { s.AddAttribute(e1, `{"type":"comment","value":"x"}`) }, byPoll},
		{"event made a draft by the deletion of one", nil, func(s *site) { s.SoftDelete(uuidOf("14")) }, byPoll},
		{"event tagged", nil, func(s *site) { s.TagEvent(e1, "tlp:red") }, byPoll},
		{"event untagged", nil, func(s *site) { s.UntagEvent(e1, "tlp:amber") }, byPoll},
		{"threat level edited", nil, func(s *site) { s.EditEvent(e1, map[string]any{"threat_level_id": "1"}) }, byPoll},
		{"info edited", nil, func(s *site) { s.EditEvent(e1, map[string]any{"info": "Other campaign"}) }, byPoll},
		{"analysis edited", nil, func(s *site) { s.EditEvent(e1, map[string]any{"analysis": "2"}) }, byPoll},
		{"date edited", nil, func(s *site) { s.EditEvent(e1, map[string]any{"date": "2026-05-29"}) }, byPoll},
		{"event deleted", nil, func(s *site) { s.DeleteEvent(e1) }, byReconcile},
		{"event deleted that came after the walk", func(s *site) { s.sync(); s.PullEvent(pulled) }, func(s *site) { s.DeleteEvent(e3) }, byReconcile},
		{"event of another organisation narrowed", nil, func(s *site) { s.HideEvent(e1, true) }, byReconcile},
		{"event of another organisation widened", func(s *site) { s.ShareEvent(e5, true) }, func(s *site) { s.HideEvent(e5, false) }, byPoll},
		{"own organisation removed from a sharing group", nil, func(s *site) { s.ShareEvent(e1, true) }, byReconcile},
		{"own organisation added to a sharing group", func(s *site) { s.ShareEvent(e5, true) }, func(s *site) { s.ShareEvent(e5, false) }, byReconcile},
	}
	servers := []kind{
		{"event pulled with old times", nil, func(s *site) { s.PullEvent(pulled) }, byPoll},
		{"event pulled again after it was deleted", func(s *site) {
			s.PullEvent(pulled)
			s.sync()
			s.DeleteEvent(e3)
			s.tick(UsualReconcile)
		}, func(s *site) { s.PullEvent(pulled) }, byPoll},
		{"event pulled again with little of what it had", func(s *site) {
			s.sync()
			s.DeleteEvent(e1)
			s.tick(UsualReconcile)
		}, func(s *site) {
			s.PullEvent(`{"Event":{"uuid":"` + e1 + `","info":"Anew","timestamp":"1700000000","Attribute":[
				{"uuid":"` + uuidOf("01") + `","type":"domain","value":"other.example","timestamp":"1700000000"}]}}`)
		}, byPoll},
		{"event deleted and pulled again between two polls", func(s *site) { s.PullEvent(pulled) }, func(s *site) {
			s.DeleteEvent(e3)
			s.PullEvent(`{"Event":{"uuid":"` + e3 + `","info":"Anew","timestamp":"1700000000","Attribute":[
				{"uuid":"` + uuidOf("32") + `","type":"domain","value":"other.example","timestamp":"1700000000"}]}}`)
		}, byPoll},
		{"event visible again, with all its times old", func(s *site) {
			s.PullEvent(pulled)
			s.sync()
			s.DeleteEvent(e3)
			s.tick(UsualReconcile)
		}, func(s *site) { s.PushEvent(pulled) }, byReconcile},
		{"draft pushed or imported with old times", nil, func(s *site) { s.PushEvent(strings.Replace(pulled, "true", "false", 1)) }, byReconcile},
		{"draft edited by a push, with old times", func(s *site) { s.PushEvent(pulled) }, func(s *site) {
			s.EditByPush(e3, 1700000500, func(edit func(uuid, fields string)) { edit(uuidOf("31"), `{"to_ids":false}`) })
		}, byReconcile},
		{"MISP's clock set back", nil, func(s *site) {
			s.SetNow(s.now.Add(-time.Hour))
			s.AddAttribute(e1, `{"type":"domain","value":"new.example","to_ids":true}`)
		}, byPoll},
	}
	silent := []kind{
		{"local tag on an attribute", nil, func(s *site) { s.TagAttributeLocally(uuidOf("01"), "local:x") }, byWalk},
		{"local tag on an event", nil, func(s *site) { s.TagEventLocally(e1, "local:x") }, byWalk},
		{"tag deleted everywhere", nil, func(s *site) { s.DeleteTag("own:first") }, byWalk},
		{"object deleted for good", nil, func(s *site) { s.HardDeleteObject(uuidOf("41")) }, byWalk},
		{"events merged", func(s *site) { s.PushEvent(late("e7", "71", "late.example")) }, func(s *site) { s.Merge(uuidOf("e7"), e1) }, byWalk},
		{"expiration sighting added, with mirror.sightings", func(s *site) { s.origin.Sightings = true }, func(s *site) {
			s.AddSighting(uuidOf("01"), "2", 1) // in the past by all clocks
		}, byWalk},
		{"warninglist enabled or changed", nil, func(s *site) { s.Warn(uuidOf("01"), "public DNS") }, byWalk},
	}
	var all []kind
	for _, group := range [][]kind{attributes, events, servers, silent} {
		all = append(all, group...)
	}
	return all
}

// TestKindsOfChange makes each kind of change after a first walk, with all times out of what a poll asks for again, and
// measures which sync shows it. README.md has the table.
func TestKindsOfChange(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("README.md")
	must(t, err)
	all := kinds()
	if len(all) < 50 {
		t.Errorf("%d kinds", len(all))
	}
	for _, k := range all {
		row := fmt.Sprintf("| %s | %s |", k.name, k.seen)
		if !strings.Contains(string(data), "\n"+row+"\n") {
			t.Errorf("README.md lacks\n%s", row)
		}
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			s := k.begin(t)
			if seen := k.seenBy(s); seen != k.seen {
				t.Errorf("seen by %s, want %s", seen, k.seen)
			}
			onlySet(t, s.syncer.Dir+"/misp")
		})
	}
}

// begin makes the change after a first walk.
func (k kind) begin(t *testing.T) *site {
	t.Helper()
	s := newSite(t, misptest.New(t, kindsFixture()))
	if k.before != nil {
		k.before(s)
	}
	s.sync()
	if d := s.difference(kindsAsked); d != "" {
		t.Fatalf("before the change (-misp +mirror):\n%s", d)
	}
	for range 3 { // past what a poll asks for again, and all events read as a whole
		s.tick(UsualOverlap + time.Minute)
		s.sync()
	}
	s.tick(time.Minute)
	k.change(s)
	if s.difference(kindsAsked) == "" {
		t.Fatal("MISP answers as before: nothing is tried")
	}
	return s
}

// seenBy returns the first sync after which the mirror shows what MISP does; each later one has to, too.
func (k kind) seenBy(s *site) (seen string) {
	s.t.Helper()
	serial := s.mirror.States()[0].Serial
	for _, sync := range []struct {
		by   string
		wait time.Duration
	}{{byPoll, 0}, {byReconcile, UsualReconcile}, {byWalk, UsualFull}} {
		s.now = s.now.Add(sync.wait)
		state := s.sync()
		counted(s.t, s.mirror)
		d := s.difference(kindsAsked)
		switch {
		case d != "" && seen != "":
			s.t.Errorf("after the %s (-misp +mirror):\n%s", sync.by, d)
		case d == "" && seen == "":
			if seen = sync.by; state.Serial == serial {
				s.t.Error("the set is the same")
			}
		}
	}
	return seen
}
