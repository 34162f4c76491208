package enrich_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/misp"
)

const mappingYAML = `
version: 1
mappings:
  - id: conn
    match: has("data.dst")
    pick:
      - {path: data.dst, type: ip-dst}
      - {path: data.other, type: ip-src}
    context: [data.user, data.image]
  - id: name
    match: has("data.host")
    lookup: {to_ids: true}
    pick: [{path: data.host, type: hostname}]
`

const alertJSON = `{"timestamp":"2026-10-05T08:10:01.120+0000","rule":{"level":3,"id":"61605","description":"Network connection","groups":["sysmon"]},` +
	`"agent":{"id":"004","name":"ws-07","ip":"10.20.4.7"},"id":"1791187801.40960","location":"EventChannel",` +
	`"data":{"dst":"192.31.196.66","other":"192.31.196.66","host":"Gate.bad.example","user":"CORP\\a","image":"C:\\a.exe"}}`

// list is a Lookup that answers with what it was given, for the observables that it is asked about.
type list []misp.Attribute

func (l list) Lookup(_ context.Context, observables []engine.Observable) ([]enrich.Match, error) {
	var matches []enrich.Match
	for _, a := range l {
		for _, i := range engine.Indicators(engine.Type(a.Type), a.Value) {
			for _, o := range observables {
				if m, ok := enrich.NewMatch(o.Filter.Over(engine.Filter{}), o, engine.MatchExact, a, time.Now()); ok && o.Indicator() == i {
					matches = append(matches, m)
				}
			}
		}
	}
	return matches, nil
}

// failing is a Lookup that cannot answer.
type failing struct{ err error }

func (f failing) Lookup(context.Context, []engine.Observable) ([]enrich.Match, error) {
	return nil, f.err
}

// collected is a Sink that keeps what it is sent, as JSON.
type collected struct {
	mu     sync.Mutex
	events []string
	agents []enrich.Agent
	err    error
}

func (c *collected) Send(ctx context.Context, e enrich.Enrichment) error {
	if c.err != nil {
		return c.err
	}
	data, err := e.JSON()
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events, c.agents = append(c.events, string(data)), append(c.agents, e.Agent)
	return ctx.Err()
}

func process(t *testing.T, lookup enrich.Lookup, sink enrich.Sink) (enrich.Outcome, error) {
	t.Helper()
	e, err := engine.Load(engine.Source{Name: "t.yaml", Data: []byte(mappingYAML)})
	if err != nil {
		t.Fatal(err)
	}
	a, err := enrich.ParseAlert([]byte(alertJSON))
	if err != nil {
		t.Fatal(err)
	}
	p := enrich.Pipeline{Engine: e, Lookup: lookup, Sink: sink, Link: "https://misp.example.org/"}
	return p.Process(context.Background(), a)
}

