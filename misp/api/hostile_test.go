package api_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/misp"
	"custom-misp/misp/api"
)

// mega is a million, where the race detector does not watch.
const mega = 1_000_000 / slowdown

// list returns a JSON list of n elements; form gets the number of each.
func list(n int, form string) string {
	before, after, numbered := strings.Cut(form, "#")
	if !numbered {
		return "[" + strings.Repeat(form+",", n-1) + form + "]"
	}
	b := []byte("[")
	for i := range n {
		b = append(b, before...)
		b = strconv.AppendInt(b, int64(i), 10)
		b = append(b, after...)
		b = append(b, ',')
	}
	b[len(b)-1] = ']'
	return string(b)
}

// one is an answer with one attribute that was asked for, and more members of it.
func one(more string) string {
	return `{"response":{"Attribute":[{"id":"1","uuid":"u","to_ids":true,"type":"ip-dst","value":"192.31.196.24",` + more + `}]}}`
}

func zipped(t testing.TB, answer string) []byte {
	t.Helper()
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := z.Write([]byte(answer)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// sends answers each request with the same compressed JSON.
func sends(zipped []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(zipped)
	}
}

// paged answers with pages of matches until there were so many.
func paged(n int) http.HandlerFunc {
	var page atomic.Int64
	return func(w http.ResponseWriter, _ *http.Request) {
		first := int(page.Add(1)-1) * 5000
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"response":{"Attribute":[`)
		for i := first; i < min(n, first+5000); i++ {
			if i > first {
				fmt.Fprint(w, ",")
			}
			fmt.Fprintf(w, `{"id":"%d","uuid":"u%06d","type":"ip-dst","value":"192.31.196.24","to_ids":%t,"timestamp":"%d","Event":{"id":"%d","info":"i","Tag":[{"name":"tlp:amber"}]}}`,
				i, i, i >= n-10, 1790000000+i, i)
		}
		fmt.Fprint(w, `]}}`)
	}
}

// slowBody sends a blank now and then.
func slowBody(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	for tick := time.NewTicker(50 * time.Millisecond); ; {
		_, _ = w.Write([]byte(" "))
		_ = http.NewResponseController(w).Flush()
		select {
		case <-tick.C:
		case <-r.Context().Done():
			tick.Stop()
			return
		}
	}
}

// endlessBody sends blanks as long as anyone reads them.
func endlessBody(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	for chunk := bytes.Repeat([]byte(" "), 1<<16); ; {
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
}

// TestHostileAnswers has a MISP, or something in its place, answer with as much work as fits into an answer. The look-up
// ends in time, whatever comes.
func TestHostileAnswers(t *testing.T) { // not parallel to others: it needs the whole machine
	const deadline, grace = 4 * time.Second, 500 * time.Millisecond
	check := func(want int) func(*testing.T, misp.Attribute) {
		return func(t *testing.T, a misp.Attribute) {
			if len(a.Tags) != want || misp.TLP(a.Tags) != "red" {
				t.Errorf("%d tags, TLP %q", len(a.Tags), misp.TLP(a.Tags))
			}
		}
	}
	for name, tt := range map[string]struct {
		answer http.HandlerFunc
		fails  string // what the error says; empty if there may be none
		check  func(*testing.T, misp.Attribute)
	}{
		"ten million attributes":    {answer: sends(zipped(t, `{"response":{"Attribute":`+list(10*mega, `{}`)+`}}`)), fails: "more than the 5000 attributes"},
		"half a million with types": {answer: sends(zipped(t, `{"response":{"Attribute":`+list(mega/2, `{"type":"ip-dst"}`)+`}}`)), fails: "more than the 5000 attributes"},
		"100,000 tags":              {answer: sends(zipped(t, one(`"Tag":`+strings.TrimSuffix(list(100_000, `{"name":"tag #"}`), "]")+`,{"name":"tlp:red"}]`))), check: check(misp.MaxTags + 1)},
		"1.5 million tags":          {answer: sends(zipped(t, one(`"Tag":`+list(3*mega/2, `{"name":"tag #"}`))))},
		"100,000 tags of the event": {answer: sends(zipped(t, one(`"Event":{"Tag":[{"name":"tlp:red"},`+list(100_000, `{"name":"tag #"}`)[1:]+`}`))), check: check(misp.MaxTags)},
		"100,000 inherited tags":    {answer: sends(zipped(t, one(`"Tag":[{"name":"tlp:red"},`+list(100_000, `{"name":"tag #","inherited":1}`)[1:]))), check: check(misp.MaxTags)},
		"100,000 warninglists": {answer: sends(zipped(t, one(`"warnings":`+list(100_000, `{"warninglist_name":"list #"}`)))), check: func(t *testing.T, a misp.Attribute) {
			if len(a.Warninglists) != 200 || a.Warninglists[0] != "list 0" {
				t.Errorf("%d warninglists", len(a.Warninglists))
			}
		}},
		"a million scores": {answer: sends(zipped(t, one(`"decay_score":`+list(mega, `{"score":#}`)))), check: func(t *testing.T, a misp.Attribute) {
			if a.DecayScore == nil || *a.DecayScore != mega-1 {
				t.Errorf("score %v", a.DecayScore)
			}
		}},
		"ten million galaxies":    {answer: sends(zipped(t, one(`"Event":{"Galaxy":`+list(10*mega, `{}`)+`}`)))},
		"a million equal keys":    {answer: sends(zipped(t, one(strings.Repeat(`"comment":"x",`, mega)+`"comment":"y"`)))},
		"a million lists of tags": {answer: sends(zipped(t, one(strings.Repeat(`"Tag":[{"name":"x"}],`, mega)+`"Tag":[]`)))},
		"a text of 30 MB":         {answer: sends(zipped(t, one(`"comment":"`+strings.Repeat("x", 30*mega)+`"`)))},
		"escapes of 30 MB":        {answer: sends(zipped(t, one(`"comment":"`+strings.Repeat(`\u00e9`, 5*mega)+`"`)))},
		"a value of 30 MB":        {answer: sends(zipped(t, `{"response":{"Attribute":[{"type":"ip-dst","value":"`+strings.Repeat("1", 30*mega)+`"}]}}`))},
		"values of halves":        {answer: sends(zipped(t, `{"response":{"Attribute":`+list(5000, `{"type":"domain|ip","value":"`+strings.Repeat("|", 6000)+`"}`)+`}}`)), fails: "none of which was asked for"},
		"a page full of tags":     {answer: sends(zipped(t, `{"response":{"Attribute":`+list(4999, `{"type":"ip-dst","value":"192.31.196.24","uuid":"u#","Tag":`+list(400, `{"name":"t#"}`)+`}`)+`}}`))},
		"nested lists":            {answer: sends(zipped(t, one(`"Tag":`+strings.Repeat(strings.Repeat(`[`, 900)+strings.Repeat(`]`, 900)+`,"x":`, 10_000)+`1`)))},
		"a million levels":        {answer: sends(zipped(t, strings.Repeat(`[`, mega)+strings.Repeat(`]`, mega))), fails: "broken"},
		"45,010 matches":          {answer: paged(45_010)},
		"95,010 matches":          {answer: paged(95_010)},
		"endless pages":           {answer: paged(1 << 40), fails: "has more than 100000 attributes for"},
		"slow body":               {answer: slowBody, fails: "in time"},
		"endless body":            {answer: endlessBody, fails: "more than 33554432 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(tt.answer)
			defer server.Close()
			c := client(t, func(c *api.Config) { c.Timeout = time.Minute }, server.URL)
			ctx, cancel := context.WithTimeout(t.Context(), deadline)
			defer cancel()
			start := time.Now()
			matches, err := c.Lookup(ctx, []engine.Observable{observable("ip-dst", "192.31.196.24")})
			if took := time.Since(start); took > deadline+grace*slowdown {
				t.Errorf("took %s", took)
			} else {
				t.Logf("took %s: %d matches, %v", took, len(matches), err)
			}
			if len(matches) > enrich.MaxMatches {
				t.Errorf("%d matches", len(matches))
			}
			switch {
			case ctx.Err() != nil && err != nil:
				expectTrouble(t, err, enrich.CodeUnavailable, "time") // the machine is busy
			case tt.fails != "":
				expectTrouble(t, err, enrich.CodeBadAnswer, tt.fails)
			case err != nil:
				t.Error(err)
			case tt.check != nil && len(matches) == 1:
				tt.check(t, *matches[0].Attribute)
			case tt.check != nil:
				t.Errorf("%d matches", len(matches))
			}
		})
	}
}

