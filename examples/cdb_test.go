package examples_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// listRulesFile has the rules that custom-misp export cdb writes.
const listRulesFile = "../cmd/custom-misp/internal/export/cdb_rules.xml"

// stockRules are rules as Wazuh has them, as far as list rules could be in their way: failed logins over SSH and the rule that
// counts them, a file that was added, an alert of Suricata, and base events of Suricata and of Sysmon with rules below them.
func stockRules() []rule {
	field := func(name, regex string) []cond { return []cond{{name, regex}} }
	groups := func(names string) []string { return strings.Split(names, ",") }
	return []rule{
		{ID: 5700, Level: 0, Field: field("program", "^sshd$"), groups: groups("syslog,sshd")},
		{ID: 5760, Level: 5, IfSID: "5700", Field: field("status", "^failed$"), groups: groups("syslog,sshd,authentication_failed")},
		{
			ID: 5763, Level: 10, Frequency: 8, Timeframe: 120, IfMatchedSID: "5760", SameField: []string{"srcip"},
			groups: groups("syslog,sshd,authentication_failures"),
		},
		{ID: 554, Level: 5, Field: field("syscheck", "^added$"), groups: groups("ossec,syscheck")},
		{ID: 86600, Level: 0, Field: field("event_type", `\.+`), groups: groups("ids,suricata")},
		{ID: 86601, Level: 3, IfSID: "86600", Field: field("event_type", "^alert$"), groups: groups("ids,suricata")},
		{ID: 86602, Level: 0, IfSID: "86600", Field: field("event_type", "^http$"), groups: groups("ids,suricata")},
		{ID: 86603, Level: 0, IfSID: "86600", Field: field("event_type", "^dns$"), groups: groups("ids,suricata")},
		{ID: 86604, Level: 0, IfSID: "86600", Field: field("event_type", "^tls$"), groups: groups("ids,suricata")},
		{ID: 61600, Level: 0, Field: field("win.system.eventID", `\.+`), groups: groups("windows,sysmon")},
		{ID: 61605, Level: 0, IfSID: "61600", Field: field("win.system.eventID", "^3$"), groups: groups("windows,sysmon,sysmon_event3")},
		{ID: 61650, Level: 0, IfSID: "61600", Field: field("win.system.eventID", "^22$"), groups: groups("windows,sysmon,sysmon_event_22")},
		{ID: 92101, Level: 3, IfSID: "61605", Field: field("win.eventdata.image", "powershell"), groups: groups("windows,sysmon")},
		{ID: 92102, Level: 0, IfSID: "61650", Field: field("win.eventdata.image", "teams"), groups: groups("windows,sysmon")},
	}
}

// listed are the lists of a site.
var listed = map[string][]string{
	"etc/lists/misp-ip": {"192.31.196.7"}, "etc/lists/misp-domain": {"gate.bad-cdn.example"}, "etc/lists/misp-url": {}, "etc/lists/misp-hash": {}, "etc/lists/misp-email": {},
}

// raisedBy returns the rules that events raise alerts by, 0 for no alert, each ten seconds after the one before.
func raisedBy(all []rule, events ...string) []int {
	d := &analysisd{rules: all, lists: listed, now: time.Date(2026, 11, 1, 8, 0, 0, 0, time.UTC)}
	var ids []int
	for _, e := range events {
		r := d.take(event{"logs", []byte(e)})
		if r == nil || r.Level == 0 {
			ids = append(ids, 0)
		} else {
			ids = append(ids, r.ID)
		}
		d.now = d.now.Add(10 * time.Second)
	}
	return ids
}

// TestListRulesOnlyAdd checks that rules for lists take the place of no rule of Wazuh: 12 failed logins from an address on a list
// are reported as if there were no list, and every other event that raises an alert raises the same one.
func TestListRulesOnlyAdd(t *testing.T) {
	stock := stockRules()
	with := append(slices.Clone(stock), rules(t, listRulesFile)...)
	logins := slices.Repeat([]string{`{"program":"sshd","status":"failed","srcip":"192.31.196.7"}`}, 12)
	want := raisedBy(stock, logins...)
	if !slices.Contains(want, 5763) {
		t.Fatalf("without lists the logins raise %v", want)
	}
	if got := raisedBy(with, logins...); !slices.Equal(got, want) {
		t.Errorf("12 failed logins from a listed address raise %v, want %v", got, want)
	}
	for name, e := range map[string]string{
		"an added file":                     `{"syscheck":"added","md5":"x","srcip":"192.31.196.7"}`,
		"an alert of Suricata":              `{"event_type":"alert","src_ip":"192.31.196.7","dest_ip":"192.31.196.7"}`,
		"a connection that Wazuh reports":   `{"win":{"system":{"eventID":"3"},"eventdata":{"image":"powershell.exe","destinationIp":"192.31.196.7"}}}`,
		"a question that Wazuh passes over": `{"win":{"system":{"eventID":"22"},"eventdata":{"image":"teams.exe","queryName":"gate.bad-cdn.example"}}}`,
		"an address that is on no list":     `{"event_type":"http","src_ip":"192.31.196.8"}`,
	} {
		if got, want := raisedBy(with, e), raisedBy(stock, e); !slices.Equal(got, want) {
			t.Errorf("%s raises %v, without lists %v", name, got, want)
		}
	}
}

// TestListRulesAdd checks that events which raise no alert do, if a value of them is on a list.
func TestListRulesAdd(t *testing.T) {
	with := append(stockRules(), rules(t, listRulesFile)...)
	for e, want := range map[string]int{
		`{"event_type":"http","src_ip":"192.31.196.7"}`:                                        100684,
		`{"event_type":"tls","dest_ip":"192.31.196.7"}`:                                        100685,
		`{"event_type":"dns","dns":{"rrname":"gate.bad-cdn.example"}}`:                         100686,
		`{"event_type":"tls","tls":{"sni":"gate.bad-cdn.example"}}`:                            100687,
		`{"event_type":"http","http":{"hostname":"gate.bad-cdn.example"}}`:                     100688,
		`{"win":{"system":{"eventID":"3"},"eventdata":{"destinationIp":"192.31.196.7"}}}`:      100689,
		`{"win":{"system":{"eventID":"22"},"eventdata":{"queryName":"gate.bad-cdn.example"}}}`: 100690,
	} {
		if got := raisedBy(with, e); !slices.Equal(got, []int{want}) {
			t.Errorf("%s raises %v, want %d", e, got, want)
		}
	}
	for _, r := range rules(t, listRulesFile) {
		if slices.Contains(r.groups, "misp") || !slices.Contains(r.groups, "misp_list") {
			t.Errorf("rule %d has the groups %s", r.ID, fmt.Sprint(r.groups))
		}
	}
}
