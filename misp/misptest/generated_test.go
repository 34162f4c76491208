package misptest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

// walk asks for all attributes, page by page, as a mirror does, and returns their number.
func walk(t testing.TB, s *Server, limit int, filter string) int {
	t.Helper()
	all := 0
	for page := 1; ; page++ {
		// Asked without HTTP: what is measured is the database.
		q := map[string]any{}
		body := fmt.Sprintf(`{"limit":%d,"page":%d,"order":"Attribute.id asc","includeContext":true,"includeEventTags":true%s}`, limit, page, filter)
		if err := json.Unmarshal([]byte(body), &q); err != nil {
			t.Fatal(err)
		}
		s.mu.Lock()
		data, _, _ := s.page(q, limit)
		s.mu.Unlock()
		n := bytes.Count(data, []byte(`"event_id":`))
		all += n
		if n < limit {
			return all
		}
	}
}

// TestGenerated looks at some generated attributes as they are answered, before and after they are changed.
func TestGenerated(t *testing.T) {
	t.Parallel()
	s := NewGenerated(t, 2500)
	s.SetNow(at(0))
	if n := walk(t, s, 700, `,"deleted":[0,1]`); n != 2500 {
		t.Errorf("%d attributes", n)
	}
	for _, tt := range []struct{ body, ids string }{
		{`{"value":"host-7.example"}`, "8"},
		{`{"value":"FILE-10.exe"}`, "11"},
		{`{"value":"2620:4f:8000:0:0:0:0:960"}`, "2401"},
		{`{"value":"http://host-2499.example/login"}`, "2500"},
		{`{"type":"md5","eventid":3,"limit":2}`, "20042010"},
		{`{"publish_timestamp":1700007260,"limit":1,"order":"Attribute.id asc"}`, "2001"},
		{`{"publish_timestamp":1700007261}`, ""},
		{`{"tags":"tlp:green","to_ids":1,"published":1,"org":"GENERATED","limit":1}`, "1"},
	} {
		if _, ids, _ := ask(t, s, tt.body); ids != tt.ids {
			t.Errorf("%s: %q, want %q", tt.body, ids, tt.ids)
		}
	}
	s.EditAttribute(GeneratedUUID(8), `{"to_ids":false}`)
	s.HardDelete(GeneratedUUID(9))
	added := s.AddAttribute(GeneratedEventUUID(1), `{"type":"domain","value":"added.example"}`)
	s.SoftDelete(added)
	for body, want := range map[string]string{
		`{"timestamp":1800000000,"deleted":[0,1],"order":"Attribute.id asc"}`: "92501",
		`{"value":"file-9.exe"}`:                   "",
		`{"published":0,"deleted":1}`:              "2501",
		`{"value":"` + second(Generated(8)) + `"}`: "9",
	} {
		if _, ids, _ := ask(t, s, body); ids != want {
			t.Errorf("%s: %q, want %q", body, ids, want)
		}
	}
	if n := walk(t, s, 700, ""); n != 2499 {
		t.Errorf("%d attributes after changes", n)
	}
}

func second(_, s string) string { return s }

// TestGeneratedShort compares how generated attributes are written in short with how all others are.
func TestGeneratedShort(t *testing.T) {
	t.Parallel()
	s := NewGenerated(t, 1007)
	for _, q := range []map[string]any{
		nil, {"includeContext": true}, {"includeEventTags": 1.0}, {"includeContext": true, "includeDecayScore": true},
	} {
		for _, a := range s.attributes[998:] {
			var want, got any
			long, err := json.Marshal(map[string]any{"response": map[string]any{"Attribute": []any{a.render(q)}}})
			if err != nil {
				t.Fatal(err)
			}
			out := newPaper(q, 1)
			out.add(a)
			for data, into := range map[*[]byte]*any{&long: &want, new(out.finish()): &got} {
				if err := json.Unmarshal(*data, into); err != nil {
					t.Fatalf("%s: %v", *data, err)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%v, %d (-want +got):\n%s", q, a.id, diff)
			}
		}
	}
}

// TestGeneratedValues holds the values to what is documented: they are compared by other tests too.
func TestGeneratedValues(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for i := range 10000 {
		_, value := Generated(i)
		if seen[value] {
			t.Errorf("%d: %s again", i, value)
		}
		seen[value] = true
	}
	for i, want := range map[int]string{
		0:      "ip-dst 2620:4f:8000::",
		199998: "ip-dst 2620:4f:8000::3:d3e",
		1:      "domain host-1.example",
		3:      "url http://host-3.example/login",
		2:      "sha256 b8c936fd60b6bdb016f17d2633fdf1dba9507c3e4fb05189c4ceb50c0f7d9496",
		4:      "filename|sha256 file-4.exe|d807349ad162873d561aa2f71899635b4e1b82ea159e3ddd1dd75945c924d313",
		5:      "md5 3b96dfdea92be58d4a86ed5a68e08888",
	} {
		if typ, value := Generated(i); typ+" "+value != want {
			t.Errorf("%d: %s %s, want %s", i, typ, value, want)
		}
	}
}

// TestNoAttributes starts without any, to be filled by changes.
func TestNoAttributes(t *testing.T) {
	t.Parallel()
	for _, s := range []*Server{New(t, fstest.MapFS{}), NewGenerated(t, 0)} {
		s.AddEvent(`{"Attribute":[{"type":"domain","value":"first.example"}]}`)
		if _, ids, _ := ask(t, s, `{}`); ids != "1" {
			t.Errorf("%q", ids)
		}
	}
}

// BenchmarkWalk measures what a full walk costs a test that is about something else.
func BenchmarkWalk(b *testing.B) {
	for name, filter := range map[string]string{"all": `,"deleted":[0,1]`, "live": "", "since": `,"deleted":[0,1],"publish_timestamp":1`} {
		b.Run(name, func(b *testing.B) {
			s := NewGenerated(b, 200000)
			b.ReportAllocs()
			for b.Loop() {
				walk(b, s, 10000, filter)
			}
		})
	}
}