func TestProcess(t *testing.T) {
	at := time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)
	strong := misp.Attribute{
		ID: "7", UUID: "u7", Type: "ip-dst|port", Category: "Network activity", Value: "192.31.196.66|443", Comment: "c2",
		ToIDs: true, Timestamp: at, FirstSeen: "2026-08-30T00:00:00+00:00",
		Tags: []string{"tlp:green", "TLP:AMBER", `misp-galaxy:mitre-attack-pattern="Web Protocols - T1071.001"`, `misp-galaxy:mitre-attack-pattern="Web Protocols - T1071.001"`, `misp-galaxy:threat-actor="T1000"`},
		Event: misp.Event{
			ID: "31", UUID: "e31", Info: "Campaign", Org: "EXAMPLE-CERT", ThreatLevel: 1, Analysis: 3, Date: "2026-08-30", Published: true,
		},
	}
	weaker := func(id string, change func(*misp.Attribute)) misp.Attribute {
		a := strong
		a.UUID, a.Event.ID = "u"+id, id
		change(&a)
		return a
	}
	sink := &collected{}
	out, err := process(t, list{
		weaker("25", func(a *misp.Attribute) { a.ToIDs = false; a.Timestamp = at.Add(time.Hour) }),
		weaker("26", func(a *misp.Attribute) { a.Event.ThreatLevel = 2; a.Timestamp = at.Add(time.Hour) }),
		weaker("27", func(a *misp.Attribute) { a.Timestamp = at.Add(-time.Hour) }),
		strong,
		weaker("31", func(a *misp.Attribute) { a.Timestamp = at.Add(-time.Minute) }),
		{UUID: "x", Type: "hostname", Value: "gate.bad.example", Event: misp.Event{ID: "40"}}, // not to_ids: its mapping wants it
	}, sink)
	if err != nil || out.Sent != 1 || len(out.Observables) != 2 {
		t.Fatalf("outcome %+v, error %v", out, err)
	}
	var got any
	if err := json.Unmarshal([]byte(sink.events[0]), &got); err != nil {
		t.Fatal(err)
	}
	var want any
	if err := json.Unmarshal([]byte(`{"integration":"misp","misp":{
		"event_id":"31","category":"Network activity","value":"192.31.196.66|443","type":"ip-dst|port",
		"uuid":"u7","to_ids":"true","comment":"c2","timestamp":"2026-09-01T12:00:00Z","first_seen":"2026-08-30T00:00:00+00:00",
		"event":{"uuid":"e31","info":"Campaign","org":"EXAMPLE-CERT","threat_level":"high","analysis":"complete","date":"2026-08-30","published":"true"},
		"tags":["tlp:green","TLP:AMBER","misp-galaxy:mitre-attack-pattern=\"Web Protocols - T1071.001\"","misp-galaxy:mitre-attack-pattern=\"Web Protocols - T1071.001\"","misp-galaxy:threat-actor=\"T1000\""],
		"tlp":"amber","mitre_id":["T1071.001"],"link":"https://misp.example.org/events/view/31",
		"match_kind":"exact","match_count":"5","padded":{"match_count":"00005"},"event_ids":["31","27","26","25"],
		"observable":{"type":"ip-dst","value":"192.31.196.66","mapping":"conn","path":"data.dst","also":["conn data.other"]},
		"source":{"alert_id":"1791187801.40960","timestamp":"2026-10-05T08:10:01.120+0000","rule_id":"61605","rule_level":"3",
			"rule_description":"Network connection","location":"EventChannel","agent":{"id":"004","name":"ws-07","ip":"10.20.4.7"},"context":{"user":"CORP\\a","image":"C:\\a.exe"}}}}`), &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("event (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]enrich.Agent{{ID: "004", Name: "ws-07", IP: "10.20.4.7"}}, sink.agents); diff != "" {
		t.Errorf("agents (-want +got):\n%s", diff)
	}
}

// TestEventScalarsAreTexts checks the promise that rules depend on: Wazuh turns numbers and booleans into other
// texts than were sent.
func TestEventScalarsAreTexts(t *testing.T) {
	sink := &collected{}
	if _, err := process(t, list{{Type: "ip-dst", Value: "192.31.196.66", Event: misp.Event{ID: "1"}}}, sink); err != nil {
		t.Fatal(err)
	}
	var event map[string]any
	if err := json.Unmarshal([]byte(sink.events[0]), &event); err != nil {
		t.Fatal(err)
	}
	if len(event) != 2 || event["integration"] != "misp" {
		t.Errorf("top level is %v", event)
	}
	var check func(path string, v any)
	check = func(path string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for k, v := range v {
				if strings.Contains(k, ".") {
					t.Errorf("key %q holds a dot", path+k)
				}
				check(path+k+".", v)
			}
		case []any:
			for _, v := range v {
				if _, ok := v.(string); !ok {
					t.Errorf("%s holds %T", path, v)
				}
			}
		case string:
			if v == "" {
				t.Errorf("%s is empty", path)
			}
		default:
			t.Errorf("%s is %T", path, v)
		}
	}
	check("", event)
}

func TestProcessReturnsTrouble(t *testing.T) {
	sink := &collected{}
	trouble := &enrich.Trouble{Code: enrich.CodeUnauthorized, Err: errors.New("misp.example.org says 403"), Remedy: "check the key"}
	out, err := process(t, failing{fmt.Errorf("wrapped: %w", trouble)}, sink)
	if !errors.Is(err, trouble) || out.Sent != 0 || len(sink.events) != 0 {
		t.Fatalf("outcome %+v, error %v, events %v", out, err, sink.events)
	}
}

