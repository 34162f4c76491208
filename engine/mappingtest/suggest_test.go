package mappingtest_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"custom-misp/engine"
	"custom-misp/engine/mappingtest"
	"custom-misp/engine/yamlfile"
)

// hostileKeys are names of members that mean something to JSON, YAML, gjson, a terminal, or are no text at all.
func hostileKeys() []string {
	keys := []string{
		"", " ", " a ", "'", `"`, `\`, `a\`, `\"`, `\\.`, ".", "..", "a.b", ".a.", "true", "null", "~", "yes", "0", "1", "123", "-1", "1e5", "0x1f", "2026-10-05",
		"-", "- a", "a: b", "a:", ": a", "# a", "a # b", "&a", "*a", "!a", "!!str", "|", ">", "%a", "`a", "@a", "@this", "@reverse", "@keys", "!\"x\"", "a|b", "a|@this",
		"{a}", "[a]", "{", "}", "[", "]", "a,b", "#", "#(a==b)", "#(a%\"*\")#", "(", ")", "a=b", "a<b>c", "a*", "a?b", "^a", "a~b", "a~true", "$a", "<<", "---", "...", "? a",
		"a'b", `a"b`, "it's", "a\x00b", "\x00", "\x01", "\x1b[31m", "\a\b\f", "a\nb", "\n", "\r", "a\r\nb", "\t", "a\tb", "\x7f", "\u0085", "a\u0085b", "\u009b2J", "\u00a0", "\u2028", "\u2029",
		"\u202ea\u202c", "\u2066a\u2069", "\u200b", "\ufeff", "\ufeffa", "\ufffd", "\ufffe", "\uffff", "é", "日本", "😀", "\U000e0041", "\U0010ffff",
		"\xff", "a\xffb", "\xc3", "\xed\xa0\x80", "\xf8\x88\x80\x80\x80", "a.\xff", "#\xff.", "?\xff*", "\\\xff",
		strings.Repeat("k", 300), strings.Repeat("k.", 300), strings.Repeat("\"'\\\n", 500), strings.Repeat("k", 70_000), strings.Repeat("\xff", 70), strings.Repeat("*", 30),
	}
	for r := range rune(0xa0) {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			keys = append(keys, "a"+string(r)+"b")
		}
	}
	return keys
}

// isUnnamed reports whether a key is one to which no path leads.
func isUnnamed(key string) bool {
	return key == "" || !utf8.ValidString(key) && strings.ContainsAny(key, `\*?`)
}

// jsonText writes a text as JSON; bytes that are no UTF-8 stay as they are, as Wazuh passes them on.
func jsonText(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		if r == utf8.RuneError && n == 1 {
			b.WriteByte(s[0])
		} else {
			quoted, _ := json.Marshal(s[:n])
			b.Write(quoted[1 : len(quoted)-1])
		}
		s = s[n:]
	}
	b.WriteByte('"')
	return b.String()
}

