package examples_test

import (
	"cmp"
	"encoding/xml"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/mappings"
)

// A rule is one of Wazuh's, with the elements that the examples use; any other fails the test.
type rule struct {
	ID          int    `xml:"id,attr"`
	Level       int    `xml:"level,attr"`
	IfSID       string `xml:"if_sid"`
	DecodedAs   string `xml:"decoded_as"`
	Field       []cond `xml:"field"`
	Description string `xml:"description"`
	Options     string `xml:"options"`
	Group       string `xml:"group"`
	Rest        []struct {
		XMLName xml.Name
	} `xml:",any"`

	groups []string
}

type cond struct {
	Name  string `xml:"name,attr"`
	Regex string `xml:",chardata"`
}

func (r rule) parents() []string { return strings.Split(strings.ReplaceAll(r.IfSID, " ", ""), ",") }

func rules(t *testing.T, name string) []rule {
	t.Helper()
	checkXML(t, name)
	var group struct {
		Name  string `xml:"name,attr"`
		Rules []rule `xml:"rule"`
	}
	if err := xml.Unmarshal(read(t, name), &group); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if len(group.Rules) == 0 {
		t.Fatalf("%s holds no rules", name)
	}
	for i := range group.Rules {
		r := &group.Rules[i]
		// Wazuh puts the two texts together as they stand.
		r.groups = strings.Split(strings.TrimSuffix(group.Name+r.Group, ","), ",")
		if !strings.HasSuffix(group.Name, ",") || r.Group != "" && !strings.HasSuffix(r.Group, ",") {
			t.Errorf("rule %d: a group list without a comma at its end", r.ID)
		}
		for _, g := range r.groups {
			if g == "" || strings.TrimSpace(g) != g {
				t.Errorf("rule %d: group %q", r.ID, g)
			}
		}
		for _, x := range r.Rest {
			t.Errorf("rule %d: <%s> is unexpected", r.ID, x.XMLName.Local)
		}
		if r.Description == "" || r.Options != "no_full_log" {
			t.Errorf("rule %d: description %q, options %q", r.ID, r.Description, r.Options)
		}
		if r.Level == 10 || r.Level > 15 {
			t.Errorf("rule %d has level %d", r.ID, r.Level)
		}
	}
	return group.Rules
}

// TestRuleIDs checks the ids and parents of both files together, as a manager loads them.
func TestRuleIDs(t *testing.T) {
	seen := map[int]bool{}
	for _, f := range []struct {
		name        string
		first, last int
	}{
		{"rules/misp_rules.xml", 100620, 100629},
		{"rules/sysmon_base_events.xml", 100630, 100659},
	} {
		for _, r := range rules(t, f.name) {
			if more := f.first == 100620 && r.ID >= 100660 && r.ID <= 100669; !more && (r.ID < f.first || r.ID > f.last) {
				t.Errorf("rule %d is not in %d to %d", r.ID, f.first, f.last)
			}
			if seen[r.ID] {
				t.Errorf("rule %d stands there twice", r.ID)
			}
			for _, p := range r.parents() {
				id, err := strconv.Atoi(p)
				stock := id == 61600 || id >= 61603 && id <= 61655
				if r.IfSID != "" && (err != nil || !stock && !seen[id]) {
					t.Errorf("rule %d: parent %q is no rule above it and none of Wazuh's for Sysmon", r.ID, p)
				}
			}
			if f.first == 100620 && !slices.Contains(r.groups, "misp") {
				t.Errorf("rule %d: without the group misp its alerts are looked up again", r.ID)
			}
			seen[r.ID] = true
		}
	}
}

// choose returns the rule that analysisd chooses for an event, nil for none: of the rules below parent, those of
// level 0 first and then by falling level, the first that matches and then what is below it (contract wazuh.md, c).
func choose(all []rule, parent *rule, event []byte) *rule {
	below := []*rule{}
	for i := range all {
		if parent == nil && all[i].IfSID == "" || parent != nil && slices.Contains(all[i].parents(), strconv.Itoa(parent.ID)) {
			below = append(below, &all[i])
		}
	}
	slices.SortStableFunc(below, func(a, b *rule) int {
		priority := func(r *rule) int { return (r.Level + 99) % 100 } // 0 becomes the highest
		return cmp.Compare(priority(b), priority(a))
	})
	for _, r := range below {
		if r.matches(event) {
			if deeper := choose(all, r, event); deeper != nil {
				return deeper
			}
			return r
		}
	}
	return nil
}