// TestProcessMergesFilters picks one value by two mappings, one of which has a filter of its own: there is one event,
// and it names those that accept the attribute.
func TestProcessMergesFilters(t *testing.T) {
	const mappings = `
version: 1
mappings:
  - {id: a, match: 'true', pick: [{path: data.dst, type: ip-dst}]}
  - {id: b, match: 'true', lookup: {tags: [wanted]}, pick: [{path: data.other, type: ip-src}]}
  - {id: c, match: 'true', lookup: {tags: [other]}, pick: [{path: data.other, type: ip-src}]}
`
	e, err := engine.Load(engine.Source{Name: "t.yaml", Data: []byte(mappings)})
	if err != nil {
		t.Fatal(err)
	}
	a, err := enrich.ParseAlert([]byte(alertJSON))
	if err != nil {
		t.Fatal(err)
	}
	sink := &collected{}
	p := enrich.Pipeline{Engine: e, Lookup: list{{UUID: "u", Type: "ip-dst", Value: "192.31.196.66", Tags: []string{"wanted"}}}, Sink: sink}
	if _, err := p.Process(context.Background(), a); err != nil {
		t.Fatal(err)
	}
	if len(sink.events) != 1 || !strings.Contains(sink.events[0], `"match_count":"1"`) ||
		!strings.Contains(sink.events[0], `"mapping":"a","path":"data.dst","also":["b data.other"]`) {
		t.Errorf("events %v", sink.events)
	}
}

