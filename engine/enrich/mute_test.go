package enrich_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/misp"
)

const mutedEvent = "5f8b0c1e-4c3c-4a1b-9d6d-000000000001"

// hitOn is a match of a value in an alert with an attribute.
func hitOn(typ engine.Type, value string, change ...func(*enrich.Match)) enrich.Match {
	m := enrich.Match{
		Observable: engine.Observable{Type: typ, Value: value}, Kind: engine.MatchExact,
		Attribute: &misp.Attribute{Type: string(typ), Value: value, UUID: "a", ToIDs: true, Event: misp.Event{UUID: mutedEvent}},
	}
	for _, f := range change {
		f(&m)
	}
	return m
}

func TestMutes(t *testing.T) {
	now := time.Date(2026, 11, 1, 8, 0, 0, 0, time.UTC)
	of := func(value string) func(*enrich.Match) {
		return func(m *enrich.Match) { m.Attribute.Value, m.Kind = value, engine.MatchParentDomain }
	}
	origin := func(name string) func(*enrich.Match) { return func(m *enrich.Match) { m.Attribute.Origin = name } }
	for name, tt := range map[string]struct {
		mute enrich.Mute
		yes  []enrich.Match
		no   []enrich.Match
	}{
		"value": {
			enrich.Mute{Value: "hxxp://Gate[.]bad-cdn.example/x"},
			[]enrich.Match{hitOn("url", "http://gate.bad-cdn.example/x")},
			[]enrich.Match{hitOn("url", "http://gate.bad-cdn.example/y"), hitOn("hostname", "gate.bad-cdn.example")},
		},
		"address": {
			enrich.Mute{Value: "192.31.196.7"},
			[]enrich.Match{hitOn("ip-dst", "192.31.196.7"), hitOn("ip-src", "192.31.196.7")},
			[]enrich.Match{hitOn("ip-dst", "192.31.196.70")},
		},
		"hash of another type": {
			enrich.Mute{Value: strings.Repeat("AB", 16)},
			[]enrich.Match{hitOn("md5", strings.Repeat("ab", 16)), hitOn("imphash", strings.Repeat("ab", 16))},
			[]enrich.Match{hitOn("md5", strings.Repeat("cd", 16))},
		},
		"name alone": {
			enrich.Mute{Value: "bad-cdn.example"},
			[]enrich.Match{hitOn("domain", "bad-cdn.example"), hitOn("hostname", "gate.bad-cdn.example", of("bad-cdn.example"))},
			[]enrich.Match{hitOn("hostname", "gate.bad-cdn.example")},
		},
		"file name": {
			enrich.Mute{Value: "Invoice.exe"}, []enrich.Match{hitOn("filename", "invoice.exe")}, []enrich.Match{hitOn("filename", "invoice.exe.txt")},
		},
		"network": {
			enrich.Mute{Network: "192.31.196.0/24"},
			[]enrich.Match{hitOn("ip-dst", "192.31.196.7"), hitOn("url", "http://192.31.196.7/x")},
			[]enrich.Match{hitOn("ip-dst", "192.31.197.7")},
		},
		"domain": {
			enrich.Mute{Domain: "bad-cdn.example"},
			[]enrich.Match{hitOn("domain", "bad-cdn.example"), hitOn("hostname", "a.b.bad-cdn.example"), hitOn("url", "https://x.bad-cdn.example/y")},
			[]enrich.Match{hitOn("domain", "notbad-cdn.example"), hitOn("ip-dst", "192.31.196.7")},
		},
		"event": {
			enrich.Mute{Event: strings.ToUpper(mutedEvent)},
			[]enrich.Match{hitOn("md5", "x")},
			[]enrich.Match{hitOn("md5", "x", func(m *enrich.Match) { m.Attribute.Event.UUID = "other" })},
		},
		"source": {
			enrich.Mute{Source: "osint"},
			[]enrich.Match{hitOn("md5", "x", origin("osint"))},
			[]enrich.Match{hitOn("md5", "x", origin("site")), hitOn("md5", "x")},
		},
		"MISP": {
			enrich.Mute{Source: "misp"},
			[]enrich.Match{hitOn("md5", "x"), hitOn("md5", "x", origin("misp"))},
			[]enrich.Match{hitOn("md5", "x", origin("osint"))},
		},
	} {
		tt.mute.Reason, tt.mute.Until = "r", now.Add(time.Hour)
		if err := tt.mute.Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		mutes, err := enrich.NewMutes([]enrich.Mute{{Value: "other.example", Reason: "r"}, tt.mute})
		must(t, err)
		for _, m := range tt.yes {
			if by, muted := mutes.Of(m, now); !muted || by != tt.mute {
				t.Errorf("%s: %s is muted by %v, %t", name, m.Observable.Value, by, muted)
			}
			if _, muted := mutes.Of(m, now.Add(time.Hour)); muted {
				t.Errorf("%s: %s is muted after the end", name, m.Observable.Value)
			}
		}
		for _, m := range tt.no {
			if _, muted := mutes.Of(m, now); muted {
				t.Errorf("%s: %s is muted", name, m.Observable.Value)
			}
		}
	}
}

func TestMuteCheck(t *testing.T) {
	for want, m := range map[string]enrich.Mute{
		"a mute needs one of value, network, domain, event, source, and not several":      {Reason: "r", Value: "a", Domain: "b.example"},
		"the mute of value a has no reason; say why, for those who come after you":        {Value: "a", Reason: " "},
		`"x" is not a network like 192.0.2.0/24`:                                          {Network: "x", Reason: "r"},
		`"192.0.2.1" is not a domain like example.org`:                                    {Domain: "192.0.2.1", Reason: "r"},
		`"42" is not the UUID of a MISP event, like 5f8b0c1e-4c3c-4a1b-9d6d-000000000000`: {Event: "42", Reason: "r"},
	} {
		if err := m.Check(); err == nil || err.Error() != want {
			t.Errorf("%+v: %v, want %s", m, err, want)
		}
	}
}