// TestStrongestMatches has more matches than a look-up returns; those that are flagged come last.
func TestStrongestMatches(t *testing.T) {
	t.Parallel()
	const n = 3*enrich.MaxMatches + 7
	server := httptest.NewServer(paged(n))
	defer server.Close()
	got, err := client(t, func(c *api.Config) { c.Timeout = time.Minute }, server.URL).Lookup(t.Context(), []engine.Observable{observable("ip-dst", "192.31.196.24")})
	if err != nil || len(got) != enrich.MaxMatches {
		t.Fatalf("%d matches, %v", len(got), err)
	}
	for i, m := range got {
		if want := fmt.Sprintf("u%06d", n-1-i); m.Attribute.UUID != want || m.Attribute.ToIDs != (i < 10) {
			t.Fatalf("match %d is %s, flagged %t, want %s", i, m.Attribute.UUID, m.Attribute.ToIDs, want)
		}
	}
}

// TestHostileEvents reads events that are small in a feed's compressed file. None may take memory for what it has too
// much of.
func TestHostileEvents(t *testing.T) { // not parallel: it measures memory
	in := func(more string) string { return `{"Event":{"uuid":"e",` + more + `}}` }
	for name, tt := range map[string]struct {
		event string
		says  string
		most  uint64 // bytes that may be allocated
		count int
		tags  int
	}{
		"ten million attributes": {event: in(`"Attribute":` + list(10*mega, `{}`)), says: "Event.Attribute has more than 500000 entries; split the event", most: 1 << 16},
		"ten million objects":    {event: in(`"Object":` + list(10*mega, `{}`)), says: "Event.Object has more than 500000 entries", most: 1 << 16},
		"of objects together":    {event: in(`"Object":` + list(10, `{"Attribute":`+list(50_001, `{}`)+`}`)), says: "Event.Object.Attribute has more than 500000 entries", most: 1 << 16},
		"of both together":       {event: in(`"Attribute":` + list(250_000, `{}`) + `,"Object":[{"Attribute":` + list(250_001, `{}`) + `}]`), says: "Event.Object.Attribute has more than 500000", most: 1 << 16},
		"as many as there may":   {event: in(`"Attribute":` + list(500_000, `{"type":"x"}`) + `,"Object":[]`), count: 500_000, most: 32 << 20},
		"ten million tags":       {event: in(`"Tag":` + list(10*mega, `{}`) + `,"Attribute":[{"type":"x"}]`), count: 1, most: 1 << 20},
		"a million names":        {event: in(`"Tag":` + list(mega, `{"name":"tag #"}`) + `,"Attribute":[{"type":"x"}]`), count: 1, tags: misp.MaxTags, most: 64 << 20},
		"tags for each": {
			event: in(`"Tag":` + list(1000, `{"name":"tag #"}`) + `,"Attribute":` + list(10_000, `{"type":"x","Tag":[{"name":"own #"}]}`)),
			count: 10_000, tags: misp.MaxTags, most: 1 << 30,
		},
		"ten million galaxies":  {event: in(`"Galaxy":` + list(10*mega, `{}`) + `,"Attribute":[]`), most: 1 << 16},
		"ten million levels":    {event: strings.Repeat("[", 10*mega), says: "exceeded max depth", most: 1 << 20},
		"a long number":         {event: in(`"Attribute":` + strings.Repeat("1", mega)), says: "Event.Attribute must not be of the kind number", most: 1 << 16},
		"attribute of no kind":  {event: in(`"Attribute":[{},"x"]`), says: "Event.Attribute must not be of the kind string", most: 1 << 16},
		"object of no kind":     {event: in(`"Object":[[]]`), says: "Event.Object must not be of the kind array", most: 1 << 16},
		"a million event files": {event: strings.Repeat(in(`"x":1`), 1000), says: "invalid character", most: 1 << 16},
	} {
		data := []byte(tt.event)
		tt.event = ""
		start, before := time.Now(), allocated()
		_, attributes, err := api.DecodeEvent(t.Context(), data)
		count := 0
		if err == nil {
			for a := range attributes {
				if count++; len(a.Tags) != tt.tags {
					t.Errorf("%s: %d tags", name, len(a.Tags))
					break
				}
			}
		}
		used, took := allocated()-before, time.Since(start)
		if used > tt.most || took > 10*time.Second*slowdown {
			t.Errorf("%s: %d bytes, %s", name, used, took)
		}
		t.Logf("%s: %d bytes of JSON, %d bytes of memory, %s", name, len(data), used, took)
		if said := fmt.Sprint(err); (err == nil) != (tt.says == "") || !strings.Contains(said, tt.says) || len(said) > 200 {
			t.Errorf("%s: error %.300v, want %q", name, err, tt.says)
		}
		if count != tt.count {
			t.Errorf("%s: %d attributes", name, count)
		}
	}
}

