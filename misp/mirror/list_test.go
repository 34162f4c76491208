package mirror

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/misp"
)

func file(t testing.TB, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "list.csv")
	must(t, os.WriteFile(name, []byte(content), 0o600))
	return name
}

func syncList(t testing.TB, y *Syncer, o Origin) State {
	t.Helper()
	state, err := y.Sync(t.Context(), o, false)
	must(t, err)
	return state
}

func TestList(t *testing.T) {
	t.Parallel()
	const sum = "0f0e0d0c0b0a09080706050403020100"
	for _, tt := range []struct {
		name, content string
		want          []string // "type value", and what else there is
		failure       string
	}{
		{"lines", "evil.example\n\n# a comment\nhttp://bad.example/x\n" + sum + "\n", []string{"domain evil.example", "url http://bad.example/x", "md5 " + sum}, ""},
		{"CRLF and BOM", "\xef\xbb\xbfevil.example\r\n#\r\n192.31.196.24\r\n", []string{"domain evil.example", "ip-dst 192.31.196.24"}, ""},
		{"no end of line", "evil.example", []string{"domain evil.example"}, ""},
		{"blanks", "  evil.example  \n\t\n", []string{"domain evil.example"}, ""},
		{"networks", "192.31.196.7/24\n2620:4f:8000::1/48\n", []string{"ip-dst 192.31.196.0/24", "ip-dst 2620:4f:8000::/48"}, ""},
		{"IPv6", "2620:4F:8000:0::BAD\n::ffff:192.31.196.24\n[2620:4f:8000::1]:443\n", []string{"ip-dst 2620:4f:8000::bad", "ip-dst 192.31.196.24", "ip-dst 2620:4f:8000::1"}, ""},
		{"defanged", "hxxp://bad[.]example/x\nevil[.]example\n192[.]31[.]196[.]24\n", []string{"url http://bad.example/x", "domain evil.example", "ip-dst 192.31.196.24"}, ""},
		{"address with a port", "192.31.196.24:8443\n", []string{"ip-dst 192.31.196.24"}, ""},
		{"other kinds", "CVE-2026-12345\nA@Evil.example\nwww.evil.example\n", []string{"vulnerability CVE-2026-12345", "email a@evil.example", "hostname www.evil.example"}, ""},
		{"commas", "evil.example,some text,2026-01-01\nother.example\n", []string{"domain evil.example", "domain other.example"}, ""},
		{"semicolons", "# x, y\nevil.example;a, b\nother.example;c\n", []string{"domain evil.example", "domain other.example"}, ""},
		{"tabs", "evil.example\ta;b\nother.example\tc\n", []string{"domain evil.example", "domain other.example"}, ""},
		{
			"named columns", "comment;Value ;type;to_ids;tags;category;first_seen;uuid\n" +
				"\"a \"\"b\"\"; c\";evil.example;domain;0;tlp:red own;Network activity;2026-01-01;" + uuidOf("01") + "\n" +
				"x;www.evil.example;;;;;;\n;;;;;;;\nx;some text;text;true;;;;\nx;1.2.3.4;md5;;;;;\n",
			[]string{
				"domain evil.example (a \"b\"; c) [tlp:red own] Network activity 2026-01-01 not to_ids " + uuidOf("01"),
				"hostname www.evil.example (x)", "text some text (x)",
			},
			"1 lines hold no indicator, the first is line 6",
		},
		{
			"MISP's own export", "uuid,event_id,category,type,value,comment,to_ids,date,object_relation,attribute_tag,object_uuid,object_name,object_meta_category\n" +
				uuidOf("01") + `,7,"Payload delivery","filename|md5","a, b.doc|` + sum + `","two` + "\n" + `lines",1,1780000000,"","tlp:red,own","","",""` + "\n" +
				uuidOf("02") + `,7,"Network activity","ip-dst","192.31.196.0/24","",0,1780000001,"","","","",""` + "\n" +
				uuidOf("03") + `,7,"Other","comment","x","",0,1780000001,"","","","",""` + "\n",
			[]string{
				"filename|md5 a, b.doc|" + sum + " (two\nlines) [tlp:red own] Payload delivery at 1780000000 " + uuidOf("01"),
				"ip-dst 192.31.196.0/24 Network activity at 1780000001 not to_ids " + uuidOf("02"),
			},
			"1 lines hold no indicator, the first is line 5",
		},
		{"a title, and other useless lines", "My list\nevil.example\nlocalhost\nfile.exe\n-\n", []string{"domain evil.example"}, "4 lines hold no indicator, the first is line 1"},
		{"lonely quotes", "evil.example\nw\"eird.example\nother.example\n", []string{"domain evil.example", "domain other.example"}, "1 lines hold no indicator, the first is line 2"},
		{"Latin-1", "evil.example,caf\xe9\n", []string{"domain evil.example"}, ""},
		{"nothing", "", []string{}, ""},
		{"comments alone", "# nothing today\n", []string{}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCopy(t, NewList("mine", file(t, tt.content), ""))
			_, state, err := c.sync(t)
			must(t, err)
			got := []string{}
			for _, a := range allOf(t, c.Mirror) {
				got = append(got, short(a))
				if a.Event.Info != "list mine" || !a.Event.Published || a.Origin != "mine" {
					t.Errorf("event %+v", a.Event)
				}
				o := engine.Observable{Type: engine.Type(a.Type), Value: a.Value}
				if f := o.Type.Family(); f != "" && !strings.Contains(a.Value, "/2") && !strings.Contains(a.Value, "/4") && len(matched(c.Mirror, o)) == 0 {
					t.Errorf("%s is not found", a.Value)
				}
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			if state.Failure != tt.failure || state.Kind != KindCSV {
				t.Errorf("state %+v", state)
			}
		})
	}
}