// TestSuppression checks the order of the rules, and the words for each.
func TestSuppression(t *testing.T) {
	now := time.Date(2026, 11, 1, 8, 0, 0, 0, time.UTC)
	condition, err := engine.NewAlertCondition(`field("agent.name") == "lab"`)
	must(t, err)
	ignore, err := engine.NewIgnore([]string{"own.example"})
	must(t, err)
	e, err := (&engine.Engine{}).For(engine.Site{Ignore: ignore})
	must(t, err)
	mutes, err := enrich.NewMutes([]enrich.Mute{
		{Domain: "bad.example", Reason: "all of it", Author: "analyst", Until: now.AddDate(0, 0, 2)}, {Value: "192.31.196.7", Reason: "scanner"},
	})
	must(t, err)
	s := &enrich.Suppression{
		Alert: condition, Engine: e, Filter: engine.Filter{ToIDs: new(true)}, Mutes: mutes, Now: func() time.Time { return now },
	}
	unflagged := func(m *enrich.Match) { m.Attribute.ToIDs = false }
	in := func(network string) func(*enrich.Match) {
		return func(m *enrich.Match) { m.Kind, m.Attribute.Value = engine.MatchNetwork, network }
	}
	for name, tt := range map[string]struct {
		match enrich.Match
		want  string
	}{
		"ignored before all else":     {hitOn("domain", "a.own.example", unflagged), "not reported because the value is ignored and never asked for: ignore names own.example"},
		"filtered before it is muted": {hitOn("domain", "a.bad.example", unflagged), "not reported because a filter leaves it out: lookup.to_ids"},
		"muted":                       {hitOn("domain", "a.bad.example"), "not reported because it is muted: domain bad.example until 2026-11-03, by analyst: all of it"},
		"muted without an author":     {hitOn("ip-dst", "192.31.196.7"), "not reported because it is muted: value 192.31.196.7, by unknown: scanner"},
		"in a wide network":           {hitOn("ip-dst", "192.31.196.8", in("192.0.0.0/8")), "not reported because a filter leaves it out: lookup.wide_networks: 192.0.0.0/8"},
		"in a wide network of IPv6":   {hitOn("ip-dst", "2620:4f:8000::8", in("2620::/24")), "not reported because a filter leaves it out: lookup.wide_networks: 2620::/24"},
		"in a network":                {hitOn("ip-dst", "192.31.196.8", in("192.31.0.0/16")), ""},
		"in a network of IPv6":        {hitOn("ip-dst", "2620:4f:8000::8", in("2620:4f::/32")), ""},
		"reported":                    {hitOn("ip-dst", "192.31.196.8"), ""},
	} {
		if got := s.OfMatch(tt.match).String(); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
	s.WideNetworks = true
	if v := s.OfMatch(hitOn("ip-dst", "192.31.196.8", in("192.0.0.0/8"))); !v.Reported() {
		t.Errorf("a wide network that is allowed: %s", v)
	}
	for alert, want := range map[string]string{
		`{"rule":{},"agent":{"name":"lab"}}`:  "not reported because its alert is ignored: ignore.alerts",
		`{"rule":{},"agent":{"name":"prod"}}`: "",
	} {
		if v, err := s.OfAlert([]byte(alert)); err != nil || v.String() != want {
			t.Errorf("alert %s: %q, %v, want %q", alert, v, err, want)
		}
	}
	var none *enrich.Suppression
	if v := none.OfMatch(hitOn("md5", "x", unflagged)); !v.Reported() {
		t.Errorf("without a suppression: %s", v)
	}
}

// TestSuppressionFails ignores an alert on which the expression fails: what it is to keep inside is not known.
func TestSuppressionFails(t *testing.T) {
	condition, err := engine.NewAlertCondition(`int(field("rule.level")) > 3`)
	must(t, err)
	s := &enrich.Suppression{Alert: condition}
	v, err := s.OfAlert([]byte(`{"rule":{"level":"x"}}`))
	if v.Reason != enrich.ReasonAlert || err == nil {
		t.Errorf("verdict %v, %v", v, err)
	}
	if _, err := engine.NewAlertCondition(`field("rule.level" ==`); err == nil {
		t.Error("a broken expression compiles")
	}
}

// TestSuppressedEvents checks that a pipeline reports what is left of an alert, and counts the rest once for each value.
func TestSuppressedEvents(t *testing.T) {
	d, sink := newQueueing(t, t.TempDir(), chance{}), &sentEvents{}
	d.Sink, d.Circuit.Asked = sink, known()
	counted := map[string]enrich.Reason{}
	mutes, err := enrich.NewMutes([]enrich.Mute{{Network: "192.31.196.0/30", Reason: "r"}})
	must(t, err)
	condition, err := engine.NewAlertCondition(`field("id") == "9"`)
	must(t, err)
	d.Suppress = &enrich.Suppression{Alert: condition, Mutes: mutes, Counted: func(of string, v enrich.Verdict, _ *enrich.Match) { counted[of] = v.Reason }}
	for _, n := range []int{1, 7, 9} { // 192.31.196.2, .8, .10
		_, err := d.Process(t.Context(), numbered(t, n))
		must(t, err)
	}
	if len(sink.events) != 1 || sink.events[0].Body.Observable.Value != "192.31.196.8" {
		t.Errorf("events %+v", sink.events)
	}
	if diff := cmp.Diff(map[string]enrich.Reason{"192.31.196.2": enrich.ReasonMute, "alert 9": enrich.ReasonAlert}, counted); diff != "" {
		t.Error(diff)
	}
}
