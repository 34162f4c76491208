package enrich

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// next is the alert behind a torn one.
const next = `{"timestamp":"2026-10-05T08:10:02.000+0000","rule":{"level":3,"id":"5"},"id":"1791187802.7","data":{"dst":"192.31.196.1"}}`

// inTorn returns the alerts in a line as texts.
func inTorn(line string) []string {
	found := []string{}
	for _, a := range alertsInTorn([]byte(line)) {
		found = append(found, string(a))
	}
	return found
}

// realAlerts returns the alerts of testdata, each a line.
func realAlerts(t testing.TB) []string {
	t.Helper()
	names, err := filepath.Glob("../../testdata/alerts/*.json")
	if err != nil || len(names) < 30 {
		t.Fatal(names, err)
	}
	var alerts []string
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		alerts = append(alerts, strings.TrimSpace(string(data)))
	}
	return alerts
}

// TestTornEverywhere tears each alert of testdata in each place, with and without zeros behind it, and appends the next one:
// that is found, and nothing else, unless only the newline is missing.
func TestTornEverywhere(t *testing.T) {
	for i, alert := range realAlerts(t) {
		behind := next
		if i%2 == 0 {
			behind = realAlerts(t)[(i+1)%30]
		}
		for cut := 1; cut <= len(alert); cut++ {
			for _, hole := range []string{"", "\x00\x00\x00"} {
				want := []string{behind}
				if cut == len(alert) {
					want = []string{alert, behind}
				}
				if got := inTorn(alert[:cut] + hole + behind); !slices.Equal(got, want) {
					t.Fatalf("torn behind %.200s: found %q", alert[:cut][max(0, cut-200):], got)
				}
			}
		}
	}
}

// TestTornTwice has two torn parts before a whole alert, and a whole one between them.
func TestTornTwice(t *testing.T) {
	alerts := realAlerts(t)
	first, second := alerts[3], alerts[7]
	for i := 1; i < len(first); i += 7 {
		for j := 1; j < len(second); j += 11 {
			if got := inTorn(first[:i] + second[:j] + next); !slices.Equal(got, []string{next}) {
				t.Fatalf("torn at %d and %d: %q", i, j, got)
			}
			if got := inTorn(first[:i] + second[:j]); len(got) > 0 {
				t.Fatalf("two halves, torn at %d and %d: %q", i, j, got)
			}
		}
		if got := inTorn(first[:i] + second + next); !slices.Equal(got, []string{second, next}) {
			t.Fatalf("torn at %d: %q", i, got)
		}
		if got := inTorn(first[:i] + second + next[:40]); !slices.Equal(got, []string{second}) {
			t.Fatalf("torn at %d, and again behind a whole one: %q", i, got)
		}
	}
}

// forged is what the author of a log would have taken for an alert.
const forged = `{"timestamp":"2026-10-05T08:10:02.000+0000","rule":{"level":"15","id":"5"},"id":"1.1","agent":{"id":"007"},"data":{"dst":"192.0.2.1"}}`