// allocated returns how much memory was ever allocated, in bytes.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// TestHostileIndex refuses lists of events that are none.
func TestHostileIndex(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ answer, says string }{
		"ten million events": {list(10*mega, `{}`), "answered with more than the 10000 events that were asked for at most; does something"},
		"a page without":     {list(10_000, `{}`), "list of events without UUIDs"},
		"a long UUID":        {`[{"uuid":"` + strings.Repeat("u", 65) + `"}]`, "list of events without UUIDs"},
		"no list":            {`{"a":[]}`, "not a list of events"},
		"null":               {`null`, "not a list of events"},
	} {
		server := httptest.NewServer(sends(zipped(t, tt.answer)))
		_, _, err := client(t, func(c *api.Config) { c.Timeout = time.Minute }, server.URL).Events(t.Context(), api.EventList{})
		server.Close()
		if err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSamePage reads from a MISP that does not look at the page that it is asked for, and from one that does not look at
// the limit either.
func TestSamePage(t *testing.T) {
	t.Parallel()
	for says, ignoresLimit := range map[string]bool{"answered with the same page twice": false, "answered with more than the 5000": true} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var q struct{ Limit int }
			if err := json.NewDecoder(r.Body).Decode(&q); err != nil || ignoresLimit {
				q.Limit = 5000
			}
			sends(zipped(t, `{"response":{"Attribute":`+list(q.Limit, `{"id":"#","type":"ip-dst","value":"192.31.196.24"}`)+`}}`))(w, r)
		}))
		m := client(t, func(c *api.Config) { c.Timeout = time.Minute }, server.URL)
		page, err := m.Read(t.Context(), api.Reading{Events: []string{"1"}})
		if err != nil || len(page.Rows) < 4999 || !page.More {
			t.Fatalf("%d attributes, %v", len(page.Rows), err)
		}
		for tries := 0; err == nil && tries < 3; tries++ {
			page, err = m.Read(t.Context(), page.Next)
		}
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %s", err, says)
		}
		server.Close()
	}
}
