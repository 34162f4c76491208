package chaos

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// A fault is something that goes wrong for a while.
type fault struct {
	name string
	// lane is what it is about. Faults of one lane come one after the other, those of different lanes also together.
	lane        string
	least, most time.Duration
	// rare faults come less often than others of their lane.
	rare bool
	// off says why the fault is not in the default set; empty if it is.
	off string
	// begin makes the fault and returns what ends it; nil if nothing is to be ended.
	begin func(r *round, chance *rand.Rand) (end func())
}

// The lanes.
const (
	laneServe  = "serve"
	laneCalls  = "calls"
	laneDisk   = "disk"
	laneQueue  = "queue"
	laneMISP   = "misp"
	laneFeed   = "feed"
	laneAlerts = "alerts"
	laneConfig = "config"
	laneMirror = "mirror"
)

// faults are all faults. Those of one lane are equally likely, but for rare ones.
func faults() []fault {
	return slices.Concat(serveFaults(), diskFaults(), queueFaults(), mispFaults(), alertFaults(), configFaults(), mirrorFaults())
}

// selectFaults returns the faults that a list of names asks for.
func selectFaults(list string) ([]fault, error) {
	all := faults()
	wanted := map[string]bool{}
	for name := range strings.SplitSeq(list, ",") {
		name, leaveOut := strings.CutPrefix(strings.TrimSpace(name), "-")
		found := name == "" || name == "default" || name == "all"
		for _, f := range all {
			if f.name == name || name == "all" || name == "default" && f.off == "" {
				wanted[f.name] = !leaveOut
				found = true
			}
		}
		if !found {
			var names []string
			for _, f := range all {
				names = append(names, f.name)
			}
			return nil, fmt.Errorf("-faults: there is no %q; there are default, all, %s", name, strings.Join(names, ", "))
		}
	}
	return slices.DeleteFunc(all, func(f fault) bool { return !wanted[f.name] }), nil
}

// A step of a plan is one fault at a time.
type step struct {
	fault
	at, lasts time.Duration
	seed      uint64
}

// A plan is what happens in a round. It depends on the seed, the time and the faults alone.
type plan struct {
	seed   uint64
	time   time.Duration
	settle time.Duration // longest wait for what is still to come, once all faults have ended
	faults []fault
	steps  []step

	policy     string
	mode       mode
	start      string // of serve: end or beginning
	keyInArgs  bool   // address and key come from ossec.conf
	remember   time.Duration
	callsEvery time.Duration // pause between two calls, at most
}

// A mode is who works on alerts.
type mode string

// The modes.
const (
	modeBoth      mode = "serve follows alerts.json"
	modeSpool     mode = "serve, spool alone"
	modeCallsOnly mode = "calls alone"
)

// follows reports whether serve reads alerts.json.
func (p plan) follows() bool { return p.mode == modeBoth }

// has reports whether a fault may happen.
func (p plan) has(name string) bool {
	return slices.ContainsFunc(p.faults, func(f fault) bool { return f.name == name })
}

// makePlan makes the plan of a round.
func makePlan(seed uint64, duration time.Duration, allowed []fault) plan {
	chance := newChance(seed, 0)
	p := plan{seed: seed, time: duration, settle: 90 * time.Second, faults: allowed}
	p.policy = []string{"live", "mirror", "mirror-then-live"}[chance.IntN(3)]
	p.mode = []mode{modeBoth, modeBoth, modeBoth, modeSpool, modeCallsOnly}[chance.IntN(5)]
	p.start = []string{"end", "beginning"}[chance.IntN(2)]
	p.keyInArgs = chance.IntN(2) == 0
	p.remember = []time.Duration{time.Second, 10 * time.Minute}[chance.IntN(2)]
	p.callsEvery = []time.Duration{50 * time.Millisecond, 400 * time.Millisecond}[chance.IntN(2)]
	if !p.follows() { // what is not called for is not looked at
		p.callsEvery = 30 * time.Millisecond
	}
	lanes := map[string][]fault{}
	for _, f := range allowed {
		lanes[f.lane] = append(lanes[f.lane], f)
	}
	if p.mode == modeCallsOnly {
		delete(lanes, laneServe)
	}
	if p.policy == "live" {
		delete(lanes, laneMirror)
		delete(lanes, laneFeed)
	}
	for i, lane := range []string{laneServe, laneCalls, laneDisk, laneQueue, laneMISP, laneFeed, laneAlerts, laneConfig, laneMirror} {
		p.steps = append(p.steps, planLane(newChance(seed, uint64(i)+1), duration, lanes[lane])...) //nolint:gosec // a small number
	}
	slices.SortStableFunc(p.steps, func(a, b step) int { return cmp.Compare(a.at, b.at) })
	return p
}

// planLane plans the faults of one lane.
func planLane(chance *rand.Rand, duration time.Duration, of []fault) (steps []step) {
	if len(of) == 0 {
		return nil
	}
	pause := []time.Duration{2 * time.Second, 5 * time.Second, 12 * time.Second}[chance.IntN(3)]
	for at := time.Duration(0); ; {
		at += 100*time.Millisecond + between(chance, 0, min(pause, duration/2))
		f := of[chance.IntN(len(of))]
		if f.rare && chance.IntN(4) > 0 {
			f = of[chance.IntN(len(of))]
		}
		s := step{fault: f, at: at, lasts: between(chance, f.least, f.most), seed: chance.Uint64()}
		if at += s.lasts; at > duration {
			return steps
		}
		steps = append(steps, s)
	}
}

// newChance returns the random numbers of one purpose.
func newChance(seed, purpose uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, purpose)) }

// between returns a random time.
func between(chance *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(chance.Int64N(int64(most-least)+1))
}
