package chaos

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"custom-misp/misp/misptest"
)

// An alert is what the ledger knows of one.
type alert struct {
	id, value, agent string
	known            bool      // by a source that the policy asks
	liveOnly         bool      // known by MISP alone, while a mirror is asked first
	at               time.Time // as it says
	file             string    // that it was written to
	written          time.Time // as a whole
	excuse           string    // why no event is required; empty if one is
	call             *call     // nil if there was none
	events           []time.Time
}

// A call is one by integratord.
type call struct {
	began, ended time.Time
	code         int // -1 if it was killed
	killed       bool
	output       string
}

// endedByItself reports whether it was neither killed nor is still under way.
func (c *call) endedByItself() bool { return c != nil && !c.ended.IsZero() && !c.killed }

// returnedZero reports whether integratord takes the alert for done.
func (c *call) returnedZero() bool { return c != nil && !c.ended.IsZero() && c.code == 0 }

// A moment is something that happened.
type moment struct {
	at   time.Time
	what string
}

// A ledger records what was written, called, sent and broken, and judges in the end. It knows nothing from the program but
// its events and exit codes.
type ledger struct {
	follows    bool          // serve reads alerts.json
	passesOver bool          // what MISP alone knows may be passed over while it is unreachable
	failedToo  bool          // a call that failed has to report its alert as well
	callTime   time.Duration // of a call

	mu      sync.Mutex
	began   time.Time
	alerts  map[string]*alert
	order   []*alert
	moments []moment
	ends    []span      // of serve, by a kill or otherwise, from the signal; and of killed calls
	starts  []time.Time // of serve
	kills   int         // of serve and of calls
	errors  map[string]int
	damaged []string // events that are not what they should be
	wrong   []string // everything else that must not be
	stalls  []stall
	spoils  []span
}

// A stall is a time in which this machine did not let the test itself run.
type stall struct {
	at   time.Time
	long time.Duration
}

func newLedger() *ledger {
	return &ledger{callTime: callTime, began: time.Now(), alerts: map[string]*alert{}, errors: map[string]int{}}
}

// note records a moment.
func (l *ledger) note(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.moments = append(l.moments, moment{time.Now(), fmt.Sprintf(format, args...)})
}

// started records a start of serve.
func (l *ledger) started(pid int) {
	l.note("serve begins, pid %d", pid)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.starts = append(l.starts, time.Now())
}

// forgetStarts forgets the starts before the first alert: they explain nothing.
func (l *ledger) forgetStarts() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.starts = nil
}

// ended records an end of serve. told is when it was told to end; zero if it ended by itself.
func (l *ledger) ended(killed bool, told time.Time, format string, args ...any) {
	l.note(format, args...)
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if told.IsZero() {
		told = now
	}
	l.ends = append(l.ends, span{told, now})
	if killed {
		l.kills++
	}
}

// fail records what must not be.
func (l *ledger) fail(format string, args ...any) {
	l.note("WRONG: "+format, args...)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wrong = append(l.wrong, fmt.Sprintf(format, args...))
}

// write records an alert that is about to be written as a whole.
func (l *ledger) write(a *alert) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a.written = time.Now()
	l.alerts[a.id] = a
	l.order = append(l.order, a)
}

// excuse excuses all alerts of a file that have no event and no call that returned 0.
func (l *ledger) excuse(file, why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.order {
		if a.file == file && len(a.events) == 0 && !a.call.returnedZero() {
			a.excuse = why
		}
	}
}

// calls records the begin of a call.
func (l *ledger) calls(a *alert) *call {
	l.mu.Lock()
	defer l.mu.Unlock()
	a.call = &call{began: time.Now()}
	return a.call
}

// called records the end of a call.
func (l *ledger) called(c *call, code int, killed bool, output string) {
	l.mu.Lock()
	c.ended, c.code, c.killed, c.output = time.Now(), code, killed, output
	if killed {
		l.kills++
		l.ends = append(l.ends, span{c.ended, c.ended}) // it may have been working on what others queued
	}
	took, allowed := c.ended.Sub(c.began), l.callTime+500*time.Millisecond+2*l.stalled(c.began, c.ended)
	l.mu.Unlock()
	if took > allowed {
		l.fail("a call took %s, its time is %s", took.Round(time.Millisecond), l.callTime)
	}
	l.inspect("a call", output)
}

// stalled returns how long this machine stood still in a time. The caller holds mu.
func (l *ledger) stalled(from, to time.Time) (sum time.Duration) {
	for _, s := range slices.Backward(l.stalls) {
		if s.at.Before(from) {
			break
		}
		if s.at.Before(to.Add(s.long)) {
			sum += s.long
		}
	}
	return sum
}

// stallsIn is stalled for others.
func (l *ledger) stallsIn(from, to time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stalled(from, to)
}

// watchStalls measures until stop is closed.
func (l *ledger) watchStalls(stop <-chan struct{}) {
	const every = 20 * time.Millisecond
	for last := time.Now(); ; {
		select {
		case <-stop:
			return
		case <-time.After(every):
		}
		now := time.Now()
		if over := now.Sub(last) - every; over > every {
			l.mu.Lock()
			l.stalls = append(l.stalls, stall{now, over})
			l.mu.Unlock()
		}
		last = now
	}
}

// event is what the ledger reads of an event.
type event struct {
	Integration string
	MISP        struct {
		Error, Recovered, Notice, Description string
		Observable                            *struct{ Value string }
		Source                                struct {
			AlertID string `json:"alert_id"`
		}
	}
}