// TestSuggestHostile suggests a mapping for alerts with hostile keys and values. It has to load, lint without a warning, pass its
// tests, be a text that a terminal can show, and pick the value from the alert.
func TestSuggestHostile(t *testing.T) {
	t.Parallel()
	const value = "192.31.196.66"
	alerts, unnamed := map[string]string{}, map[string]bool{}
	for i, key := range hostileKeys() {
		k := jsonText(key)
		other := jsonText(key + "x")
		for shape, data := range map[string]string{
			"member":    fmt.Sprintf(`{%s:"192.31.196.66",%s:"text"}`, k, other),
			"object":    fmt.Sprintf(`{%s:{"ip":"192.31.196.66"},%s:{"ip":"-"}}`, k, other),
			"nested":    fmt.Sprintf(`{"user":{%s:{%s:"192.31.196.66"}}}`, k, k),
			"items":     fmt.Sprintf(`{%s:[{"ip":"192.31.196.66"},{}]}`, k),
			"in a text": fmt.Sprintf(`{%s:["from 192.31.196.66 to x"]}`, k),
		} {
			name := fmt.Sprintf("key %d %.30q %s", i, key, shape)
			unnamed[name] = isUnnamed(key)
			alerts[name] = `{"rule":{"id":"1","groups":["acme"]},"data":` + data + `}`
		}
		alerts[fmt.Sprintf("lone %d %.30q", i, key)] = fmt.Sprintf(`{"rule":{},"data":{%s:{%s:"192.31.196.66"}}}`, k, k)
		unnamed[fmt.Sprintf("lone %d %.30q", i, key)] = isUnnamed(key)
		unnamed[fmt.Sprintf("top %d %.30q", i, key)] = isUnnamed(key)
		alerts[fmt.Sprintf("top %d %.30q", i, key)] = fmt.Sprintf(`{"rule":{"id":"1","groups":["acme"]},"top":{%s:"192.31.196.66"}}`, k)
		alerts[fmt.Sprintf("group %d %.30q", i, key)] = fmt.Sprintf(`{"id":%s,"rule":{"id":%s,"groups":[%s]},"data":{"ip":"192.31.196.66","user":%s}}`, k, k, k, k)
		alerts[fmt.Sprintf("decoder %d %.30q", i, key)] = fmt.Sprintf(`{"rule":{},"decoder":{"name":%s},"data":{"ip":"192.31.196.66","u":"http://bad.example/%s"}}`, k, k[1:len(k)-1])
	}
	alerts["two fields of a list"] = `{"rule":{},"data":{"list":[{"ip":"192.31.196.66","url":"http://bad.example/"}],"ip":["192.31.196.66"]}}`
	empty, err := engine.Load()
	if err != nil {
		t.Fatal(err)
	}
	for name, alert := range alerts {
		if !json.Valid([]byte(alert)) && utf8.ValidString(alert) {
			t.Fatalf("%s: not JSON: %s", name, alert)
		}
		file, err := suggest(empty, []byte(alert), func(file []byte) (*engine.Engine, error) {
			return engine.Load(engine.Source{Name: "suggestion", Data: file})
		})
		if unnamed[name] {
			if file != nil || err == nil || !strings.Contains(err.Error(), "members to whose names no path leads") {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if fault := suggestionFault(file, []byte(alert), value); fault != "" {
			t.Errorf("%s: %s", name, fault)
		}
	}
}

// FuzzSuggest has any key and any text beside it.
func FuzzSuggest(f *testing.F) {
	for i, key := range hostileKeys() {
		if i%20 == 0 {
			f.Add(key, key)
		}
	}
	empty, err := engine.Load()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, key, text string) {
		k, other := jsonText(key), jsonText(text)
		alert := fmt.Sprintf(`{"rule":{"id":%s,"groups":[%s]},"data":{"user":%s,%s:{%s:"192.31.196.66"}}}`, other, other, other, k, k)
		file, err := suggest(empty, []byte(alert), func(file []byte) (*engine.Engine, error) {
			return engine.Load(engine.Source{Name: "suggestion", Data: file})
		})
		switch {
		case key == "user": // the second of two members of one name
		case isUnnamed(key) && err != nil:
		case err != nil:
			t.Error(err)
		default:
			if fault := suggestionFault(file, []byte(alert), "192.31.196.66"); fault != "" {
				t.Errorf("%s\nin\n%s", fault, file)
			}
		}
	})
}

// suggestionFault says what is wrong with a suggestion for an alert in which there is a value.
func suggestionFault(file, alert []byte, value string) string {
	for _, r := range string(file) {
		if r != '\n' && (r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u202e' || r == '\u2066') {
			return fmt.Sprintf("a terminal acts on %U", r)
		}
	}
	src := engine.Source{Name: "suggested.yaml", Data: file}
	e, faults := engine.Lint(src)
	// Of an alert without a group or decoder, and with an odd key, there is nothing better to say.
	slow := func(f yamlfile.Fault) bool {
		return f.Warning && strings.Contains(f.Message, "requires no group, decoder or field")
	}
	if faults = slices.DeleteFunc(faults, slow); len(faults) > 0 {
		return faults.Error()
	}
	cases, err := mappingtest.Load(src, os.ReadFile)
	if err != nil || len(cases) != 2 {
		return fmt.Sprintf("%d tests, %v", len(cases), err)
	}
	for i, c := range cases {
		if r := mappingtest.Run(e, c); !r.OK() || len(c.Want) == 0 != (i == 1) {
			return fmt.Sprintf("test %d: %s", i, r)
		}
	}
	observables, err := e.Pick(alert)
	if err != nil {
		return err.Error()
	}
	if !slices.ContainsFunc(observables, func(o engine.Observable) bool { return o.Value == value }) {
		return "the value is not picked"
	}
	return ""
}

// suggest is Suggest for one alert.
func suggest(e *engine.Engine, alert []byte, load func([]byte) (*engine.Engine, error)) ([]byte, error) {
	return mappingtest.Suggest(e, load, alert)
}

