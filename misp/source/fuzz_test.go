package source_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"custom-misp/misp/mirror"
	"custom-misp/misp/source"
)

// fuzzFormat reads any bytes by a declaration. Whatever comes in, reading ends, counts add up, and what is yielded is
// what was counted.
func fuzzFormat(f *testing.F, declaration string, seeds ...string) {
	f.Helper()
	s := load(f, declaration)
	for _, seed := range seeds {
		f.Add([]byte(fill(seed)))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		file := bytes.NewReader(content)
		m, err := s.Measure(context.Background(), file, now)
		skipped := 0
		for reason, n := range m.Report.Skipped {
			skipped += n
			if len(m.Report.First[reason]) == 0 || !utf8.ValidString(m.Report.First[reason][0].Text) {
				t.Errorf("%s: %+v", reason, m.Report.First[reason])
			}
		}
		if skipped > m.Report.Entries {
			t.Errorf("%d of %d entries are left out", skipped, m.Report.Entries)
		}
		if err != nil || s.Format == source.FormatWarninglist {
			return
		}
		found := 0
		if err := m.Each(context.Background(), file, func(in source.Indicator) error {
			found++
			if in.Value == "" || in.Type == "" {
				t.Errorf("%+v", in)
			}
			return nil
		}); err != nil {
			t.Errorf("read once, and not again: %v", err)
		}
		if found != m.Report.Total() {
			t.Errorf("%d indicators are yielded, %d counted", found, m.Report.Total())
		}
	})
}

func FuzzLines(f *testing.F) {
	fuzzFormat(f, anyList+"\nreference: row.c2", "# c\nbad.example x\r\n192.0.2.0/24 # x\n", "192.0.2.1 - 192.0.2.9\rhxxp://bad[.]example/a\n", "\xff\xfeb\x00", "\"lone\n\x1f\x8b", "AS1\n*.x.example\nM32 Q40\n")
}

func FuzzScan(f *testing.F) {
	fuzzFormat(f, "format: lines\nlines: {scan: true}", "C2 at 192[.]0.2.1:80, “hxxp://bad[.]example/a.” SHA256: P64\n")
}

func FuzzCSV(f *testing.F) {
	fuzzFormat(f, "format: csv\nvalues: [{from: row.c1, type: auto, split: \" \"}, {from: row.c2, type_from: row.c3}]\nexpires: {at: row.c4, from: row.c4, after: 1d}\ntags_from: row.c5",
		"# a,b\n\"bad.example\",\"192.0.2.1\",ip,2026-01-01,\"x,y\"\n", "a\tb\tc\nM32\tQ40\tsha256_hash\n", "\"a\nb\",\"c\",\"\nd\"\n\"\"\"\n", "x;\"y\\\"z\"\n")
}

func FuzzJSON(f *testing.F) {
	fuzzFormat(f, "format: json\njson: {rows: \"data.*.rows.*\"}\nvalues: [{from: row.value, type: auto}]\ntags_from: parent.tags", `{"data":[{"tags":["a"],"rows":[{"value":"bad.example"},{"value":["192.0.2.1",{}]},1]}]}`, `[1]`, `{"data":{"a":{"rows":[null]}}}`)
}

func FuzzNDJSON(f *testing.F) {
	fuzzFormat(f, "format: ndjson\nvalues: [{from: row.value, type: auto}]", "{\"value\":\"bad.example\"}\ndata: {\"value\":1}\n{\n", "[]\nnull\n")
}

func FuzzMISP(f *testing.F) {
	fuzzFormat(f, "format: misp", `{"response":[{"Event":{"info":"x","Attribute":[{"type":"domain","value":"bad.example"}],"Object":[{"Attribute":[{"type":"filename|md5","value":"a|M32"}]}]}}]}`, `[{"type":"md5","value":"M32"}]`, `{"Attribute":[{}],"type":"a","value":"b"}`)
}

func FuzzOTX(f *testing.F) {
	fuzzFormat(f, "format: otx", `{"results":[{"name":"P","indicators":[{"indicator":"bad.example","type":"hostname"}]}]}`, `[{"indicators":[{"indicator":"x","type":"URI","is_active":0}]}]`, `{"indicators":[{}]}`)
}

func FuzzSTIX(f *testing.F) {
	fuzzFormat(f, "format: stix", `{"type":"bundle","objects":[{"type":"indicator","id":"i","pattern":"[domain-name:value = 'bad.example' OR (ipv4-addr:value='192.0.2.1' AND file:hashes.'MD5' = 'M32')]"}]}`, `{"type":"indicator","pattern":"[a:b[*].c = 'it\\'s'] AND NOT [x:y LIKE '%']"}`)
}