// TestExpiredEvent reports what has ended as such only if nothing else is known of the value.
func TestExpiredEvent(t *testing.T) {
	gone := misp.Attribute{UUID: "u1", Type: "ip-dst", Value: "192.31.196.66", ToIDs: true, LastSeen: "2020-01-01T00:00:00Z", Event: misp.Event{ID: "1"}}
	lives := misp.Attribute{UUID: "u2", Type: "ip-dst", Value: "192.31.196.66", Event: misp.Event{ID: "2"}}
	for _, tt := range []struct {
		known    list
		expired  string
		id, says string // empty for no event
	}{
		{list{gone}, "", "1", `"expired":"true"`},
		{list{gone}, "report", "1", `"expired":"true"`},
		{list{gone}, "ignore", "", ""},
		{list{gone}, "match", "1", `"last_seen":"2020-01-01T00:00:00Z","event"`},
		{list{gone, lives}, "", "2", `"event_ids":["2","1"]`},
	} {
		e, err := engine.Load(engine.Source{Name: "t.yaml", Data: []byte("version: 1\nmappings:\n  - {id: a, match: 'true', pick: [{path: data.dst, type: ip-dst}]" + map[bool]string{true: ", lookup: {expired: " + tt.expired + "}"}[tt.expired != ""] + "}\n")})
		if err != nil {
			t.Fatal(err)
		}
		a, err := enrich.ParseAlert([]byte(alertJSON))
		if err != nil {
			t.Fatal(err)
		}
		sink := &collected{}
		p := enrich.Pipeline{Engine: e, Lookup: tt.known, Sink: sink}
		if _, err := p.Process(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		got := strings.Join(sink.events, "\n")
		if tt.id == "" && got != "" || tt.id != "" && (len(sink.events) != 1 || !strings.Contains(got, `"event_id":"`+tt.id+`"`) || !strings.Contains(got, tt.says)) {
			t.Errorf("%d attributes, %q: %s", len(tt.known), tt.expired, got)
		}
	}
}

// related is a Lookup that knows attributes in all their relations.
type related []misp.Attribute

// Lookup implements enrich.Lookup.
func (l related) Lookup(_ context.Context, observables []engine.Observable) ([]enrich.Match, error) {
	var matches []enrich.Match
	for _, o := range observables {
		for _, r := range o.Related() {
			for _, a := range l {
				if slices.Contains(engine.Indicators(engine.Type(a.Type), a.Value), r.Indicator) {
					matches = append(matches, enrich.Match{Observable: o, Attribute: &a, Kind: r.Kind})
				}
			}
		}
	}
	return matches, nil
}

// TestWholePair reports a pair that the alert has in full once: that one half of it is known says nothing more.
func TestWholePair(t *testing.T) {
	const mappings = `
version: 1
mappings:
  - {id: a, match: 'true', pick: [{path: data.k, type: regkey}, {path: data.k, pair: data.v, type: regkey|value}, {path: data.v, type: filename}]}
`
	e, err := engine.Load(engine.Source{Name: "t.yaml", Data: []byte(mappings)})
	if err != nil {
		t.Fatal(err)
	}
	for value, want := range map[string][]string{
		`HKEY_LOCAL_MACHINE\Run\a|C:\a.exe`: {`"match_kind":"exact"`},
		`HKEY_LOCAL_MACHINE\Run\a|C:\b.exe`: {`"match_kind":"half"`},
		`HKEY_LOCAL_MACHINE\Run\b|C:\a.exe`: {`"match_kind":"half"`},
	} {
		a, err := enrich.ParseAlert([]byte(`{"rule":{"id":"1","level":3},"agent":{"id":"001"},"data":{"k":"HKLM\\Run\\a","v":"C:\\a.exe"}}`))
		if err != nil {
			t.Fatal(err)
		}
		sink := &collected{}
		p := enrich.Pipeline{Engine: e, Lookup: related{{UUID: "u", Type: "regkey|value", Value: value}}, Sink: sink}
		if _, err := p.Process(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		if len(sink.events) != len(want) || !strings.Contains(sink.events[0], want[0]) {
			t.Errorf("%s: events %v, want %v", value, sink.events, want)
		}
	}
}

func TestThrottle(t *testing.T) {
	now := time.Date(2026, 10, 5, 8, 0, 0, 0, time.UTC)
	sink := &collected{}
	throttle := enrich.Throttle{Sink: sink, Dir: t.TempDir(), Interval: time.Hour, Now: func() time.Time { return now }}
	send := func(b enrich.Body) int {
		t.Helper()
		before := len(sink.events)
		if err := throttle.Send(context.Background(), enrich.Enrichment{Body: b}); err != nil {
			t.Fatal(err)
		}
		return len(sink.events) - before
	}
	down, denied, hit := enrich.Body{Error: enrich.CodeUnavailable}, enrich.Body{Error: enrich.CodeUnauthorized}, enrich.Body{Value: "v"}
	for i, step := range []struct {
		after time.Duration
		body  enrich.Body
		want  int
	}{
		{0, down, 1},
		{time.Minute, down, 0},
		{0, denied, 1},
		{0, hit, 1},
		{0, hit, 1},
		{58 * time.Minute, down, 0},
		{time.Minute, down, 1},
		{time.Minute, down, 0},
		{-48 * time.Hour, down, 1}, // a clock that was set back
	} {
		now = now.Add(step.after)
		if got := send(step.body); got != step.want {
			t.Errorf("step %d: %d events, want %d", i, got, step.want)
		}
	}
	sink.err = errors.New("queue is down")
	now = now.Add(2 * time.Hour)
	if err := throttle.Send(context.Background(), enrich.Enrichment{Body: down}); err == nil {
		t.Error("a failure to send is not reported")
	}
	sink.err = nil
	if send(down) != 1 {
		t.Error("an event that was not sent counts as sent")
	}
	throttle.Dir = "/dev/null/x"
	if send(down)+send(down) != 2 {
		t.Error("without a place for the stamp, an event was swallowed")
	}
}

func TestProcessReportsWhatWasNotSent(t *testing.T) {
	down := errors.New("queue is down")
	out, err := process(t, list{{Type: "ip-dst", Value: "192.31.196.66"}}, &collected{err: down})
	if !errors.Is(err, down) || out.Sent != 0 {
		t.Errorf("outcome %+v, error %v", out, err)
	}
}

func TestEventFits(t *testing.T) {
	long := func(n int) string { return strings.Repeat("é\"\x00<", n) }
	many := make([]string, 5000)
	for i := range many {
		many[i] = fmt.Sprintf("tag-%d-%s", i, long(3))
	}
	context := map[string]string{}
	for i := range 100 {
		context[fmt.Sprint("key", i)] = long(1000)
	}
	for name, body := range map[string]enrich.Body{
		"long comment":  {Value: "v", Comment: long(100_000)},
		"many tags":     {Value: "v", Tags: many},
		"large context": {Value: "v", Source: &enrich.Source{Context: context}},
		"all of it": {
			Value: long(5000), Comment: long(9000), Tags: many, EventIDs: many, Event: &enrich.EventBody{Info: long(50_000)},
			Source: &enrich.Source{Context: context, RuleDescription: long(9000)}, Observable: &enrich.ObservableBody{Value: long(5000), Also: many},
		},
	} {
		t.Run(name, func(t *testing.T) {
			tags := len(body.Tags)
			data, err := enrich.Enrichment{Body: body}.JSON()
			if err != nil {
				t.Fatal(err)
			}
			if len(data) > enrich.MaxEvent || !json.Valid(data) || !utf8.Valid(data) {
				t.Errorf("%d bytes, valid %t", len(data), json.Valid(data))
			}
			if !strings.Contains(string(data), `"truncated":"true"`) {
				t.Error("the event does not say that it was shortened")
			}
			if strings.Contains(string(data), `\u0000`) {
				t.Error("the event holds a NUL")
			}
			if len(body.Tags) != tags || body.Truncated != "" {
				t.Error("JSON changed the enrichment itself")
			}
		})
	}
	data, err := enrich.Enrichment{Body: enrich.Body{Comment: long(10)}}.JSON()
	if err != nil || strings.Contains(string(data), "truncated") {
		t.Errorf("a short event was shortened: %s, %v", data, err)
	}
}

// TestTextFits checks that no text of an event is longer than the indexer takes, and that an event says if one was.
func TestTextFits(t *testing.T) {
	for _, n := range []int{enrich.MaxText, enrich.MaxText + 1, 33_000} {
		body := enrich.Body{
			Comment: strings.Repeat("é", n/2) + strings.Repeat("x", n%2), Tags: []string{strings.Repeat("t", n)},
			Source: &enrich.Source{Context: map[string]string{"commandLine": strings.Repeat("c", n)}},
		}
		data, err := enrich.Enrichment{Body: body}.JSON()
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{"misp.comment", "misp.tags.0", "misp.source.context.commandLine"} {
			text := gjson.GetBytes(data, path).String()
			if len(text) > enrich.MaxText || len(text) < enrich.MaxText-4 || !utf8.ValidString(text) {
				t.Errorf("%s has %d bytes of %d", path, len(text), n)
			}
		}
		if got, want := gjson.GetBytes(data, "misp.truncated").String(), map[bool]string{true: "true"}[n > enrich.MaxText]; got != want {
			t.Errorf("%d bytes: truncated %q, want %q", n, got, want)
		}
	}
}

// TestTextIsNoArray checks that Wazuh makes no array of a text.
func TestTextIsNoArray(t *testing.T) {
	for text, want := range map[string]string{
		`[{"a":1}]`: ` [{"a":1}]`, "[1,2] ": " [1,2] ", "[::1]:80": "[::1]:80", "[new] text": "[new] text", "a [1]": "a [1]",
	} {
		data, err := enrich.Enrichment{Body: enrich.Body{
			Comment: text, Tags: []string{text}, Source: &enrich.Source{Context: map[string]string{"k": text}},
		}}.JSON()
		if err != nil {
			t.Fatal(err)
		}
		for path, want := range map[string]string{"misp.comment": want, "misp.source.context.k": want, "misp.tags.0": text} {
			if got := gjson.GetBytes(data, path).String(); got != want {
				t.Errorf("%s: %q, want %q", path, got, want)
			}
		}
	}
}

// TestSourceAgent checks what an event says of where its alert came from.
func TestSourceAgent(t *testing.T) {
	for name, tt := range map[string]struct{ alert, want string }{
		"agent":     {`{"rule":{},"agent":{"id":"004","name":"ws-07","ip":"10.20.4.7"}}`, `{"agent":{"id":"004","name":"ws-07","ip":"10.20.4.7"}}`},
		"manager":   {`{"rule":{},"agent":{"id":"000","name":"wazuh-manager"}}`, `{"agent":{"id":"000","name":"wazuh-manager"}}`},
		"agentless": {`{"rule":{},"agent":{"id":"000"},"agentless":{"script":"ssh_integrity_check_linux","host":"root@192.0.2.9"}}`, `{"agent":{"id":"000"},"agentless":{"host":"root@192.0.2.9"}}`},
		"none":      {`{"rule":{},"agent":"x"}`, `{}`},
	} {
		a, err := enrich.ParseAlert([]byte(tt.alert))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := json.Marshal(a.Source); err != nil || string(got) != tt.want {
			t.Errorf("%s: %s, %v; want %s", name, got, err, tt.want)
		}
	}
}

func TestAccepts(t *testing.T) {
	yes, no := true, false
	now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	age := func(s string) *engine.Age {
		a, err := engine.ParseAge(s)
		if err != nil {
			t.Fatal(err)
		}
		return &a
	}
	a := misp.Attribute{
		ToIDs: false, Tags: []string{"tlp:amber", "Type:OSINT"}, Warninglists: []string{"resolvers"},
		Timestamp: now.AddDate(0, 0, -60), LastSeen: "2026-10-22T00:00:00.000000+00:00", DecayScore: new(42.5),
		Event: misp.Event{Org: "EXAMPLE-CERT", OrgUUID: "55f6ea5e-0000-4000-8000-000000000000", ThreatLevel: 2},
	}
	for name, tt := range map[string]struct {
		f    engine.Filter
		want bool
	}{
		"nothing asked":         {engine.Filter{}, true},
		"to_ids":                {engine.Filter{ToIDs: &yes}, false},
		"to_ids false":          {engine.Filter{ToIDs: &no}, true},
		"published":             {engine.Filter{Published: &yes}, false},
		"published false":       {engine.Filter{Published: &no}, true},
		"warninglists":          {engine.Filter{Warninglists: &yes}, false},
		"tag":                   {engine.Filter{Tags: []string{"x", "type:osint"}}, true},
		"tag with any rest":     {engine.Filter{Tags: []string{"TLP:*"}}, true},
		"other tag":             {engine.Filter{Tags: []string{"tlp:am"}}, false},
		"excluded tag":          {engine.Filter{ExcludeTags: []string{"tlp:*"}}, false},
		"other tag excluded":    {engine.Filter{ExcludeTags: []string{"tlp:red"}}, true},
		"threat level":          {engine.Filter{MinThreatLevel: "medium"}, true},
		"higher threat level":   {engine.Filter{MinThreatLevel: "high"}, false},
		"any threat level":      {engine.Filter{MinThreatLevel: "undefined"}, true},
		"seen recently":         {engine.Filter{MaxAge: age("30d")}, true},
		"not seen so recently":  {engine.Filter{MaxAge: age("72h")}, false},
		"any age":               {engine.Filter{MaxAge: age("0")}, true},
		"decay score":           {engine.Filter{MinDecayScore: new(42)}, true},
		"higher decay score":    {engine.Filter{MinDecayScore: new(43)}, false},
		"organisation":          {engine.Filter{Orgs: []string{"x", "example-cert"}}, true},
		"organisation by UUID":  {engine.Filter{Orgs: []string{"55F6EA5E-0000-4000-8000-000000000000"}}, true},
		"other organisation":    {engine.Filter{Orgs: []string{"EXAMPLE"}}, false},
		"excluded organisation": {engine.Filter{ExcludeOrgs: []string{"Example-CERT"}}, false},
		"kind":                  {engine.Filter{MatchKinds: []engine.MatchKind{engine.MatchNetwork, engine.MatchExact}}, true},
		"other kind":            {engine.Filter{MatchKinds: []engine.MatchKind{engine.MatchNetwork}}, false},
		"mapping over the site": {(&engine.Filter{ToIDs: &no, MaxAge: age("0")}).Over(engine.Filter{ToIDs: &yes, Tags: []string{"tlp:amber"}, MaxAge: age("1d")}), true},
	} {
		if got := enrich.Accepts(tt.f, engine.MatchExact, a, now); got != tt.want {
			t.Errorf("%s: %t, want %t", name, got, tt.want)
		}
		if key := enrich.Refused(tt.f, engine.MatchExact, a, now); (key == "") != tt.want || key != "" && !strings.HasPrefix(key, "lookup.") {
			t.Errorf("%s: refused by %q", name, key)
		}
	}
	unscored := misp.Attribute{}
	if !enrich.Accepts(engine.Filter{MinDecayScore: new(50)}, engine.MatchExact, unscored, now) {
		t.Error("what no model scores was rejected")
	}
}

func TestParseAlert(t *testing.T) {
	deep := func(n int) string { return `{"rule":{},"a":` + strings.Repeat("[", n) + strings.Repeat("]", n) + "}" }
	for name, tt := range map[string]struct{ in, want string }{
		"good":                 {alertJSON, ""},
		"with newline":         {alertJSON + "\n", ""},
		"with byte order mark": {"\xef\xbb\xbf" + alertJSON, ""},
		"empty":                {"", "empty, not an alert"},
		"blank":                {" \n", "empty, not an alert"},
		"truncated":            {alertJSON[:50], "not valid JSON: it ends after 50 bytes in the middle of something"},
		"not JSON":             {"Oct  5 08:10:00 ws-07 sshd", "not valid JSON at byte 1: invalid character 'O' looking for beginning of value"},
		"text format":          {"alertdate='2026'\nalertlocation='x'", "in Wazuh's old text format; add <alert_format>json</alert_format> to the <integration> block"},
		"array":                {"[1]", "JSON, but not an object, so not an alert"},
		"no rule":              {`{"a":1}`, "a JSON object without a rule, not an alert"},
		"two alerts":           {alertJSON + alertJSON, fmt.Sprintf("not valid JSON at byte %d: invalid character '{' after top-level value", len(alertJSON)+1)},
		"too long":             {`{"rule":{},"x":"` + strings.Repeat("x", enrich.MaxAlert) + `"}`, fmt.Sprintf("%d bytes, longer than an alert can be (%d)", enrich.MaxAlert+18, enrich.MaxAlert)},
		"deep":                 {deep(900), ""},
		"too deep":             {deep(300_000), "nested more than 1000 deep, not an alert"},
		"too deep, unclosed":   {strings.Repeat("[", 500_000), "nested more than 1000 deep, not an alert"},
		"brackets in a string": {`{"rule":{},"x":"` + strings.Repeat("[", 5000) + `\"` + `"}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := enrich.ParseAlert([]byte(tt.in))
			got := ""
			if err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("error %q, want %q", got, tt.want)
			}
		})
	}
}

// FuzzParseAlert takes any bytes for an alert, and makes an event of what it says.
func FuzzParseAlert(f *testing.F) {
	for _, s := range []string{alertJSON, "", "{", `{"rule":{"level":1e400}}`, `{"rule":{},"agent":[],"id":{"a":"\ud800"}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := enrich.ParseAlert(data)
		if err != nil {
			return
		}
		event, err := enrich.Enrichment{Agent: a.Agent, Body: enrich.Body{Source: &a.Source}}.JSON()
		if err != nil || !json.Valid(event) || len(event) > enrich.MaxEvent {
			t.Errorf("event %.100s, %v", event, err)
		}
	})
}

// TestEverythingFits makes each text of an event long, one after the other and all at once.
func TestEverythingFits(t *testing.T) {
	long := strings.Repeat("x", 70_000)
	names := map[string]bool{}
	for only := -1; ; only++ {
		n := 0
		body := enrich.Body{Source: &enrich.Source{Context: map[string]string{"k": ""}}}
		var set func(v reflect.Value, name string)
		set = func(v reflect.Value, name string) {
			switch v.Kind() {
			case reflect.Pointer:
				if v.IsNil() {
					v.Set(reflect.New(v.Type().Elem()))
				}
				set(v.Elem(), name)
			case reflect.Struct:
				for i := range v.NumField() {
					set(v.Field(i), name+"."+v.Type().Field(i).Name)
				}
			case reflect.Slice:
				v.Set(reflect.MakeSlice(v.Type(), 3, 3))
				set(v.Index(2), name)
			case reflect.Map:
				v.SetMapIndex(reflect.ValueOf("k"), reflect.ValueOf(long))
			case reflect.String:
				if n++; only < 0 || n == only+1 {
					names[name] = true
					v.SetString(long)
				}
			}
		}
		set(reflect.ValueOf(&body).Elem(), "")
		if data, err := (enrich.Enrichment{Body: body}).JSON(); err != nil || len(data) > enrich.MaxEvent {
			t.Errorf("text %d of %v: %d bytes, %v", only, len(names), len(data), err)
		}
		if only+1 >= n {
			break
		}
	}
	if len(names) < 40 {
		t.Errorf("only %d texts", len(names))
	}
}