// TestSuggestTypes: the name of a field decides where the form of its value does not.
func TestSuggestTypes(t *testing.T) {
	const md5, sha1, sha256 = "c5c25b9b35b01135e8a037f2ee1213a5", "0a4d55a8d778e5022fab701977c5d840bbc486d0", "3edb164b73be8ccd815831d7e93b94a3566e3fc6986299d97e72efb32854c2b4"
	empty, err := engine.Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, value, want string }{
		{"ja3", md5, "ja3-fingerprint-md5"},
		{"client_ja3_hash", md5, "ja3-fingerprint-md5"},
		{"hassh", md5, "hassh-md5"},
		{"hasshServer", md5, "hasshserver-md5"},
		{"sample-imphash", md5, "imphash"},
		{"cert_thumbprint", sha1, "x509-fingerprint-sha1"},
		{"authentihash", sha256, "authentihash"},
		{"hash", sha256, "sha256"},
		{"etag", md5, "an identifier by its name"},
		{"session_id", md5, "an identifier by its name"},
		{"sender", "eve@bad-site.net", "email-src"},
		{"messageID", "x@bad-site.net", "email-message-id"},
		{"reply-to", "eve@bad-site.net", "email-reply-to"},
		{"recipient", "bob@own-site.net", "a recipient by its name, who is one of yours"},
		{"to", "bob@own-site.net", "a recipient by its name, who is one of yours"},
		{"userPrincipalName", "bob@own-site.net", "a user by its name, who is one of yours"},
		{"attachment", "a.zip", "filename"},
		{"host", "bad-site.net", "hostname"},
		{"senderIP", "192.31.196.1", "ip-src"},
		{"peer", "192.31.196.1", "ip-src"},
		{"firmware_version", "192.31.196.1", "a version by its name"},
		{"srcip", "xxx.xxx.xxx.com", "no address, though its name says so"},
		{"peer", "10.0.0.4", "an address that is not public, which a pick with private: true takes"},
		{"dest", "192.31.196.1", "ip-dst"},
	} {
		alert := fmt.Sprintf(`{"rule":{"id":"1","groups":["acme"]},"data":{"acme":{%q:%q}}}`, c.name, c.value)
		file, err := suggest(empty, []byte(alert), func(file []byte) (*engine.Engine, error) {
			return engine.Load(engine.Source{Name: "suggestion", Data: file})
		})
		switch {
		case strings.Contains(c.want, " "):
			if !errors.Is(err, mappingtest.ErrNothing) || !strings.HasSuffix(err.Error(), ": data.acme."+c.name+" is "+c.want) {
				t.Errorf("%s: %v", c.name, err)
			}
		case err != nil:
			t.Errorf("%s: %v", c.name, err)
		case !strings.Contains(string(file), "\n        type: "+c.want+"\n"):
			t.Errorf("%s: not %s:\n%s", c.name, c.want, file)
		default:
			if fault := suggestionFault(file, []byte(alert), c.value); fault != "" {
				t.Errorf("%s: %s", c.name, fault)
			}
		}
	}
}

// TestSuggestMany suggests from alerts of two products, of which one has its name taken. What a mapping picks is said.
func TestSuggestMany(t *testing.T) {
	const own = "version: 1\nmappings:\n  - id: acme\n    match: '\"acme\" in groups'\n    pick: [{path: data.known, type: ip-src}]\n" +
		"  - id: acme-more\n    match: '\"x\" in groups'\n    pick: [{path: data.x, type: ip-src}]\n"
	e := engineOf(t, own)
	load := func(file []byte) (*engine.Engine, error) {
		return engine.Load(engine.Source{Name: "m.yaml", Data: []byte(own)}, engine.Source{Name: "suggestion.yaml", Data: file})
	}
	var alerts [][]byte
	for _, a := range []string{
		`{"rule":{"id":"1","groups":["acme"]},"data":{"known":"192.31.196.1","url":"http://bad.example.net/a"}}`,
		`{"rule":{"id":"2","groups":["acme"]},"data":{"url":"http://bad.example.net/b"}}`,
		`{"rule":{"id":"3","groups":["acme"]},"data":{"sha256":"3edb164b73be8ccd815831d7e93b94a3566e3fc6986299d97e72efb32854c2b4"}}`,
		`{"rule":{"id":"4","groups":["local"]},"decoder":{"name":"other"},"data":{"peer":"192.31.196.2"}}`,
	} {
		alerts = append(alerts, []byte(a))
	}
	file, err := mappingtest.Suggest(e, load, alerts...)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"#   data.known is picked by acme as ip-src\n", "  - id: acme-more-2\n", "  - id: other\n", "acme-more-2: another alert, 1", "type: sha256"} {
		if !strings.Contains(string(file), want) {
			t.Errorf("no %q", want)
		}
	}
	with, err := load(file)
	if err != nil {
		t.Fatal(err)
	}
	cases, err := mappingtest.Load(engine.Source{Name: "suggestion.yaml", Data: file}, os.ReadFile)
	if err != nil || len(cases) != 5 { // the second alert has nothing new
		t.Errorf("%d tests, %v", len(cases), err)
	}
	for _, c := range cases {
		if r := mappingtest.Run(with, c); !r.OK() {
			t.Error(r)
		}
	}
	if t.Failed() {
		t.Logf("%s", file)
	}
}