// take records a datagram that analysisd got.
func (l *ledger) take(datagram []byte) {
	l.inspect("an event", string(datagram))
	header, body, ok := strings.Cut(string(datagram), ":{")
	var e event
	err := json.Unmarshal([]byte("{"+body), &e)
	l.mu.Lock()
	defer l.mu.Unlock()
	m := e.MISP
	a := l.alerts[m.Source.AlertID]
	switch {
	case !ok || err != nil || e.Integration != "misp":
		l.damaged = append(l.damaged, fmt.Sprintf("no event: %q", datagram))
	case m.Notice != "":
		l.errors["notice "+m.Notice]++
	case m.Error != "" || m.Recovered != "":
		l.errors[strings.TrimSpace(m.Error+" "+m.Recovered)]++
		l.moments = append(l.moments, moment{time.Now(), fmt.Sprintf("event: error %q, recovered %q: %s", m.Error, m.Recovered, m.Description)})
	case a == nil || m.Observable == nil || m.Observable.Value != a.value || !strings.HasPrefix(header, "1:["+a.agent+"] "):
		l.damaged = append(l.damaged, fmt.Sprintf("not of an alert that was written: %q", datagram))
	default:
		a.events = append(a.events, time.Now())
	}
}

// inspect looks for what must not be in anything that the program writes.
func (l *ledger) inspect(what, text string) {
	if strings.Contains(text, misptest.Key) {
		l.fail("the key of MISP is in %s: %.300q", what, text)
	}
	for _, sign := range []string{"panic: ", "fatal error: ", "SIGBUS", "SIGSEGV", "DATA RACE"} {
		if at := strings.Index(text, sign); at >= 0 {
			l.fail("%s in %s: %.3000s", strings.TrimSuffix(sign, ": "), what, text[at:])
			return
		}
	}
}

// requires reports whether an alert has to have an event. The caller holds mu.
func (l *ledger) requires(a *alert) bool {
	passedOver := a.liveOnly && l.passesOver
	called := a.call.returnedZero() || l.failedToo && a.call.endedByItself()
	return a.known && !passedOver && (called || l.follows && a.excuse == "")
}

// missing returns the alerts that still lack an event.
func (l *ledger) missing() (list []*alert) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.order {
		if l.requires(a) && len(a.events) == 0 {
			list = append(list, a)
		}
	}
	return list
}

// A verdict is what came of a round.
type verdict struct {
	Alerts, Known, Required       int
	Excused                       int // known, without an event, and not required
	Calls, Failed, Killed, Events int
	Lost                          []*alert
	Twice                         int      // events too many that a kill or a start of serve explains
	Unexplained                   []*alert // with more of them
	Unknown                       []*alert // with an event and no indicator
}

// judge counts.
func (l *ledger) judge() (v verdict) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.order {
		v.Alerts++
		v.Events += len(a.events)
		if c := a.call; c != nil {
			v.Calls++
			switch {
			case c.killed:
				v.Killed++
			case c.code != 0:
				v.Failed++
			}
		}
		if !a.known {
			if len(a.events) > 0 {
				v.Unknown = append(v.Unknown, a)
			}
			continue
		}
		v.Known++
		switch {
		case l.requires(a):
			v.Required++
			if len(a.events) == 0 {
				v.Lost = append(v.Lost, a)
			}
		case len(a.events) == 0:
			v.Excused++
		}
		explained, all := l.explained(a)
		v.Twice += explained
		if !all {
			v.Unexplained = append(v.Unexplained, a)
		}
	}
	return v
}

// inFlight is how long after its event an alert may still be on its way: until what was done is on the disk.
const inFlight = 5 * time.Second

// startTime is how long serve may take from its start until calls see that it runs.
const startTime = time.Second

// explained counts the events of an alert beyond the first, and reports whether each has its reason: while the alert was on
// its way, serve ended or a call was killed, or serve began while its call did the job, or the call did it since the spool took
// nothing. An alert is on its way from the moment when it
// is written until inFlight after its event, and longer if the disk of the state was full or its files were damaged. Each such
// end or start explains one event. The caller holds mu.
func (l *ledger) explained(a *alert) (n int, all bool) {
	all = true
	used := map[span]bool{}
	reasons := slices.Clone(l.ends)
	if c := a.call; c != nil {
		for _, at := range l.starts {
			if at.After(c.began.Add(-startTime)) && at.Before(c.ended) {
				reasons = append(reasons, span{at, at})
			}
		}
		if l.follows && l.spoiled(c.began, c.ended) { // the spool took nothing, and the call did the job beside serve
			reasons = append(reasons, span{c.began, c.began})
		}
	}
	for i := 1; i < len(a.events); i++ {
		before, again := a.events[i-1], a.events[i]
		at := slices.IndexFunc(reasons, func(r span) bool {
			return !used[r] && r.to.After(a.written.Add(-startTime)) && r.from.Before(again) &&
				(r.from.Before(before.Add(inFlight)) || l.spoiled(before, r.from))
		})
		if at < 0 {
			all = false
			continue
		}
		used[reasons[at]] = true
		n++
	}
	return n, all
}

// A span is a time in which the state directory was full or damaged.
type span struct{ from, to time.Time }

// spoil records such a time, which ends with the function that it returns.
func (l *ledger) spoil() (end func()) {
	from := time.Now()
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.spoils = append(l.spoils, span{from, time.Now()})
	}
}

// spoiled reports whether there was such a time shortly before or between two moments. The caller holds mu.
func (l *ledger) spoiled(from, to time.Time) bool {
	return slices.ContainsFunc(l.spoils, func(s span) bool { return s.to.After(from.Add(-inFlight)) && s.from.Before(to) })
}