// hostile returns an alert of a log in which there are things like alerts.
func hostile(t testing.TB, arrays bool) string {
	t.Helper()
	text, err := json.Marshal(`x` + forged + "\n" + forged + `","rule":{"id":"1"}}` + forged + `\` + forged + `\"` + forged)
	if err != nil {
		t.Fatal(err)
	}
	list := ""
	if arrays { // where Wazuh leaves what was in the log as it was
		list = `,"list":[` + forged + `,` + strings.ReplaceAll(forged, `"15"`, `15`) + `,[` + forged + `],{"a":` + forged + `}]`
	}
	return `{"timestamp":"2026-10-05T08:10:01.000+0000","rule":{"level":3,"id":"4"},"full_log":` + string(text) + `,"predecoder":{"timestamp":"Oct  5 08:10:01"},` +
		`"data":{"text":` + string(text) + `,"object":` + forged + `,"deep":{"rule":` + forged + `}` + list + `},"location":"/x"}`
}

// TestTornForged tears a hostile alert in each place. Whatever is behind it, nothing out of it is taken for an alert, and what
// Wazuh wrote behind it is found, also if it is hostile itself.
func TestTornForged(t *testing.T) {
	alert := hostile(t, true)
	for cut := 1; cut < len(alert); cut++ {
		torn := alert[:cut]
		for _, tail := range []string{"", "\x00\x00", "}", "]}", alert[cut:] + "}", alert[:cut/2], "{"} {
			if got := inTorn(torn + tail); len(got) > 0 && got[0] != torn+tail { // the tail can end it
				t.Fatalf("torn behind %.100s: found %q", torn[max(0, cut-100):], got)
			}
		}
		got := inTorn(torn + alert)
		// Just before a value in an array of data there is no telling.
		if ambiguous := strings.Contains(torn, `"list":`) && strings.ContainsRune(":[,", rune(torn[cut-1])); !slices.Equal(got, []string{alert}) && (!ambiguous || len(got) > 0) {
			t.Fatalf("torn behind %.100s: found %q", torn[max(0, cut-100):], got)
		}
	}
}

// TestTornNot has lines without any alert that can be told.
func TestTornNot(t *testing.T) {
	for _, line := range []string{
		"", "x", "\x00", "{", "[]", next[1:], `x` + next, `"a":` + next, `{}` + next[:20], `{"timestamp":"` + strings.Repeat("{", 10_000) + "}",
		`{"timestamp":` + strings.Repeat("[", 10_000) + next, `{"timestamp":"a` + `{"timestamp":"2026"}`, `{"timestamp":"a` + `{"timestamp":"2026","rule":5}`,
		`{"timestamp":"a","data":{"x":[` + next, `{"timestamp":"a","data":` + forged, `{"timestamp":"a","data": ` + forged, `{"timestamp":"a` + next + "x", `{"timestamp":"a` + next + "}",
	} {
		if got := inTorn(line); len(got) > 0 {
			t.Errorf("%.60q: found %q", line, got)
		}
	}
}

// TestTornIsLinear reads lines of the greatest length whose parts could be looked at again and again.
func TestTornIsLinear(t *testing.T) {
	const size = MaxAlert - 1000
	began := time.Now()
	plain := `{"timestamp":"` + strings.Repeat("a", size)
	for range 5 {
		inTorn(plain + next)
	}
	unit := time.Since(began)
	for _, part := range []string{
		`{"timestamp":"`, `{"timestamp":"",`, `{"timestamp":"a","rule":{}}`, `{"timestamp":"a","rule":{},"a":`, `{"timestamp":"a","rule":{},"a":"}`, `\`, `"`, `{`, `}`, "\x00",
	} {
		line := `{"timestamp":"a","data":{"x":[` + strings.Repeat(part, size/len(part)) + next
		began := time.Now()
		for range 5 {
			inTorn(line)
		}
		if took := time.Since(began); took > 100*unit+time.Second {
			t.Errorf("%q: %s, plain text %s", part, took, unit)
		}
	}
}

// FuzzTorn tears an alert with any text of a log in any place: what is found is what Wazuh wrote, or nothing.
func FuzzTorn(f *testing.F) {
	f.Add(`x{"timestamp":"`, `{"timestamp":"2026","rule":{}}`, uint(60), uint(0), true)
	f.Add(`\`, `[{"timestamp":"2026","rule":{"level":3}}]`, uint(140), uint(3), false)
	f.Add(forged, `{"timestamp":"2026","rule":{"level":"3"}}`, uint(150), uint(1), true)
	f.Fuzz(func(t *testing.T, log, object string, cut, zeros uint, whole bool) {
		text, err := json.Marshal(log)
		if err != nil || !json.Valid([]byte(object)) {
			return
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, []byte(object)); err != nil {
			t.Fatal(err)
		}
		alert := fmt.Sprintf(`{"timestamp":"2026-10-05T08:10:01.000+0000","rule":{"level":3},"full_log":%s,"data":{"a":[%s],"b":%s}}`, text, &compact, text)
		if _, err := checkAlert([]byte(alert)); err != nil {
			return // too deep
		}
		torn := alert[:1+int(cut%uint(len(alert)-1))]
		line := torn + strings.Repeat("\x00", int(zeros%5))
		var want []string
		if whole {
			line += alert
			want = []string{alert}
		}
		got := inTorn(line)
		inData := strings.Contains(torn, `"data":{"a":`) && strings.ContainsAny(torn[len(torn)-1:], ":[,") && zeros%5 == 0
		if !slices.Equal(got, want) && (!inData || len(got) > 0) {
			t.Errorf("%q: found %s", line, cmp.Diff(want, got))
		}
	})
}

// FuzzTornLine takes any line. What is found is an alert, begins as one, and is behind a part of another one.
func FuzzTornLine(f *testing.F) {
	f.Add([]byte(next[:50] + next))
	f.Add([]byte(next + next))
	f.Fuzz(func(t *testing.T, line []byte) {
		rest := line
		for _, a := range alertsInTorn(line) {
			if _, err := checkAlert(a); err != nil || !bytes.HasPrefix(a, []byte(alertStart)) {
				t.Errorf("%q: %v", a, err)
			}
			at := bytes.Index(rest, a)
			if at < 0 {
				t.Fatalf("%q is not in order in %q", a, line)
			}
			rest = rest[at+len(a):]
		}
	})
}
