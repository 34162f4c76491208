package mirror

import (
	"testing"
	"testing/fstest"
	"time"

	"custom-misp/engine"
	"custom-misp/misp/misptest"
)

// ending is a MISP with attributes that have ended, in each way, and such that have not.
var ending = fstest.MapFS{"1.json": {Data: []byte(`{"Event":{"uuid":"` + uuidOf("e1") + `","published":true,"timestamp":"1780000000","publish_timestamp":"1780000000","Attribute":[
	{"uuid":"` + uuidOf("01") + `","type":"domain","value":"lives.example","to_ids":true,"timestamp":"1780000000"},
	{"uuid":"` + uuidOf("02") + `","type":"domain","value":"seen.example","to_ids":true,"timestamp":"1780000000","last_seen":"2026-10-05T07:59:59.000000+00:00"},
	{"uuid":"` + uuidOf("03") + `","type":"domain","value":"to-be-seen.example","to_ids":true,"timestamp":"1780000000","last_seen":"2026-10-05T12:00:00.000000+02:00"},
	{"uuid":"` + uuidOf("04") + `","type":"domain","value":"sighted.example","to_ids":true,"timestamp":"1780000000"},
	{"uuid":"` + uuidOf("05") + `","type":"domain","value":"to-be-sighted.example","to_ids":true,"timestamp":"1780000000"},
	{"uuid":"` + uuidOf("06") + `","type":"domain","value":"both.example","to_ids":true,"timestamp":"1780000000","last_seen":"2026-10-05T07:00:00Z"},
	{"uuid":"` + uuidOf("07") + `","type":"domain","value":"both.example","to_ids":false,"timestamp":"1770000000"}]}}`)}}

// TestExpired asks a mirror and MISP for what has ended. Sightings that are no expirations do not count.
func TestExpired(t *testing.T) {
	t.Parallel()
	server := misptest.New(t, ending)
	server.AddSighting(uuidOf("01"), "0", begin.Unix()-100)
	server.AddSighting(uuidOf("01"), "1", begin.Unix()-100)
	server.AddSighting(uuidOf("04"), "2", begin.Unix()-100)
	server.AddSighting(uuidOf("04"), "0", begin.Unix()-50) // one of ours, of a hit since: it does not bring it back
	server.AddSighting(uuidOf("05"), "2", begin.Unix()+100)
	s := newSite(t, server)
	s.origin.Sightings = true
	s.sync()
	expired := map[string]bool{
		"lives.example": false, "seen.example": true, "to-be-seen.example": false, "sighted.example": true, "to-be-sighted.example": false, "both.example": false,
	}
	for how, f := range map[string]engine.Filter{
		"": {}, "report": {Expired: engine.ExpiredReport}, "ignore": {Expired: engine.ExpiredIgnore}, "match": {Expired: engine.ExpiredMatch},
	} {
		for value, ended := range expired {
			o := observable("domain", value)
			o.Filter = &f
			s.expired(t, o, how, ended)
		}
	}
}

// expired checks what a mirror and MISP find for a value, of which something has ended or not.
func (s *site) expired(t *testing.T, o engine.Observable, how string, ended bool) {
	t.Helper()
	mirrored := matched(s.mirror, o)
	live, err := s.client.Lookup(t.Context(), []engine.Observable{o})
	must(t, err)
	if how == "match" { // MISP is not asked for sightings then
		for i := range mirrored {
			mirrored[i].Attribute.Expires = time.Time{}
		}
	}
	if d := diff(live, mirrored); d != "" {
		t.Errorf("%s, %s: MISP and mirror differ (-misp +mirror):\n%s", how, o.Value, d)
	}
	both := o.Value == "both.example"
	want := map[bool]int{false: 1, true: 2}[both]
	if how == "ignore" && (ended || both) {
		want--
	}
	if len(mirrored) != want {
		t.Errorf("%s, %s: %d matches, want %d", how, o.Value, len(mirrored), want)
	}
	for _, m := range mirrored {
		if wantExpired := how != "match" && how != "ignore" && (ended || m.Attribute.UUID == uuidOf("06")); m.Expired != wantExpired {
			t.Errorf("%s, %s: expired %t, want %t", how, o.Value, m.Expired, wantExpired)
		}
	}
}

// TestExpiresIsKept keeps an expiration over a new base, and notices one that comes with a change.
func TestExpiresIsKept(t *testing.T) {
	t.Parallel()
	server := misptest.New(t, ending)
	server.AddSighting(uuidOf("04"), "2", begin.Unix()-100)
	s := newSite(t, server)
	s.origin.Sightings = true
	s.sync()
	w, err := openWriter(t.Context(), s.syncer.Dir+"/"+ServerName, s.syncer.now, nil)
	must(t, err)
	must(t, w.merge(t.Context()))
	must(t, w.close())
	s.mirror.Refresh()
	if m := matched(s.mirror, observable("domain", "sighted.example")); len(m) != 1 || !m[0].Expired {
		t.Errorf("after a merge: %+v", m)
	}
	server.AddSighting(uuidOf("01"), "2", begin.Unix()-10)
	s.tick(UsualFull)
	s.sync()
	if m := matched(s.mirror, observable("domain", "lives.example")); len(m) != 1 || !m[0].Expired {
		t.Errorf("after a walk: %+v", m)
	}
}