// short is an attribute in one line, with what a list says of it.
func short(a misp.Attribute) string {
	s := a.Type + " " + a.Value
	if a.Comment != "" {
		s += " (" + a.Comment + ")"
	}
	if len(a.Tags) > 0 {
		s += " [" + strings.Join(a.Tags, " ") + "]"
	}
	for _, more := range []string{a.Category, a.FirstSeen} {
		if more != "" {
			s += " " + more
		}
	}
	if !a.Timestamp.IsZero() {
		s += " at " + strconv.FormatInt(a.Timestamp.Unix(), 10)
	}
	if !a.ToIDs {
		s += " not to_ids"
	}
	if strings.HasPrefix(a.UUID, uuidOf("")) {
		s += " " + a.UUID
	}
	return s
}

// TestListAgain reads a list again only when it has changed, keeps the set when the list is gone, and keeps reporting
// what is wrong with it.
func TestListAgain(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	p.files["list"] = "evil.example\nuseless\n192.31.196.0/24\n"
	list := NewList("mine", p.URL+"/feed/list?key=secret", "")
	quick(list.from)
	c := newCopy(t, list)
	first := c.want(t, "first", "192.31.196.0/24", "evil.example")
	if first.Networks != 1 || first.Failure != "1 lines hold no indicator, the first is line 2" || first.Place != p.URL+"/feed/list" {
		t.Errorf("state %+v", first)
	}
	second := c.want(t, "the same", "192.31.196.0/24", "evil.example")
	if second.Serial != first.Serial || !second.SyncedAt.Equal(c.now) || second.Failure != first.Failure {
		t.Errorf("state %+v", second)
	}
	if d := cmp.Diff([]string{"list", "list 304"}, p.requests()); d != "" {
		t.Errorf("asked (-want +got):\n%s", d)
	}
	for _, tt := range []struct {
		name, content string
		most          int64
		says          string
	}{
		{"useless alone", "<html>\n<body>", 100, "no indicator in 2 lines, the first is line 1"},
		{"never ending", "evil.example\n\"" + strings.Repeat("x\n", maxRow), 4 * maxRow, "what follows line 1 does not end"},
		{"too long", strings.Repeat("evil.example\n", 100), 1299, "too long: more than 1299 bytes"},
	} {
		list.from.max.list = tt.most
		p.change(func(files map[string]string) { files["list"] = tt.content })
		values, state, err := c.sync(t)
		trouble, _ := errors.AsType[*enrich.Trouble](err)
		if trouble == nil || trouble.Code != enrich.CodeFeed || trouble.Remedy == "" || len(values) != 2 || state.Serial != first.Serial ||
			!strings.Contains(state.Failure, tt.says) || strings.Contains(state.Failure, "secret") {
			t.Errorf("%s: %v, %v, %+v", tt.name, values, err, state)
		}
	}
	list.from.max.list = 14
	p.change(func(files map[string]string) { delete(files, "list") })
	if values, _, err := c.sync(t); err == nil || len(values) != 2 {
		t.Errorf("gone: %v, %v", values, err)
	}
	p.change(func(files map[string]string) { files["list"] = "other.example\n" })
	if state := c.want(t, "another", "other.example"); state.Failure != "" || state.Base == first.Base {
		t.Errorf("state %+v", state)
	}
	p.change(func(files map[string]string) { files["list"] = "" })
	c.want(t, "empty")
}

