package api

import (
	"context"
	"encoding/json"
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/misp"
)

// FuzzAnswer reads any bytes as the answer to a question for some values, as a look-up does. It must not panic, and
// must not accept more than was asked for. What it finds must be equal to a value that was asked for, or be related to
// it as the kind of the match says.
func FuzzAnswer(f *testing.F) {
	const (
		hash    = "0f0e0d0c0b0a09080706050403020100aabbccddeeff00112233445566778899"
		inEvent = `"Event":{"id":"7","orgc_id":"2","info":"Loader","published":true,"uuid":"e","date":"2026-10-01","threat_level_id":"1","analysis":"2","Tag":[{"local":false,"id":"3","name":"tlp:amber","colour":"#ffaa00","numerical_value":null}],"Orgc":{"id":"2","name":"EXAMPLE-CERT","uuid":"o","local":false}}`
		rest    = `"id":"1","event_id":"7","object_id":"0","object_relation":null,"category":"Other","to_ids":true,"uuid":"u","timestamp":"1790000000","comment":"","deleted":false,"first_seen":null,"last_seen":"2026-10-02T00:00:00.000000+00:00"`
	)
	for _, attributes := range []string{
		``,
		`{"type":"sha256","value":"` + hash + `",` + rest + `,` + inEvent + `,"Tag":[{"id":"3","name":"own","is_galaxy":false,"local":false},{"id":"4","name":"tlp:amber","inherited":1}]}`,
		`{"type":"filename|sha256","value":"a.doc|` + strings.ToUpper(hash) + `",` + rest + `,` + inEvent + `,"decay_score":[{"score":61.25,"base_score":80,"decayed":false,"DecayingModel":{"id":"2","name":"m"}}]}`,
		`{"type":"ip-dst|port","value":"192.31.196.24|8443",` + rest + `},{"type":"ip-src","value":"2620:4F:8000:0::bad",` + rest + `},{"type":"ip-src","value":"192.31.196.0/24",` + rest + `}`,
		`{"type":"domain|ip","value":"bad.example|192.31.196.24",` + rest + `,"warnings":[{"match":"a","value":"b","warninglist_id":"1","warninglist_name":"w","warninglist_category":"false_positive"}]}`,
		`{"type":"domain","value":"bad.example",` + rest + `},{"type":"hostname","value":"c2.bad.example.",` + rest + `},{"type":"url","value":"hxxp://c2.bad[.]example/a",` + rest + `}`,
		`{"id":7,"type":"filename","value":"évil.exe","to_ids":"1","deleted":null,"timestamp":1790000000,"Event":[],"Tag":null,"decay_score":[{"score":"NaN"}]}`,
		`{"type":"AS","value":64500},{"type":"AS","value":"AS64500","deleted":true}`,
		`{"type":"ip-dst","value":["192.31.196.24"]}`, `"error"`, `null`, `{}`,
	} {
		f.Add([]byte(`{"response":{"Attribute":[` + attributes + `]}}`))
	}
	for _, answer := range []string{
		``, `[`, `null`, `[]`, `{"response":[]}`, `{"response":{"Attribute":null}}`, `{"response":{"Attribute":{"1":{}}}}`, `{"name":"Not Found","message":"Not Found","url":"\/x"}`,
		`{"response":{"Attribute":[{"type":"ip-dst","value":"192.31.196.24"}],"attribute":[]}}`,
		`{"response":{"Attribute":[` + strings.Repeat(`{"type":"x"},`, pageSize) + `{"type":"x"}]}}`,
	} {
		f.Add([]byte(answer))
	}
	asked := []engine.Observable{
		{Type: "sha256", Value: hash},
		{Type: "ip-dst", Value: "192.31.196.24"},
		{Type: "ip-src", Value: "2620:4f:8000::bad"},
		{Type: "hostname", Value: "c2.bad.example"},
		{Type: "url", Value: "http://c2.bad.example/a"},
		{Type: "filename", Value: "evil.exe"},
		{Type: "AS", Value: "AS64500"},
		{Type: "user-agent", Value: "100%"},
		{Type: "user-agent", Value: "\u200b"},
	}
	inquiries := inquire(asked, engine.Filter{}, maxValues)
	if len(inquiries) != 1 {
		f.Fatalf("%d questions", len(inquiries))
	}
	check := wholeAnswers{max: 1 << 20}
	now := time.Unix(1790000000, 0)
	f.Fuzz(func(t *testing.T, data []byte) {
		if check.check("application/json", data) != nil {
			return
		}
		before := allocated()
		attributes, _, err := decoded(data)
		if used, most := allocated()-before, workFor(len(data)); used > most {
			t.Fatalf("%d bytes of memory for %d of JSON", used, len(data))
		}
		if len(attributes) > pageSize || err != nil && !errors.Is(err, errNoResult) && !errors.Is(err, errNoAttribute) && !errors.Is(err, errOverLimit) {
			t.Fatalf("%d attributes, %v", len(attributes), err)
		}
		for _, a := range attributes {
			found := enrich.NewAnswer(asked, engine.Filter{}, now)
			inquiries[0].explain(found)
			inquiries[0].match(&a, found.Add)
			matches := found.Matches()
			if len(matches) > 2*len(asked) {
				t.Fatalf("%d matches of one attribute", len(matches))
			}
			for _, m := range matches {
				if !related(m) {
					t.Errorf("%s %q was taken for %s %q (%s)", m.Attribute.Type, m.Attribute.Value, m.Observable.Type, m.Observable.Value, m.Kind)
				}
			}
		}
	})
}

