package mappingtest_test

import (
	"encoding/json"
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
		file, err := mappingtest.Suggest(empty, []byte(alert), func(file []byte) (*engine.Engine, error) {
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
		file, err := mappingtest.Suggest(empty, []byte(alert), func(file []byte) (*engine.Engine, error) {
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