// TestListFile goes by size and time of a file.
func TestListFile(t *testing.T) {
	t.Parallel()
	name := file(t, "evil.example\n")
	must(t, os.Chtimes(name, begin, begin))
	c := newCopy(t, NewList("mine", name, ""))
	first := c.want(t, "first", "evil.example")
	if state := c.want(t, "the same", "evil.example"); state.Serial != first.Serial {
		t.Errorf("state %+v", state)
	}
	must(t, os.WriteFile(name, []byte("best.example\n"), 0o600))
	must(t, os.Chtimes(name, begin, begin.Add(time.Second)))
	c.want(t, "of another time", "best.example")
	must(t, os.Remove(name))
	if values, state, err := c.sync(t); err == nil || !strings.Contains(state.Failure, "is the path right?") || len(values) != 1 {
		t.Errorf("gone: %v, %+v, %v", values, state, err)
	}
}

// FuzzList reads anything as a list: what comes of it can be found again, and nothing panics.
func FuzzList(f *testing.F) {
	f.Add([]byte("evil.example\n192.31.196.24/24\n"))
	f.Add([]byte("\xef\xbb\xbfvalue;type;uuid;to_ids;date\r\nevil.example;domain;;0;1780000000\r\n"))
	f.Add([]byte("type,value,attribute_tag\nfilename|md5,\"a|0f0e0d0c0b0a09080706050403020100\",\"x, y\"\n"))
	f.Add(bytes.Repeat([]byte{';'}, 2*maxColumns))
	f.Add([]byte("# c\n\"a\"\"b\"\tc\n\"\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p := listReader{}
		before := allocated()
		defer func() {
			lines := uint64(1 + strings.Count(string(data), "\n") + strings.Count(string(data), "\r"))
			if used := allocated() - before; used > 1<<19+8000*lines+400*uint64(len(data)) && !t.Failed() {
				t.Errorf("%d bytes of memory for a list of %d bytes", used, len(data))
			}
		}()
		err := p.read(context.Background(), strings.NewReader(string(data)), func(a misp.Attribute) error {
			if a.UUID == "" || len(indicators(a)) == 0 {
				t.Errorf("%+v has no indicator", a)
			}
			return nil
		})
		if errors.Is(err, errManyColumns) && bytes.Count(data, []byte{','})+bytes.Count(data, []byte{';'})+bytes.Count(data, []byte{'\t'}) >= maxColumns {
			return
		}
		if err != nil && len(data) < maxRow {
			t.Errorf("%q: %v", data, err)
		}
		if (p.useless > 0) != (p.firstUseless > 0) || p.firstUseless > strings.Count(string(data), "\n")+1 {
			t.Errorf("%d useless, the first is line %d", p.useless, p.firstUseless)
		}
	})
}
