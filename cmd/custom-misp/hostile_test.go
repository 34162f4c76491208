package main

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/engine/enrich/spool"
)

// hostile is a text with everything that must not reach a terminal or break a line: C0, escape sequences, DEL, C1, bidirectional
// controls, and line ends.
const hostile = "a\x00b\x1b[31mc\u009b2Jd\u202ee\u2066f\u200bg\nh\r\ni\tj\u2028k\u0085l\x7fm\ufeffn"

// hostileYAML is the same in double quotes.
const hostileYAML = `"a\0b\e[31mc\u009b2Jd\u202ee\u2066f\u200bg\nh\r\ni\tj\u2028k\u0085l\x7fm\ufeffn"`

// hostileHome is a home in which everything that people and servers write has hostile texts: mappings, tests, the feed that
// is mirrored, the configuration, the spool. It returns the names of an alert, of a feed and of a broken mapping file.
func hostileHome(t *testing.T) (home, alert, feed, broken string) {
	t.Helper()
	home = t.TempDir()
	write := func(name string, text any) string {
		t.Helper()
		name = filepath.Join(home, name)
		data, ok := text.(string)
		if !ok {
			encoded, err := json.Marshal(text)
			if err != nil {
				t.Fatal(err)
			}
			data = string(encoded)
		}
		if err := os.MkdirAll(filepath.Dir(name), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	type object map[string]any
	alert = write("hostile.json", object{
		"id": hostile, "timestamp": hostile, "location": hostile, "decoder": object{"name": hostile},
		"rule":  object{"id": hostile, "level": hostile, "description": hostile, "groups": []string{"acme", hostile}},
		"agent": object{"id": hostile, "name": hostile, "ip": hostile},
		"data": object{
			"acme":  object{"server": "192.31.196.66", "url": "http://gate.bad-cdn.example/in.php", "text": hostile, "file": "inv\u202eexe.doc\u009b"},
			hostile: object{"ip": "192.31.196.67", hostile: "http://gate.bad-cdn.example/" + hostile},
		},
	})
	const uuid = "0d889cc6-8673-5e97-9cc2-90d07ba32292"
	event := object{
		"uuid": uuid, "info": hostile, "date": "2026-08-14", "threat_level_id": "1", "analysis": "2", "timestamp": "1788000000", "published": true,
		"Orgc": object{"name": hostile, "uuid": uuid}, "Tag": []object{{"name": hostile}},
	}
	write("feed/manifest.json", object{uuid: event})
	event["Attribute"] = []object{
		{
			"uuid": "c44ce9a2-149a-5bfc-8609-bb4c5d9a5b41", "type": "ip-dst", "category": hostile, "value": "192.31.196.66", "to_ids": true, "comment": hostile,
			"timestamp": "1787900000", "Tag": []object{{"name": hostile + "1"}},
		},
		{"uuid": "c44ce9a2-149a-5bfc-8609-bb4c5d9a5b42", "type": "text", "category": "Other", "value": hostile, "to_ids": true, "timestamp": "1787900000"},
	}
	feed = filepath.Dir(write("feed/"+uuid+".json", object{"Event": event}))
	write("etc/custom-misp.yaml", "mirror: {misp: false, feeds: [demo="+feed+"]}\nlookup: {policy: mirror}\nsightings: {source: "+hostileYAML+"}\n")
	mapping := "version: 1\nsource: " + hostileYAML + "\nmappings:\n  - id: acme\n    description: " + hostileYAML + `
    match: "\"acme\" in groups\n and field(\"data.acme.text\") != \"\e[31m\u009b\u202e\x7f\""
    pick:
      - {path: data.acme.server, type: ip-dst}
      - {path: data.acme.text, type: text}
      - {path: data.acme.file, type: filename}
      - {path: data.acme.text, type: ip-dst}
    context: [data.acme.text, rule.description]
  - {id: other, match: 'matches(` + hostileYAML + `) and has("data.\u202e")', pick: [{path: "data.\e\u202e", type: md5}]}
`
	broken = write("broken.yaml", mapping)
	write("etc/custom-misp/mappings/hostile.yaml", strings.Split(mapping, "  - {id: other")[0])
	write("tests/hostile.yaml", strings.Split(mapping, "  - {id: other")[0])
	write("tests/hostile_test.yaml", "- {name: "+hostileYAML+", alert: ../hostile.json, picks: [{mapping: "+hostileYAML+", type: "+hostileYAML+", value: "+hostileYAML+"}]}\n")
	queue := spool.Dir{Path: app.State(filepath.Join(home, "logs/custom-misp")).Spool()}
	if _, err := queue.Put(spool.Alerts, []byte(`{"id":"`+"\u009b"+`"}`)); err != nil {
		t.Fatal(err)
	}
	return home, alert, feed, broken
}

// TestHostileTexts runs every verb in every form over hostile texts. Nothing that a terminal acts on is printed.
func TestHostileTexts(t *testing.T) {
	home, alert, feed, broken := hostileHome(t)
	strange := filepath.Join(home, hostileName)
	if err := os.WriteFile(strange, []byte(`{"rule":{},"x":`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args string // blanks between; HOSTILE is replaced by the text
		want string // in the output, to know that it came so far
	}{
		{"sync", "demo"},
		{"enrich --dry-run ALERT", "192.31.196.66"},
		{"enrich --dry-run -o json ALERT", "192.31.196.66"},
		{"enrich --feed FEED ALERT", "192.31.196.66"},
		{"enrich ALERT", "192.31.196.66"},
		{"enrich STRANGE", "not valid JSON"},
		{"lookup 192.31.196.66", "192.31.196.66"},
		{"lookup -o json 192.31.196.66", "192.31.196.66"},
		{"lookup HOSTILE", "does not look like"},
		{"lookup --type text HOSTILE", "control characters"},
		{"lookup --type text -o json HOSTILE", "control characters"},
		{"lookup --type HOSTILE x", "HOSTILE"},
		{"lookup --type text a\u202eb", "text"},
		{"explain ALERT", "192.31.196.66"},
		{"explain -o json ALERT", "192.31.196.66"},
		{"explain STRANGE", "not valid JSON"},
		{"backtest ALERT", "192.31.196.66"},
		{"backtest -o json ALERT", "192.31.196.66"},
		{"backtest -o html ALERT", "192.31.196.66"},
		{"backtest --against TESTS ALERT", "192.31.196.66"},
		{"backtest STRANGE", "not valid JSON"},
		{"backtest --since HOSTILE ALERT", "--since"},
		{"explain --failures ALERT", "1 alert"},
		{"explain -m BROKEN ALERT", "broken.yaml"},
		{"coverage ALERT", "192.31.196.67"},
		{"coverage -o json ALERT", "192.31.196.67"},
		{"coverage -o html ALERT", "192.31.196.67"},
		{"coverage --own HOSTILE ALERT", "own"},
		{"coverage STRANGE", "not valid JSON"},
		{"suggest ALERT", "192.31.196.67"},
		{"suggest STRANGE", "not valid JSON"},
		{"lint BROKEN", "broken.yaml"},
		{"lint -o json BROKEN", "broken.yaml"},
		{"lint -o sarif BROKEN", "broken.yaml"},
		{"lint -o github BROKEN", "broken.yaml"},
		{"lint STRANGE", "not YAML"},
		{"lint -o github STRANGE", "not YAML"},
		{"doctor --config STRANGE", "STRANGE"},
		{"test TESTS", "0 passed, 1 failed"},
		{"test -o json TESTS", `"passed": 0`},
		{"test -o junit TESTS", "<testsuite"},
		{"test --run HOSTILE( TESTS", "--run"},
		{"mappings", "acme"},
		{"mappings -o json", "acme"},
		{"config", "sightings.source"},
		{"config -o json", "sightings.source"},
		{"config --config STRANGE", "STRANGE"},
		{"config --config HOSTILE", "custom-misp"},
		{"doctor", "configuration"},
		{"doctor -o json", "configuration"},
		{"status", "demo"},
		{"status -o json", "demo"},
		{"spool", "alerts"},
		{"spool -o json", "alerts"},
		{"export csv", "192.31.196.66"},
		{"export HOSTILE", "no subcommand"},
		{"HOSTILE x", "neither a verb"},
		{"status --HOSTILE", "unknown flag"},
		{"status -o HOSTILE", "--output"},
		{"version HOSTILE", "takes no arguments"},
		{"sync HOSTILE", "custom-misp"},
	} {
		t.Run(tt.args, func(t *testing.T) {
			args := []string{"custom-misp", "--home", home}
			for a := range strings.FieldsSeq(tt.args) {
				args = append(args, strings.NewReplacer("ALERT", alert, "FEED", feed, "BROKEN", broken, "TESTS", filepath.Join(home, "tests"), "STRANGE", strange, "HOSTILE", hostile).Replace(a))
			}
			var out, errs strings.Builder
			run(t.Context(), args, strings.NewReader(""), &out, &errs)
			want := strings.NewReplacer("STRANGE", "strange", "HOSTILE", "[31m").Replace(tt.want)
			if !strings.Contains(out.String()+errs.String(), want) {
				t.Errorf("no %q in\n%q\n%q", want, out.String(), errs.String())
			}
			for what, text := range map[string]string{"output": out.String(), "errors": errs.String()} {
				if fault := unprintable(text); fault != "" {
					t.Errorf("%s: %s", what, fault)
				}
			}
			checkForm(t, args, out.String())
		})
	}
}

const hostileName = "strange\x1b[31m\u009b2J\u202e\n.yaml"

// unprintable says what in a text a terminal would act on.
func unprintable(text string) string {
	if !utf8.ValidString(text) {
		return fmt.Sprintf("not UTF-8: %q", text)
	}
	for i, r := range text {
		// What has no width and no effect, such as U+FEFF, may be in JSON.
		if r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)) {
			return fmt.Sprintf("%U in %q", r, text[max(0, i-40):min(len(text), i+10)])
		}
	}
	return ""
}

// checkForm checks that what is printed as JSON or XML is that.
func checkForm(t *testing.T, args []string, out string) {
	t.Helper()
	line := strings.Join(args[3:], " ")
	if out == "" {
		return
	}
	switch {
	case strings.Contains(line, "-o json") || strings.Contains(line, "-o sarif"):
		for d := json.NewDecoder(strings.NewReader(out)); d.More(); {
			var v any
			if err := d.Decode(&v); err != nil {
				t.Errorf("not JSON: %v", err)
				return
			}
		}
	case strings.Contains(line, "-o junit"):
		var v struct {
			Tests int `xml:"tests,attr"`
		}
		if err := xml.Unmarshal([]byte(out), &v); err != nil || v.Tests != 1 {
			t.Errorf("not XML: %v", err)
		}
	}
}
