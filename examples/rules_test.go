package examples_test

import (
	"encoding/xml"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/engine/wazuh"
	"custom-misp/mappings"
)

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
		t.Fatalf("%s has no rules", name)
	}
	for i := range group.Rules {
		r := &group.Rules[i]
		// Wazuh joins the two texts as they are.
		r.groups = strings.Split(strings.TrimSuffix(group.Name+r.Group, ","), ",")
		if !strings.HasSuffix(group.Name, ",") || r.Group != "" && !strings.HasSuffix(r.Group, ",") {
			t.Errorf("rule %d: a group list without a comma at its end", r.ID)
		}
		r.check(t)
	}
	return group.Rules
}

// check reports what no rule of the examples may have.
func (r *rule) check(t *testing.T) {
	t.Helper()
	for _, g := range r.groups {
		if g == "" || strings.TrimSpace(g) != g {
			t.Errorf("rule %d: group %q", r.ID, g)
		}
	}
	for _, l := range r.Location {
		if l.Type != "" && l.Type != "pcre2" {
			t.Errorf("rule %d: location of the type %q", r.ID, l.Type)
		}
	}
	if len(r.Location) > 1 {
		t.Errorf("rule %d: %d locations, of which Wazuh makes one text", r.ID, len(r.Location))
	}
	for _, x := range r.Rest {
		t.Errorf("rule %d: <%s> is unexpected", r.ID, x.XMLName.Local)
	}
	if r.Description == "" || r.Options != "no_full_log" {
		t.Errorf("rule %d: description %q, options %q", r.ID, r.Description, r.Options)
	}
	if r.Level > 15 {
		t.Errorf("rule %d has level %d", r.ID, r.Level)
	}
}

// TestRuleIDs checks the ids and parents of both files together, as a manager loads them.
func TestRuleIDs(t *testing.T) {
	seen := map[int]bool{}
	add := func(r rule, own func(id int) bool) {
		if !own(r.ID) {
			t.Errorf("rule %d has an id of another file", r.ID)
		}
		if seen[r.ID] {
			t.Errorf("rule %d is there twice", r.ID)
		}
		for _, p := range r.parents() {
			if id, err := strconv.Atoi(p); r.IfSID != "" && (err != nil || !isSysmonRule(id) && !seen[id]) {
				t.Errorf("rule %d: parent %q is neither a rule above it nor one of Wazuh's for Sysmon", r.ID, p)
			}
		}
		seen[r.ID] = true
	}
	for _, r := range rules(t, "rules/misp_rules.xml") {
		add(r, func(id int) bool { return id >= 100620 && id <= 100629 || id >= 100660 && id <= 100679 })
		if !slices.Contains(r.groups, "misp") {
			t.Errorf("rule %d: without the group misp its alerts are not found with the others", r.ID)
		}
	}
	for _, r := range rules(t, "rules/sysmon_base_events.xml") {
		add(r, func(id int) bool { return id >= 100630 && id <= 100659 })
	}
}

// isSysmonRule reports whether an id is that of a rule of Wazuh's own for Sysmon.
func isSysmonRule(id int) bool { return id == 61600 || id >= 61603 && id <= 61655 }

func hit(change func(*enrich.Body)) enrich.Body {
	b := enrich.Body{
		EventID: "25", Category: "Network activity", Value: "gate.bad-cdn.example", Type: "hostname", ToIDs: "true",
		Event:      &enrich.EventBody{Info: "Loader campaign", ThreatLevel: "medium"},
		Observable: &enrich.ObservableBody{Type: "hostname", Value: "gate.bad-cdn.example"},
		Source:     &enrich.Source{AlertID: "1791187812.56716", RuleID: "61650"},
	}
	change(&b)
	return b
}

func trouble(code enrich.Code) enrich.Body {
	return enrich.Body{Error: code, Description: "MISP at misp.example.org did not answer", Source: &enrich.Source{RuleID: "61650"}}
}

// raised is a rule that an event raises, with its level.
type raised struct {
	name  string
	body  enrich.Body
	id    int
	level int
}

