package export

import (
	"encoding/xml"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"custom-misp/engine/wazuh"
	"custom-misp/misp"
)

func TestExportValues(t *testing.T) {
	tests := []struct {
		typ   string
		value string
		want  []string // type and text
	}{
		{"url", "HTTP://Files.example/Get/It.exe", []string{"url http://files.example/Get/It.exe"}},
		{"ip-src", "10.1.0.0/16", []string{"ip-src 10.1.0.0/16"}},
		{"ip-src|port", "192.31.196.7|443", []string{"ip-src 192.31.196.7"}},
		{"domain|ip", "Bad.example|192.31.196.7", []string{"domain bad.example", "ip-dst 192.31.196.7"}},
		{"hostname|port", "a.bad.example|80", []string{"hostname a.bad.example"}},
		{"filename|md5", "a.exe|06326BC1CB1BCAF4BC76D4E89CD4D56F", []string{"md5 06326bc1cb1bcaf4bc76d4e89cd4d56f"}},
		{"malware-sample", "a|b.exe|06326bc1cb1bcaf4bc76d4e89cd4d56f", nil},
		{"filename", "Invoice.EXE", []string{"filename Invoice.EXE"}},
		{"md5", "not one", nil},
	}
	for _, tt := range tests {
		var got []string
		for _, v := range valuesOf(misp.Attribute{Type: tt.typ, Value: tt.value}) {
			got = append(got, string(v.Type)+" "+v.Text)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s %s (-want +got):\n%s", tt.typ, tt.value, diff)
		}
	}
}

func TestExportNetworkKeys(t *testing.T) {
	tests := []struct {
		network string
		n       int
		first   string
		last    string
	}{
		{"10.0.0.0/8", 1, "10.", "10."},
		{"172.16.0.0/12", 16, "172.16.", "172.31."},
		{"192.31.0.0/16", 1, "192.31.", "192.31."},
		{"192.31.196.0/22", 4, "192.31.196.", "192.31.199."},
		{"192.31.196.0/24", 1, "192.31.196.", "192.31.196."},
		{"192.31.196.128/25", 128, "192.31.196.128", "192.31.196.255"},
		{"192.31.196.7/32", 1, "192.31.196.7", "192.31.196.7"},
		{"0.0.0.0/0", 0, "", ""},
		{"2001:db8::/32", 0, "", ""},
	}
	for _, tt := range tests {
		keys := networkKeys(tt.network)
		if len(keys) != tt.n || tt.n > 0 && (keys[0] != tt.first || keys[tt.n-1] != tt.last) {
			t.Errorf("%s: %d keys, %v", tt.network, len(keys), keys)
		}
	}
}