// FuzzTAXII has a server of TAXII answer with any bytes: a sync ends, and keeps what was there or what it has read.
func FuzzTAXII(f *testing.F) {
	f.Add("/taxii2/", []byte(`{"api_roots":["/api1/","x"]}`))
	f.Add("/api1/collections/", []byte(`{"collections":[{"id":"a/b","title":"T"},{}]}`))
	f.Add("/objects/", []byte(`{"more":true,"next":1,"objects":[{"type":"indicator","id":"i","pattern":"[url:value='http://x.example/']"},1]}`))
	f.Fuzz(func(t *testing.T, path string, answer []byte) {
		fuzzServer(t, path, answer, "format: taxii", "/taxii2/")
	})
}

// FuzzOTXPages has a server of pulses answer with any bytes.
func FuzzOTXPages(f *testing.F) {
	f.Add([]byte(`{"next":"?page=2","results":[{"id":"p","modified":"2026-01-01","indicators":[{"indicator":"x.example","type":"hostname"}]}]}`))
	f.Add([]byte(`[{"id":1},null,"x"]`))
	f.Fuzz(func(t *testing.T, answer []byte) { fuzzServer(t, "/", answer, "format: otx", "/pulses") })
}

// fuzzServer syncs a source twice whose server answers with some bytes where a path ends so, and as TAXII does elsewhere.
func fuzzServer(t *testing.T, path string, answer []byte, declare, at string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, path) || path == "/":
			_, _ = w.Write(answer)
		case r.URL.Path == "/taxii2/":
			_, _ = io.WriteString(w, `{"api_roots":["/api1/"]}`)
		case strings.HasSuffix(r.URL.Path, "/collections/"):
			_, _ = io.WriteString(w, `{"collections":[{"id":"c"}]}`)
		default:
			_, _ = io.WriteString(w, "{}")
		}
	}))
	defer server.Close()
	y := &mirror.Syncer{Dir: t.TempDir(), Now: func() time.Time { return now }}
	defer y.Close()
	for range 2 {
		o := load(t, declare+"\nurl: "+server.URL+at).Origin(mirror.Access{Place: server.URL + at})
		if state, err := y.Sync(t.Context(), o, false); (err == nil) == state.SyncedAt.IsZero() {
			t.Errorf("%v, %+v", err, state)
		}
	}
}

func FuzzNameLists(f *testing.F) {
	for _, format := range []string{"hosts", "adblock", "dnsmasq", "unbound", "rpz"} {
		_ = load(f, "format: "+format)
	}
	seeds := []string{"0.0.0.0 bad.example # x\n", "||bad.example^$x\n@@||y^\n##z\n", "address=/bad.example/#\nserver=/x\n", "local-zone: \"bad.example.\" refuse\n", "$TTL 1\n@ IN SOA a b (\n1)\n*.bad.example IN CNAME .\n24.0.2.0.192.rpz-ip CNAME .\n"}
	for i, seed := range seeds {
		f.Add(i, []byte(seed))
	}
	f.Fuzz(func(t *testing.T, format int, content []byte) {
		formats := []string{"hosts", "adblock", "dnsmasq", "unbound", "rpz"}
		s := load(t, "format: "+formats[(format%5+5)%5])
		m, _ := s.Measure(context.Background(), bytes.NewReader(content), now)
		if n := m.Report.Bad(); n > m.Report.Entries {
			t.Errorf("%d of %d", n, m.Report.Entries)
		}
	})
}

func FuzzZeek(f *testing.F) {
	fuzzFormat(f, "format: zeek", "#fields<TAB>indicator<TAB>indicator_type<TAB>meta.desc\nbad.example<TAB>Intel::DOMAIN<TAB>-\nbad.example<TAB>Intel::URL\n")
}

func FuzzIPRep(f *testing.F) {
	fuzzFormat(f, "format: iprep", "192.0.2.1,1,100\n#x\n192.0.2.0/24,99,1\n")
}

func FuzzWarninglist(f *testing.F) {
	fuzzFormat(f, "format: warninglist", `{"name":"x","type":"regex","list":["/^a\\/$/i","#b#"]}`, `{"type":"hostname","list":[".B.example",1]}`)
}

// FuzzRecognise looks at any bytes: it ends, and what it suggests is a declaration that compiles.
func FuzzRecognise(f *testing.F) {
	for _, seed := range []string{"a,b\n1,bad.example\n", "{\"a\":[{\"ip\":\"192.0.2.1\"}]}", "[1,2]", "||a.example^\n", "bad.example\n# x\n", "#fields\tx\n", "YmFkLmV4YW1wbGU=\n", "<html>", "type;value\ndomain;bad.example\nip;192.0.2.1\n", "[{\"a'b\":\"192.0.2.1\"}]", "x \"y\n\"\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		text, _, err := source.Suggest("x", bytes.NewReader(content))
		if err != nil {
			return
		}
		if _, faults := source.Load(source.File{Name: "x", Data: []byte(text)}); len(faults) > 0 {
			t.Errorf("%v\n%s", faults, text)
		}
	})
}