// TestMISPRules raises alerts for events as the program writes them.
func TestMISPRules(t *testing.T) {
	tests := []raised{
		{"hit", hit(func(*enrich.Body) {}), 100622, 12},
		{"hit of the first generation of scripts", enrich.Body{EventID: "25", Category: "Network activity", Value: "v", Type: "hostname"}, 100622, 12},
		{"hit of an unknown kind, not flagged", hit(func(b *enrich.Body) { b.ToIDs = "false" }), 100623, 7},
		{"hit of an unknown kind, high threat", hit(func(b *enrich.Body) { b.Event.ThreatLevel = "high" }), 100624, 14},
		{"hit of an unknown kind, high threat, not flagged", hit(func(b *enrich.Body) { b.Event.ThreatLevel, b.ToIDs = "high", "false" }), 100623, 7},
		{"hit of an unknown kind, high threat, on a warninglist", hit(func(b *enrich.Body) {
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
		{"spool cannot be written", trouble(enrich.CodeSpool), 100662, 9},
		{"dead letter", trouble(enrich.CodeDeadLetter), 100662, 9},
		{"recovered", enrich.Body{Recovered: enrich.CodeUnavailable, Description: "MISP is back", Queued: "3", Processed: "3"}, 100663, 3},
		{"a daemon that ended", trouble(enrich.CodeServe), 100629, 5},
		{"a canary", trouble(enrich.CodeCanary), 100629, 5},
		{"test event", enrich.Body{Notice: enrich.NoticeCanary, Canary: "1", Description: "test event"}, 100668, 3},
		{"counts of a day", enrich.Body{Notice: enrich.NoticeDaily, Counts: &enrich.CountsBody{}, Description: "in the last 24 hours"}, 100668, 3},
		{"change", enrich.Body{Notice: enrich.NoticeChanged, Changed: []string{"a"}, Description: "changed"}, 100668, 3},
		{"neither", enrich.Body{Value: "v"}, 100620, 0},
	}
	tests = append(tests, levels()...)
	all := rules(t, "rules/misp_rules.xml")
	reached := map[int]bool{100625: true, 100664: true, 100666: true, 100670: true, 100674: true} // only lead to others
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			body, err := enrich.Enrichment{Body: tt.body}.JSON()
			if err != nil {
				t.Fatal(err)
			}
			r := (&analysisd{rules: all}).take(event{"misp", body})
			if r == nil {
				t.Fatalf("no rule for %s", body)
			}
			reached[r.ID] = true
			if r.ID != tt.id || r.Level != tt.level {
				t.Errorf("rule %d of level %d, want %d of level %d, for %s", r.ID, r.Level, tt.id, tt.level, body)
			}
			if tt.body.Observable == nil && tt.body.Error == "" && tt.body.Recovered == "" {
				return // an event with less in it than the program sends
			}
			r.checkDescription(t, body)
		})
	}
	for _, r := range all {
		if !reached[r.ID] {
			t.Errorf("rule %d is never reached", r.ID)
		}
	}
	for _, other := range []string{"misp2", "virustotal"} {
		if r := (&analysisd{rules: all}).take(event{"misp", []byte(`{"integration":"` + other + `","misp":{"event_id":"1"}}`)}); r != nil {
			t.Errorf("rule %d takes an event of %s", r.ID, other)
		}
	}
}

// checkDescription reports fields that the description names and the event does not have.
func (r *rule) checkDescription(t *testing.T, body []byte) {
	t.Helper()
	for _, m := range regexp.MustCompile(`\$\(([^)]*)\)`).FindAllStringSubmatch(r.Description, -1) {
		if gjson.GetBytes(body, m[1]).String() == "" {
			t.Errorf("rule %d: the description names %s, which %s does not have", r.ID, m[1], body)
		}
	}
}