func (r *rule) matches(event []byte) bool {
	return !slices.ContainsFunc(r.Field, func(c cond) bool {
		v := gjson.GetBytes(event, c.Name)
		return !v.Exists() || !osRegex(c.Regex).MatchString(v.String())
	})
}

// osRegex translates the few words of Wazuh's own expressions that the examples use: \. is any character, a plain
// dot is a dot.
func osRegex(s string) *regexp.Regexp {
	s = strings.NewReplacer(`\.`, `.`, `.`, `\.`, `\w`, `[A-Za-z0-9@_-]`).Replace(s)
	return regexp.MustCompile("(?i)" + s)
}

func hit(change func(*enrich.Body)) enrich.Body {
	b := enrich.Body{
		EventID: "25", Category: "Network activity", Value: "gate.bad-cdn.example", Type: "hostname", ToIDs: "true",
		Event:      &enrich.EventBody{Info: "Loader campaign", ThreatLevel: "medium"},
		Observable: &enrich.ObservableBody{Type: "hostname", Value: "gate.bad-cdn.example"},
		Source:     &enrich.Source{RuleID: "61650"},
	}
	change(&b)
	return b
}

func trouble(code enrich.Code) enrich.Body {
	return enrich.Body{Error: code, Description: "MISP at misp.example.org did not answer", Source: &enrich.Source{RuleID: "61650"}}
}

// TestMISPRules raises alerts for events as the program writes them.
func TestMISPRules(t *testing.T) {
	tests := []struct {
		name  string
		body  enrich.Body
		id    int
		level int
	}{
		{"hit", hit(func(*enrich.Body) {}), 100622, 12},
		{"hit of the first generation of scripts", enrich.Body{EventID: "25", Category: "Network activity", Value: "v", Type: "hostname"}, 100622, 12},
		{"not flagged", hit(func(b *enrich.Body) { b.ToIDs = "false" }), 100623, 7},
		{"high threat", hit(func(b *enrich.Body) { b.Event.ThreatLevel = "high" }), 100624, 14},
		{"high threat, not flagged", hit(func(b *enrich.Body) { b.Event.ThreatLevel, b.ToIDs = "high", "false" }), 100624, 14},
		{"high threat, on a warninglist", hit(func(b *enrich.Body) {
			b.Event.ThreatLevel, b.Warninglists = "high", []string{"List of known public DNS resolvers"}
		}), 100626, 3},
		{"MISP is down", trouble(enrich.CodeUnavailable), 100627, 5},
		{"rate limit", trouble(enrich.CodeRateLimited), 100627, 5},
		{"key refused", trouble(enrich.CodeUnauthorized), 100628, 5},
		{"question refused", trouble(enrich.CodeRejected), 100628, 5},
		{"certificate", trouble(enrich.CodeTLS), 100628, 5},
		{"not MISP's answer", trouble(enrich.CodeBadAnswer), 100621, 5},
		{"queue", trouble(enrich.CodeQueue), 100621, 5},
		{"mapping", trouble(enrich.CodeMapping), 100629, 5},
		{"feed", trouble(enrich.CodeFeed), 100629, 5},
		{"configuration", trouble(enrich.CodeConfig), 100629, 5},
		{"spool full", trouble(enrich.CodeSpoolFull), 100662, 9},
		{"nowhere to hold", trouble(enrich.CodeSpool), 100662, 9},
		{"set aside", trouble(enrich.CodeSetAside), 100662, 9},
		{"back", enrich.Body{Recovered: enrich.CodeUnavailable, Description: "MISP is back", Held: "3", Processed: "3"}, 100663, 3},
		{"network", hit(func(b *enrich.Body) { b.MatchKind = "network" }), 100660, 9},
		{"parent domain, not flagged", hit(func(b *enrich.Body) { b.MatchKind, b.ToIDs = "parent-domain", "false" }), 100661, 5},
		{"host of a URL, high threat", hit(func(b *enrich.Body) { b.MatchKind, b.Event.ThreatLevel = "url-host", "high" }), 100624, 14},
		{"exact", hit(func(b *enrich.Body) { b.MatchKind = "exact" }), 100622, 12},
		{"neither", enrich.Body{Value: "v"}, 100620, 0},
	}
	all := rules(t, "rules/misp_rules.xml")
	reached := map[int]bool{100625: true} // only leads to 100626
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			event, err := enrich.Enrichment{Body: tt.body}.JSON()
			if err != nil {
				t.Fatal(err)
			}
			r := choose(all, nil, event)
			if r == nil {
				t.Fatalf("no rule for %s", event)
			}
			reached[r.ID] = true
			if r.ID != tt.id || r.Level != tt.level {
				t.Errorf("rule %d of level %d, want %d of level %d, for %s", r.ID, r.Level, tt.id, tt.level, event)
			}
			if tt.body.Observable == nil && tt.body.Error == "" && tt.body.Recovered == "" {
				return // an event with less in it than the program sends
			}
			for _, m := range regexp.MustCompile(`\$\(([^)]*)\)`).FindAllStringSubmatch(r.Description, -1) {
				if gjson.GetBytes(event, m[1]).String() == "" {
					t.Errorf("rule %d: the description names %s, which %s does not have", r.ID, m[1], event)
				}
			}
		})
	}
	for _, r := range all {
		if !reached[r.ID] {
			t.Errorf("rule %d is never reached", r.ID)
		}
	}
	for _, other := range []string{"misp2", "virustotal"} {
		if r := choose(all, nil, []byte(`{"integration":"`+other+`","misp":{"event_id":"1"}}`)); r != nil {
			t.Errorf("rule %d takes an event of %s", r.ID, other)
		}
	}
}