// allocated returns how much memory was ever allocated, in bytes.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// workFor returns how much memory may be allocated to read attributes from n bytes of JSON: {"type":"x"}, becomes an
// attribute of 400 bytes, in a list that is made anew as it grows, and each may have the tags of its event too, of which
// there are at most MaxTags.
func workFor(n int) uint64 {
	attributes, tags := n/len(`{},`), min(n/len(`{"name":"x"},`), 2*misp.MaxTags)
	return uint64(1<<18 + 3000*attributes + 200*n + 200*attributes*tags) //nolint:gosec // not negative
}

// related judges a match again, in another way than the code that found it: one half of the attribute, brought into
// the normal form of the observable, is its value; or it is a network or a name that contains the value.
func related(m enrich.Match) bool {
	value := strings.ToLower(m.Observable.Value)
	return slices.ContainsFunc(strings.Split(m.Attribute.Value, "|"), func(half string) bool {
		normal, err := m.Observable.Type.Normal(half)
		switch m.Kind {
		case engine.MatchExact:
			return err == nil && strings.EqualFold(normal, value)
		case engine.MatchURLHost, engine.MatchParentDomain:
			host, err := engine.Type("hostname").Normal(half)
			return err == nil && (host == "c2.bad.example" && m.Kind == engine.MatchURLHost || host == "bad.example" && m.Kind == engine.MatchParentDomain)
		case engine.MatchNetwork:
			found := engine.Indicators("ip-dst", half)
			return len(found) == 1 && slices.ContainsFunc(m.Observable.Related(), func(r engine.Relation) bool {
				return r.Kind == engine.MatchNetwork && r.Indicator == found[0]
			})
		}
		return false
	})
}

// FuzzDecodeEvent reads any bytes as an event of a feed. What it returns is live, has indicators that are valid, and
// carries its event.
func FuzzDecodeEvent(f *testing.F) {
	for _, s := range []string{
		`{"Event":{"uuid":"e","info":"Loader","date":"2026-10-01","threat_level_id":"1","analysis":"2","published":true,"Orgc":{"name":"EXAMPLE-CERT","uuid":"o"},"Tag":[{"name":"tlp:amber"}],
			"Attribute":[{"uuid":"u","type":"ip-dst","value":"192.31.196.24","to_ids":true,"timestamp":"1790000000","Tag":[{"name":"own"}]},{"type":"md5","value":"x","deleted":true}],
			"Object":[{"name":"file","Attribute":[{"type":"filename","value":"a.doc"}]},{"deleted":"1","Attribute":[{"type":"filename","value":"b.doc"}]}]}}`,
		`{"Event":{"uuid":"u","Attribute":[{"type":"ip-dst","value":"192.31.196.1"}],"Object":[{"Attribute":[{"deleted":"1"}]}]}}`,
		`{"Event":{"id":7,"published":false,"Attribute":[{"type":"domain|ip","value":"bad.example|192.31.196.24"}]}}`,
		`{"Event":{"Attribute":[null,{}]}}`, `{"Event":{"Attribute":{}}}`, `{"Event":null}`, `{"Event":[]}`, `{}`, `[]`, ``, `[`, `{"event":{"ATTRIBUTE":[{"Type":"x"}]}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		before := allocated()
		event, sequence, err := DecodeEvent(context.Background(), data)
		if used, most := allocated()-before, uint64(1<<16+32*len(data)); used > most {
			t.Fatalf("%d bytes of memory for %d of JSON", used, len(data))
		}
		if err != nil {
			if sequence != nil || strings.TrimSpace(err.Error()) == "" || len(err.Error()) > 200 {
				t.Fatalf("attributes: %t, with %v", sequence != nil, err)
			}
			return
		}
		before = allocated()
		attributes := slices.Collect(sequence)
		if used, most := allocated()-before, workFor(len(data)); used > most {
			t.Fatalf("%d bytes of memory for %d of JSON", used, len(data))
		}
		if !json.Valid(data) {
			t.Fatal("took what is no JSON")
		}
		if len(attributes) > len(data)/2 {
			t.Fatalf("%d attributes in %d bytes", len(attributes), len(data))
		}
		for _, a := range attributes {
			if !sameEvent(a.Event, event) || a.Event.ID == "" && a.Event.UUID != "" {
				t.Fatalf("of another event: %+v", a.Event)
			}
			if n := len(engine.Indicators(engine.Type(a.Type), a.Value)); n > 2 {
				t.Fatalf("%d indicators", n)
			}
		}
	})
}

// sameEvent compares events without the tags: those that an attribute has from its event count too.
func sameEvent(a, b misp.Event) bool {
	a.Tags, b.Tags = nil, nil
	return cmp.Equal(a, b)
}

// TestAnswerOverLimit refuses a page that is longer than asked for, without making attributes of it.
func TestAnswerOverLimit(t *testing.T) {
	t.Parallel()
	one := `{"type":"x"}`
	page := `{"response":{"Attribute":[` + strings.Repeat(one+",", pageSize-1) + one + `]}}`
	if attributes, _, err := decoded([]byte(page)); err != nil || len(attributes) != pageSize {
		t.Errorf("%d attributes, %v", len(attributes), err)
	}
	over := []byte(strings.Replace(page, one, one+","+one, 1))
	if attributes, _, err := decoded(over); !errors.Is(err, errOverLimit) || len(attributes) > 0 {
		t.Errorf("over the limit: %d attributes, %v", len(attributes), err)
	}
}