// TestMISPRulesOrigin checks that events of the program raise alerts, for every agent, and the same JSON in a log raises
// none.
func TestMISPRulesOrigin(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	send := func(t *testing.T, a enrich.Agent, plain bool) event {
		t.Helper()
		q := wazuh.Queue{Path: path, PlainHeader: plain}
		if err := q.Send(t.Context(), enrich.Enrichment{Agent: a, Body: hit(func(*enrich.Body) {})}); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 1<<16)
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		return asRead(t, string(buf[:n]), plain)
	}
	log := send(t, enrich.Agent{}, false).json

	tests := []struct {
		name     string
		agent    enrich.Agent
		location string // of a log; empty for an event that the program sends
		old      bool   // the expression for 4.0 takes it although it is a log
		want     int
	}{
		{name: "manager", want: 100622},
		{name: "manager by its id", agent: enrich.Agent{ID: "000", Name: "wazuh-manager", IP: "10.20.1.1"}, want: 100622},
		{name: "agent", agent: enrich.Agent{ID: "004", Name: "ws-07", IP: "10.20.4.7"}, want: 100622},
		{name: "agent without an address", agent: enrich.Agent{ID: "004", Name: "ws-07"}, want: 100622},
		{name: "agent with blanks, brackets and IPv6", agent: enrich.Agent{ID: "004", Name: "ws (old) [7]", IP: "fd00:20:4::2"}, want: 100622},
		{name: "agent with what ends the header", agent: enrich.Agent{ID: "004", Name: "a) 1.1.1.1->b|c:d", IP: "10.20.4.7 >)"}, want: 100622},
		{name: "agent with the name misp", agent: enrich.Agent{ID: "005", Name: "misp", IP: "10.20.4.8"}, want: 100622},
		{name: "log of the manager", location: "/var/log/app.json"},
		{name: "log of an agent", location: "(ws-07) 10.20.4.7->/var/log/app.json"},
		{name: "log of an agent with blanks, brackets and IPv6", location: "(ws (old) [7]) fd00:20:4::2->/var/log/app.json"},
		{name: "log of an agent with the name misp", location: "(misp) 10.20.4.8->/var/log/app.json"},
		{name: "log with the name misp", location: "/var/log/misp"},
		{name: "log of an agent with the name misp in it", location: "(ws-07) 10.20.4.7->/var/log/misp"},
		{name: "log whose name ends like ours", location: "/var/log/x->misp", old: true},
		{name: "log of an agent whose name ends like ours", location: "(ws-07) 10.20.4.7->/var/log/x->misp", old: true},
		{name: "log whose name is made like ours", location: "/var/log/(ws-07) 10.20.4.7->misp", old: true},
		{name: "log of an agent whose name is made like ours", location: "(ws-07) 10.20.4.7->/var/log/(ws-07) 10.20.4.7->misp", old: true},
		{name: "location in capitals", location: "MISP", old: true},
		{name: "another integration", location: "virustotal"},
		{name: "a longer name", location: "misp2"},
		{name: "a longer name of an agent", location: "(ws-07) 10.20.4.7->misp2"},
		{name: "syslog over the network", location: "10.20.9.1"},
		{name: "a blank", location: " "},
	}
	all := rules(t, "rules/misp_rules.xml")
	before41 := rulesBefore41(t, all)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e, plain := event{tt.location, log}, event{tt.location, log}
			if tt.location == "" {
				e, plain = send(t, tt.agent, false), send(t, tt.agent, true)
			}
			if got := idOf((&analysisd{rules: all}).take(e)); got != tt.want {
				t.Errorf("rule %d for the location %q, want %d", got, e.location, tt.want)
			}
			want := tt.want
			if tt.old {
				want = 100622
			}
			if got := idOf((&analysisd{rules: before41}).take(plain)); got != want {
				t.Errorf("rule %d for the location %q, want %d, with the expression for Wazuh 4.0", got, plain.location, want)
			}
		})
	}
}

func idOf(r *rule) int {
	if r == nil {
		return 0
	}
	return r.ID
}

// asRead splits a datagram as analysisd does: the header ends at the first colon without a bar before it, and the id of an
// agent is removed (contract wazuh.md, b).
func asRead(t *testing.T, datagram string, plain bool) event {
	t.Helper()
	header, body, ok := strings.Cut(datagram, ":{")
	header, local := strings.CutPrefix(header, "1:")
	if !ok || !local {
		t.Fatalf("datagram %q", datagram)
	}
	if !plain {
		header = strings.NewReplacer("||", "|", "|:", ":").Replace(header)
	}
	if _, after, ofAgent := strings.Cut(header, "] "); ofAgent {
		header = after
	}
	return event{header, []byte("{" + body)}
}

// rulesBefore41 replaces the location by the one that the comment in the file names for Wazuh 4.0.
func rulesBefore41(t *testing.T, all []rule) []rule {
	t.Helper()
	comment := regexp.MustCompile(`(?m)^    <location>(.*)</location>$`).FindAllSubmatch(read(t, "rules/misp_rules.xml"), -1)
	if len(comment) != 1 {
		t.Fatalf("%d lines for Wazuh 4.0 in the comment", len(comment))
	}
	old := slices.Clone(all)
	for i := range old {
		if old[i].Location != nil {
			old[i].Location = []text{{Pattern: string(comment[0][1])}}
		}
	}
	return old
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
