package enrich

import (
	"slices"
	"strings"
)

// repeatsState is what the file holds.
type repeatsState struct {
	windows map[uint64]window
	bytes   int64 // of their events
	seen    [2]map[uint64]bool
}

// A window is what is known of a kind of hit, or of a value, since an event of it was sent.
type window struct {
	began  int64  // Unix time in nanoseconds
	hits   uint32 // that were counted since
	sent   uint32 // of a value: events
	size   uint32 // of the event of the first hit that was counted
	event  int64  // where it is in the file
	agents *[]string
}

// see notes that an alert is done.
func (s *repeatsState) see(alert uint64) {
	if alert == 0 {
		return
	}
	s.seen[0][alert] = true
	if len(s.seen[0]) >= dedupEntries {
		s.seen[1], s.seen[0] = s.seen[0], map[uint64]bool{}
	}
}

// open begins a window, and counts an event of a value.
func (s *repeatsState) open(r repeatsRecord) {
	s.close(r.key)
	s.windows[r.key] = window{began: r.time}
	if r.value != 0 {
		v := s.windows[r.value]
		if r.count > 0 {
			v = window{began: r.time}
		}
		v.sent++
		s.windows[r.value] = v
	}
	s.see(r.alert)
}

// hit counts a hit. at and size are where its event is, if it is the first.
func (s *repeatsState) hit(key, alert uint64, agent string, at int64, size int) {
	w := s.windows[key]
	if w.hits == 0 {
		w.event, w.size = at, uint32(size) //nolint:gosec // an event is bounded
		s.bytes += int64(size)
	}
	w.hits++
	if agent != "" {
		w.agents = addAgent(w.agents, agent)
	}
	s.windows[key] = w
	s.see(alert)
}

// addAgent adds a name to those of a storm.
func addAgent(agents *[]string, name string) *[]string {
	if agents == nil {
		agents = &[]string{}
	}
	if len(*agents) < maxStormAgents && !slices.Contains(*agents, name) {
		*agents = append(*agents, name)
	}
	return agents
}

// close ends a window.
func (s *repeatsState) close(key uint64) {
	s.bytes -= int64(s.windows[key].size)
	delete(s.windows, key)
}

// apply does what a record says.
func (s *repeatsState) apply(r repeatsRecord, at int64) {
	switch r.kind {
	case recordSent:
		s.open(r)
	case recordHit:
		s.hit(r.key, r.alert, r.agent, at, len(r.event))
	case recordClosed:
		s.close(r.key)
	case recordAlert:
		s.see(r.alert)
	case recordWindow:
		w := window{began: r.time, hits: r.count, sent: uint32(r.value), size: uint32(len(r.event)), event: at} //nolint:gosec // as it was written
		for name := range strings.SplitSeq(r.agent, "\n") {
			if name != "" {
				w.agents = addAgent(w.agents, name)
			}
		}
		s.bytes += int64(w.size)
		s.windows[r.key] = w
	}
}
