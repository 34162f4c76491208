package chaos

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"custom-misp/misp/misptest"
)

// TestLedger proves that the ledger says no: each of these rounds has one thing wrong, or nothing.
func TestLedger(t *testing.T) {
	t.Parallel()
	ms := func(n int) time.Time { return time.Unix(1_800_000_000, 0).Add(time.Duration(n) * time.Millisecond) }
	tests := []struct {
		name   string
		ledger *ledger
		alert  alert
		want   string // what is wrong, and the events that are explained
	}{
		{"reported", &ledger{follows: true}, alert{known: true, events: []time.Time{ms(0)}}, ""},
		{"lost behind serve", &ledger{follows: true}, alert{known: true}, "lost"},
		{"lost behind a call", &ledger{}, alert{known: true, call: &call{ended: ms(1)}}, "lost"},
		{"a failed call, and serve does not read", &ledger{}, alert{known: true, call: &call{ended: ms(1), code: 1}}, ""},
		{"a killed call, and serve does not read", &ledger{}, alert{known: true, call: &call{ended: ms(1), code: -1, killed: true}}, ""},
		{"a failed call that has to report", &ledger{failedToo: true}, alert{known: true, call: &call{ended: ms(1), code: 1}}, "lost"},
		{"a killed call, where failed ones have to report", &ledger{failedToo: true}, alert{known: true, call: &call{ended: ms(1), code: -1, killed: true}}, ""},
		{"truncated away", &ledger{follows: true}, alert{known: true, excuse: "truncated"}, ""},
		{"truncated away behind a call", &ledger{follows: true}, alert{known: true, excuse: "truncated", call: &call{ended: ms(1)}}, "lost"},
		{"passed over", &ledger{follows: true, passesOver: true}, alert{known: true, liveOnly: true}, ""},
		{"passed over and wanted", &ledger{follows: true}, alert{known: true, liveOnly: true}, "lost"},
		{"unknown", &ledger{follows: true}, alert{}, ""},
		{"unknown with an event", &ledger{follows: true}, alert{events: []time.Time{ms(0)}}, "unknown"},
		{"twice", &ledger{}, alert{known: true, events: []time.Time{ms(0), ms(9000)}}, "unexplained"},
		{"twice, a kill while it was on its way", &ledger{ends: []span{{ms(100), ms(100)}}}, alert{known: true, events: []time.Time{ms(0), ms(9000)}}, "1 explained"},
		{"twice, a kill long before, while it waited", &ledger{ends: []span{{ms(1000), ms(1000)}}}, alert{known: true, events: []time.Time{ms(60_000), ms(60_100)}}, "1 explained"},
		{"twice, a kill before it was written", &ledger{ends: []span{{ms(-2000), ms(-2000)}}}, alert{known: true, events: []time.Time{ms(100), ms(200)}}, "unexplained"},
		{"twice, serve was ending meanwhile", &ledger{ends: []span{{ms(50), ms(900)}}}, alert{known: true, events: []time.Time{ms(100), ms(200)}}, "1 explained"},
		{"twice, a kill long after", &ledger{ends: []span{{ms(8000), ms(8000)}}}, alert{known: true, events: []time.Time{ms(0), ms(9000)}}, "unexplained"},
		{
			"twice, a kill long after and a full disk before it",
			&ledger{ends: []span{{ms(8000), ms(8000)}}, spoils: []span{{ms(1000), ms(2000)}}},
			alert{known: true, events: []time.Time{ms(0), ms(9000)}},
			"1 explained",
		},
		{"twice, serve began", &ledger{starts: []time.Time{ms(100)}}, alert{known: true, events: []time.Time{ms(0), ms(200)}}, "unexplained"},
		{
			"twice, serve began during its call",
			&ledger{starts: []time.Time{ms(100)}},
			alert{known: true, call: &call{began: ms(0), ended: ms(300)}, events: []time.Time{ms(150), ms(200)}},
			"1 explained",
		},
		{
			"twice, the disk was full during its call",
			&ledger{follows: true, spoils: []span{{ms(0), ms(9000)}}},
			alert{known: true, call: &call{began: ms(100), ended: ms(300)}, events: []time.Time{ms(150), ms(200)}},
			"1 explained",
		},
		{
			"three times, the disk was full during its call",
			&ledger{follows: true, spoils: []span{{ms(0), ms(9000)}}},
			alert{known: true, call: &call{began: ms(100), ended: ms(300)}, events: []time.Time{ms(150), ms(200), ms(250)}},
			"unexplained, 1 explained",
		},
		{
			"twice, serve began after its call",
			&ledger{starts: []time.Time{ms(400)}},
			alert{known: true, call: &call{began: ms(0), ended: ms(300)}, events: []time.Time{ms(150), ms(500)}},
			"unexplained",
		},
		{"three times, one kill", &ledger{ends: []span{{ms(100), ms(100)}}}, alert{known: true, events: []time.Time{ms(0), ms(200), ms(300)}}, "unexplained, 1 explained"},
	}
	for _, tt := range tests {
		tt.ledger.callTime = callTime
		tt.alert.written = ms(0)
		tt.ledger.order = []*alert{&tt.alert}
		v := tt.ledger.judge()
		var got []string
		for what, n := range map[string]int{"lost": len(v.Lost), "unknown": len(v.Unknown), "unexplained": len(v.Unexplained)} {
			if n > 0 {
				got = append(got, what)
			}
		}
		if v.Twice > 0 {
			got = append(got, fmt.Sprintf("%d explained", v.Twice))
		}
		if s := strings.Join(got, ", "); s != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, s, tt.want)
		}
	}
}