// TestExportNetworksOnce has many attributes with a few networks: each is expanded once, with what is said of its strongest
// attribute. There were 128 lines for each attribute.
func TestExportNetworksOnce(t *testing.T) {
	x := exporter{form: cdbForm(), left: map[string]int{}}
	defer x.lines.close() //nolint:errcheck // a test
	defer x.wide.close()  //nolint:errcheck // a test
	for i := range 5000 {
		a := misp.Attribute{Type: "ip-dst", Value: "192.0.0.0/9", Origin: "misp", Event: misp.Event{ID: strconv.Itoa(i), ThreatLevel: 1}}
		if i%2 == 1 {
			a.Value = "192.64.0.0/10"
		}
		a.ToIDs = i == 4000 || i == 4001
		for _, v := range valuesOf(a) {
			if err := x.add(v, rankOf(a)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := x.expand(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(x.lines.held); n != 128+64 {
		t.Errorf("%d lines are sorted, want 192", n)
	}
	var got []string
	if err := x.lines.each(func(l sorted) error { got = append(got, l.line); return nil }); err != nil {
		t.Fatal(err)
	}
	want := []string{"192.0.:misp event 4000 high", "192.1.:misp event 4000 high"}
	if len(got) != 128 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("%d lines, the first are %q, want %q", len(got), got[:min(2, len(got))], want)
	}
}

// TestExportLines shows values that are bad for a format.
func TestExportLines(t *testing.T) {
	attribute := func(typ, value string) misp.Attribute {
		return misp.Attribute{Type: typ, Value: value, ToIDs: true, Origin: "misp", Event: misp.Event{ID: "25", ThreatLevel: 1}}
	}
	tests := []struct {
		form Form
		a    misp.Attribute
		want []string
	}{
		{cdbForm(), attribute("hostname", "a.bad.example"), []string{"a.bad.example:misp event 25 high"}},
		{cdbForm(), attribute("url", "http://bad.example/A?b=c"), []string{`"http://bad.example/A?b=c":misp event 25 high`}},
		{cdbForm(), attribute("url", `http://bad.example/"`), []string{"!values with a quotation mark or a line break, or very long, which CDB lists cannot express"}},
		{cdbForm(), attribute("ip-dst", "2001:db8::/32"), []string{"!networks of IPv6, or wider than /8, which CDB lists cannot express"}},
		{cdbForm(), attribute("ip-dst", "192.31.196.0/24"), []string{":misp event 25 high"}},
		{cdbForm(), attribute("ip-dst", "2001:db8::1"), []string{`"2001:db8::1":misp event 25 high`, `"2001:db8:0:0:0:0:0:1":misp event 25 high`}},
		{cdbForm(), attribute("filename", "a.exe"), nil},
		{suricataForm(), attribute("url", "https://u:p@bad.example:8443/A%20b?c=d#e"), []string{"YmFkLmV4YW1wbGU=", "L0ElMjBiP2M9ZA=="}},
		{suricataForm(), attribute("url", "https://bad.example/"), []string{"!URLs without a path, or with an address of IPv6, or not of HTTP, which no dataset of Suricata tells apart"}},
		{suricataForm(), attribute("url", "https://bad.example/"+strings.Repeat("a", 800)), []string{"!URLs that are longer than a line of a dataset of Suricata"}},
		{suricataForm(), attribute("ip-dst", "::ffff:192.31.196.7"), []string{"192.31.196.7"}},
		{suricataForm(), attribute("ip-dst", "192.31.196.0/24"), []string{"!networks, which a dataset of Suricata cannot hold"}},
		{csvForm(), attribute("filename", `=cmd|'/C calc'!A0,"`), []string{"\"\u00a0=cmd|'/C calc'!A0,\"\"\",filename,,,true,,25,,,,high,,,misp,"}},
		{csvForm(), attribute("mutex", "#1"), []string{`"#1",mutex,,,true,,25,,,,high,,,misp,`}},
	}
	for _, tt := range tests {
		var got []string
		for _, v := range valuesOf(tt.a) {
			lines, why := tt.form.lines(v)
			for _, l := range lines {
				got = append(got, l.text)
			}
			if why != "" {
				got = append(got, "!"+why)
			}
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s of %s %s (-want +got):\n%s", tt.form.Name, tt.a.Type, tt.a.Value, diff)
		}
	}
}

// TestExportSort puts lines in in any order, more than are held in memory.
func TestExportSort(t *testing.T) {
	old := testOnlySortMemory
	defer func() { testOnlySortMemory = old }()
	var lines []sorted
	var want []string
	for i := range 2000 {
		key := fmt.Sprintf("%05d", i)
		want = append(want, key+" a1")
		for _, rank := range []string{"a", "b"} {
			lines = append(lines, sorted{key, rank, key + " " + rank + "2"}, sorted{key, rank, key + " " + rank + "1"})
		}
	}
	for _, memory := range []int{1, 10_000, 1 << 20} {
		testOnlySortMemory = memory
		rand.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
		given := lines
		if memory == 1 {
			given = lines[:50] // a run each
		}
		var s sorter
		for _, l := range given {
			if err := s.add(l); err != nil {
				t.Fatal(err)
			}
		}
		var got []string
		if err := s.each(func(l sorted) error { got = append(got, l.line); return nil }); err != nil {
			t.Fatal(err)
		}
		if err := s.close(); err != nil {
			t.Fatal(err)
		}
		if memory == 1 {
			if !slices.IsSorted(got) || len(got) == 0 {
				t.Errorf("%d lines, sorted: %t", len(got), slices.IsSorted(got))
			}
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%d bytes (-want +got):\n%s", memory, diff)
		}
	}
}

// listRule is a rule for lists, as Wazuh reads it.
type listRule struct {
	ID          string `xml:"id,attr"`
	Level       int    `xml:"level,attr"`
	IfSID       string `xml:"if_sid"`
	IfLevel     string `xml:"if_level"`
	Description string `xml:"description"`
	Options     string `xml:"options"`
	Group       string `xml:"group"`
	List        []struct {
		Field  string `xml:"field,attr"`
		Lookup string `xml:"lookup,attr"`
		Name   string `xml:",chardata"`
	} `xml:"list"`
	Rest []struct{ XMLName xml.Name } `xml:",any"`
}

// TestExportListRules checks the rules for Wazuh as examples/rules_test.go checks the others.
func TestExportListRules(t *testing.T) {
	t.Parallel()
	parsed, err := wazuh.ParseRules([]byte(cdbRules))
	if err != nil {
		t.Fatal(err)
	}
	taken := exampleRules(t)
	for _, r := range parsed {
		if taken[r.ID] || r.ID < "100680" || r.ID > "100699" || len(r.ID) != 6 {
			t.Errorf("rule %s is taken, or not in 100680 to 100699", r.ID)
		}
		taken[r.ID] = true
	}
	var group struct {
		Name  string     `xml:"name,attr"`
		Rules []listRule `xml:"rule"`
	}
	if err := xml.Unmarshal([]byte(cdbRules), &group); err != nil {
		t.Fatal(err)
	}
	if len(group.Rules) != len(parsed) || len(parsed) == 0 || group.Name != "misp_list," {
		t.Errorf("%d rules of %d, group %q", len(group.Rules), len(parsed), group.Name)
	}
	for i, r := range group.Rules {
		checkListRule(t, r, group.Name)
		// The second of a pair has the level of the alert, and nothing but the first above it.
		if first := r.Level == 1; first != (len(r.List) == 1) || !first && r.IfSID != group.Rules[i-1].ID {
			t.Errorf("rule %s: level %d, %d lists, below %s", r.ID, r.Level, len(r.List), r.IfSID)
		}
	}
}

// exampleRules returns the ids of the rules in examples/.
func exampleRules(t *testing.T) map[string]bool {
	t.Helper()
	taken := map[string]bool{}
	files, err := filepath.Glob("../../../../examples/rules/*.xml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		others, err := wazuh.ParseRules(data)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range others {
			taken[r.ID] = true
		}
	}
	return taken
}

func checkListRule(t *testing.T, r listRule, group string) {
	t.Helper()
	if len(r.Rest) > 0 || r.IfSID == "" || r.IfLevel != "" || r.Options != "no_full_log" || r.Level == 10 || r.Level > 12 {
		t.Errorf("rule %s: %+v", r.ID, r)
		return
	}
	for _, l := range r.List {
		if !strings.Contains(r.Description, "$("+l.Field+")") {
			t.Errorf("rule %s does not show the value of %s", r.ID, l.Field)
		}
		if want := map[bool]string{true: "address_match_key", false: "match_key"}[l.Name == "etc/lists/misp-ip"]; l.Lookup != want {
			t.Errorf("rule %s looks up with %s, want %s", r.ID, l.Lookup, want)
		}
	}
	if r.Group != "" && !strings.HasSuffix(r.Group, ",") || slices.Contains(strings.Split(group+r.Group, ","), "misp") {
		t.Errorf("rule %s has the groups %q: a comma is missing, or it has the group of our own events", r.ID, group+r.Group)
	}
}
