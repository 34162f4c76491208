package engine

import (
	"strings"
	"testing"

	"github.com/tidwall/gjson"
)

// hasTwins reports whether an object has two members of one name. A document then knows the first one alone, gjson the
// first one that the rest of the path fits.
func hasTwins(v gjson.Result) bool {
	twins, names := false, map[string]bool{}
	v.ForEach(func(name, value gjson.Result) bool {
		twins = twins || v.IsObject() && names[name.Str] || value.IsObject() && hasTwins(value)
		names[name.Str] = true
		return !twins
	})
	return twins
}

// FuzzDocument compares looking plain paths up in a document with gjson, which is the standard, for whatever is JSON;
// what is not must only do no harm.
func FuzzDocument(f *testing.F) {
	for _, s := range []string{
		`{"a":1}`, `{"a":{"b":{"c":"x"}},"b":[{"a":1},2],"c":null}`, `{"a":{"a":1},"a":{"b":2}}`, `{"a":"{\"b\":1}","b":"\\","c":"\\\""}`,
		`{"a\u0062":1,"ab":2,"a":{"\u0062":"q"}}`, ` { "a" : [ "}" , "]" ] , "b" : { } , "c" : true } `, `[]`, `"a"`, `{}`, `{"":1,"a":{"":{"b":1}}}`,
		`{"a":` + strings.Repeat(`{"a":`, 20) + `1` + strings.Repeat("}", 21), `{"a":-1.5e3,"b":12345678901234567890,"c":"\ud83d\ude00"}`, `{"a":`, `{"a`, `{"a"}`, `{"a":}`,
	} {
		f.Add(s)
	}
	engine, err := Load()
	if err != nil {
		f.Fatal(err)
	}
	var paths []string
	for _, a := range []string{"a", "b", "c", "ab"} {
		paths = append(paths, a)
		for _, b := range []string{"a", "b", "c"} {
			paths = append(paths, a+"."+b, a+"."+b+".a", a+"."+b+".c")
		}
	}
	paths = append(paths, strings.Repeat("a.", maxObjects-1)+"a", strings.Repeat("a.", maxObjects+3)+"a")
	f.Fuzz(func(t *testing.T, text string) {
		r := newRun(engine)
		r.read(text)
		for _, path := range paths {
			p := engine.paths.of(path)
			got := r.value(p)
			if !gjson.Valid(text) || !strings.HasPrefix(strings.TrimSpace(text), "{") || hasTwins(gjson.Parse(text)) {
				continue
			}
			want := gjson.Get(text, path)
			if got.Raw != want.Raw || got.Type != want.Type || got.String() != want.String() || r.text(p) != want.String() ||
				r.has(p) != (want.Exists() && want.Type != gjson.Null) {
				t.Errorf("%s of %q is %s %q, for gjson %s %q", path, text, got.Type, got.Raw, want.Type, want.Raw)
			}
		}
	})
}