// TestLedgerTakes gives the ledger events and outputs that must not be.
func TestLedgerTakes(t *testing.T) {
	t.Parallel()
	const right = `1:[004] (ws-004) 10.20.4.7->misp:{"integration":"misp","misp":{"value":"k","observable":{"value":"k.example"},"source":{"alert_id":"1.2"}}}`
	tests := []struct{ name, datagram, want string }{
		{"right", right, ""},
		{"a notice", `1:misp:{"integration":"misp","misp":{"notice":"changed","description":"x"}}`, ""},
		{"of another agent", strings.Replace(right, "[004]", "[005]", 1), "not of an alert"},
		{"of another value", strings.Replace(right, "k.example", "l.example", 1), "not of an alert"},
		{"of another alert", strings.Replace(right, "1.2", "1.3", 1), "not of an alert"},
		{"cut", right[:len(right)-5], "no event"},
		{"of another integration", strings.Replace(right, `"misp",`, `"mist",`, 1), "no event"},
		{"with the key", strings.Replace(right, `"k"`, `"`+misptest.Key+`"`, 1), "the key of MISP"},
		{"with a panic", strings.Replace(right, `"k"`, `"panic: x"`, 1), "panic in an event"},
	}
	for _, tt := range tests {
		l := newLedger()
		a := &alert{id: "1.2", value: "k.example", agent: "004", known: true}
		l.write(a)
		l.take([]byte(tt.datagram))
		got := strings.Join(append(l.damaged, l.wrong...), "; ")
		if (tt.want == "") != (got == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
		if tt.want == "" && len(a.events)+l.errors["notice changed"] != 1 {
			t.Errorf("%s: %d events", tt.name, len(a.events))
		}
	}
	l := newLedger()
	l.called(l.calls(&alert{}), -1, true, "")
	if len(l.ends) != 1 || l.kills != 1 || len(l.wrong) > 0 {
		t.Errorf("a killed call: %d ends, %d kills, %q", len(l.ends), l.kills, l.wrong)
	}
	c := l.calls(&alert{})
	c.began = time.Now().Add(-callTime - 600*time.Millisecond)
	if l.called(c, 0, false, ""); len(l.wrong) != 1 {
		t.Errorf("a call that took too long: %q", l.wrong)
	}
}

// TestRoundFindsLoss runs a round without faults, in which analysisd drops one event and takes another one twice.
func TestRoundFindsLoss(t *testing.T) {
	p := makePlan(1, time.Second, nil)
	p.mode, p.policy, p.start, p.settle = modeBoth, "live", "end", 2*time.Second
	var dropped, twice string
	r := newRound(t, p)
	r.spoilt = func(datagram []byte) (times int) {
		_, rest, _ := strings.Cut(string(datagram), `"alert_id":"`)
		id, _, _ := strings.Cut(rest, `"`)
		switch {
		case id == "":
			return 1
		case dropped == "" || dropped == id:
			dropped = id
			return 0
		case twice == "":
			twice = id
			return 2
		}
		return 1
	}
	r.run()
	r.finish()
	v := r.judge()
	if len(v.Lost) != 1 || v.Lost[0].id != dropped || len(v.Unexplained) != 1 || v.Unexplained[0].id != twice || len(v.Unknown) > 0 || len(r.wrong)+len(r.damaged) > 0 {
		t.Errorf("lost %d, not explained %d, unknown %d, wrong %q %q; %d alerts, %d events", len(v.Lost), len(v.Unexplained), len(v.Unknown), r.wrong, r.damaged, v.Alerts, v.Events)
	}
	if h := r.history(v.Lost[0]); !strings.Contains(h, "the alert is written") || !strings.Contains(h, "ossec-alerts-05.json") {
		t.Errorf("history:\n%s", h)
	}
}

// TestSelectFaults checks the words of -faults.
func TestSelectFaults(t *testing.T) {
	t.Parallel()
	names := func(list string) string {
		selected, err := selectFaults(list)
		if err != nil {
			return err.Error()
		}
		var s []string
		for _, f := range selected {
			s = append(s, f.name)
		}
		return strings.Join(s, ",")
	}
	if got := names("disk,kill"); got != "kill,disk" {
		t.Errorf("two names: %s", got)
	}
	if got, byDefault := names("default,-kill,copytruncate"), names("default"); got != strings.Replace(strings.TrimPrefix(byDefault, "kill,"), "truncate,", "truncate,copytruncate,", 1) || got == byDefault {
		t.Errorf("one less, one more: %s", got)
	}
	if got := names("all"); !strings.Contains(got, "copytruncate") || strings.Contains(names("default"), "copytruncate") {
		t.Errorf("all: %s", got)
	}
	if got := names("disc"); !strings.Contains(got, `no "disc"`) || !strings.Contains(got, "inodes") {
		t.Errorf("a wrong name: %s", got)
	}
}

// TestPlan checks that a plan depends on the seed alone, and that modes and policies all come.
func TestPlan(t *testing.T) {
	t.Parallel()
	describe := func(p plan) string {
		s := fmt.Sprint(p.policy, p.mode, p.start, p.keyInArgs, p.remember, p.callsEvery)
		for _, f := range p.steps {
			s += fmt.Sprint(" ", f.name, f.at, f.lasts, f.seed)
		}
		return s
	}
	seen, steps := map[string]bool{}, 0
	for seed := range uint64(150) {
		p := makePlan(seed, 20*time.Second, faults())
		if describe(p) != describe(makePlan(seed, 20*time.Second, faults())) {
			t.Fatalf("seed %d makes two plans", seed)
		}
		seen[p.policy+" "+string(p.mode)] = true
		steps += len(p.steps)
	}
	if len(seen) != 9 || steps < 150*15 {
		t.Errorf("policies and modes: %v; %d faults", seen, steps)
	}
}