// TestSysmonRules checks each rule against the number of its event, and that together they cover the events that
// the built-in mapping takes indicators from in the bundled alerts.
func TestSysmonRules(t *testing.T) {
	raised := map[string]bool{}
	for _, r := range rules(t, "rules/sysmon_base_events.xml") {
		n := r.ID - 100630
		event := strconv.Itoa(n)
		raised[event] = true
		if r.Level != 3 {
			t.Errorf("rule %d has level %d", r.ID, r.Level)
		}
		group, parent := "sysmon_event"+event, 61602+n
		if n >= 10 {
			group = "sysmon_event_" + event
		}
		if n >= 16 {
			parent = 61628 + n
		}
		if n > 26 {
			parent = 61600 // Wazuh has no rule of its own
		}
		if !slices.Equal(r.groups, []string{"windows", "sysmon", group}) {
			t.Errorf("rule %d has groups %v, want %s", r.ID, r.groups, group)
		}
		if p := r.parents(); p[len(p)-1] != strconv.Itoa(parent) {
			t.Errorf("rule %d for event %d has parent %s, want %d", r.ID, n, r.IfSID, parent)
		}
		if want := []cond{{"win.system.eventID", "^" + event + "$"}}; !slices.Equal(r.Field, want) {
			t.Errorf("rule %d has conditions %v, want %v", r.ID, r.Field, want)
		}
	}
	sources, err := engine.ReadFS(mappings.FS, "mappings")
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.Load(sources...)
	if err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob("../testdata/alerts/sysmon-windows-*.json")
	for _, name := range files {
		alert := read(t, name)
		found, err := e.Pick(alert)
		if err != nil {
			t.Error(err)
		}
		event := gjson.GetBytes(alert, "data.win.system.eventID").String()
		if len(found) > 0 && event != "" && !raised[event] {
			t.Errorf("%s: mappings pick from Sysmon event %s, which no rule raises", filepath.Base(name), event)
		}
	}
}
