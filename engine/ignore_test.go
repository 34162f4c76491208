package engine_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"custom-misp/engine"
)

// TestIgnore picks everything there is in one alert, and leaves out what the site ignores; explain says why.
func TestIgnore(t *testing.T) {
	hash := strings.Repeat("ab", 32)
	const mapping = "version: 1\nmappings: [{id: a, match: 'true', pick: [{path: data.v, type: auto}]}, {id: b, match: 'true', pick: [{path: data.w, type: filename}]}]"
	e, err := engine.Load(engine.Source{Name: "t.yaml", Data: []byte(mapping)})
	if err != nil {
		t.Fatal(err)
	}
	alert := []byte(`{"rule":{},"data":{"w":"C:\\Good.exe","v":["corp.example","www.corp.example","notcorp.example","192.31.196.7","192.31.197.7",` +
		`"2620:4f:8000::bad","http://www.corp.example/x","http://192.31.196.7/","http://bad.example/","anna@corp.example","a@bad.example","` + hash + `"]}}`)
	for _, tt := range []struct {
		ignore []string
		want   string // values that are still picked
	}{
		{nil, "corp.example www.corp.example notcorp.example 192.31.196.7 192.31.197.7 2620:4f:8000::bad http://www.corp.example/x http://192.31.196.7 http://bad.example anna@corp.example a@bad.example " + hash + ` C:\Good.exe`},
		{[]string{"corp.example"}, "notcorp.example 192.31.196.7 192.31.197.7 2620:4f:8000::bad http://192.31.196.7 http://bad.example a@bad.example " + hash + ` C:\Good.exe`},
		{
			[]string{" *.Corp.Example ", "# a comment", "", "192.31.196.0/24", "2620:4F:8000::/48", strings.ToUpper(hash), `c:\good.EXE`, "A@Bad.Example", "hxxp://bad[.]example/"},
			"notcorp.example 192.31.197.7",
		},
		{[]string{"192.31.196.7", "192.31.197.7"}, "corp.example www.corp.example notcorp.example 2620:4f:8000::bad http://www.corp.example/x http://bad.example anna@corp.example a@bad.example " + hash + ` C:\Good.exe`},
	} {
		ig, err := engine.NewIgnore(tt.ignore)
		if err != nil {
			t.Fatal(err)
		}
		site, err := e.For(engine.Site{Ignore: ig})
		if err != nil {
			t.Fatal(err)
		}
		found, err := site.Pick(alert)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, o := range found {
			got = append(got, o.Value)
		}
		if diff := cmp.Diff(tt.want, strings.Join(got, " ")); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tt.ignore, diff)
		}
	}
	ig, _ := engine.NewIgnore([]string{"corp.example"})
	site, _ := e.For(engine.Site{Ignore: ig})
	if dropped := site.Explain(alert).Mappings[0].Picks[0].Candidates[1].Dropped; dropped != "ignored by this site: corp.example" {
		t.Errorf("explain says %q", dropped)
	}
	for _, wrong := range []string{"10.0.0.0/33", "1.2.3/8"} {
		if _, err := engine.NewIgnore([]string{wrong}); err == nil {
			t.Errorf("%q is taken", wrong)
		}
	}
}

func TestDisable(t *testing.T) {
	const mapping = "version: 1\nmappings: [{id: a, match: 'true', pick: [{path: data.v, type: auto}]}, {id: b, match: '\"x\" in groups', pick: [{path: data.v, type: auto}]}]"
	e, err := engine.Load(engine.Source{Name: "t.yaml", Data: []byte(mapping)})
	if err != nil {
		t.Fatal(err)
	}
	site, err := e.For(engine.Site{Disable: []string{"a", "c"}})
	if err == nil || err.Error() != "no mapping has the id c" {
		t.Errorf("error %v", err)
	}
	found, err := site.Pick([]byte(`{"rule":{"groups":["x"]},"data":{"v":"bad.example"}}`))
	if err != nil || len(found) != 1 || len(found[0].Picks) != 1 || found[0].Picks[0].Mapping != "b" {
		t.Errorf("%+v, %v", found, err)
	}
	if len(site.Mappings()) != 1 || len(e.Mappings()) != 2 {
		t.Error("the engine itself was changed, or its copy was not")
	}
}

// TestIgnoreForms leaves out a value in whatever form the alert or the site writes it, and pairs that have it.
func TestIgnoreForms(t *testing.T) {
	const mapping = "version: 1\nmappings: [{id: a, match: 'true', pick: [{path: data.u, type: url}, {path: data.f, type: filename}, {path: data.k, type: regkey}, {path: data.k, pair: data.d, type: regkey|value}]}]"
	e := load(t, mapping)
	alert := []byte(`{"rule":{},"data":{"u":"https://a.example:443/x","f":"C:\\Users\\b\\AppData\\Roaming\\x.exe","k":"HKU\\S-1-5-21-1\\A","d":"%TMP%\\y"}}`)
	const url, file, key, pair = "https://a.example:443/x", `C:\Users\b\AppData\Roaming\x.exe`, `HKU\S-1-5-21-1\A`, `HKU\S-1-5-21-1\A|%TMP%\y`
	for entry, want := range map[string][]string{
		"http://a.example/x": {file, key, pair}, `%APPDATA%\X.exe`: {url, key, pair}, `HKEY_CURRENT_USER\A`: {url, file}, `%temp%\y`: {url, file, key}, `C:\y`: {url, file, key, pair},
	} {
		ig, err := engine.NewIgnore([]string{entry})
		if err != nil {
			t.Fatal(err)
		}
		site, err := e.For(engine.Site{Ignore: ig})
		if err != nil {
			t.Fatal(err)
		}
		found, err := site.Pick(alert)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, o := range found {
			got = append(got, o.Value)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", entry, diff)
		}
	}
}
