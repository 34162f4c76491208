package lookback

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"time"

	"custom-misp/engine/enrich"
	"custom-misp/engine/history"
)

const (
	maxSummaryAgents = 50      // that a summary names
	maxSummaryKeys   = 100_000 // hits that it notes as reported; further ones are only counted
)

// A summary is hits without events of their own.
type summary struct {
	event  enrich.Enrichment // of the first of them
	more   int               // further ones
	agents []string
	keys   []uint64
	end    time.Time
}

// report sends the events about hits that were not reported before. In the order of the history, each indicator has events for
// the first agents, and then one summary; and so has all that a sync brought.
func (r *run) report(ctx context.Context, hits []hit) error {
	summaries := map[string]*summary{}
	var order []string
	for _, h := range hits {
		slices.SortStableFunc(h.matches, func(a, b enrich.Match) int { return cmp.Compare(a.Attribute.UUID, b.Attribute.UUID) })
		for _, agent := range agentsOf(h.entry) {
			fresh, keys := r.fresh(h, agent)
			lead := h.matches[0].Attribute.UUID
			r.used[lead]++
			if len(fresh) == 0 {
				r.spent++
				continue
			}
			e := r.event(h, agent, fresh)
			end := r.end(h.entry)
			switch {
			case r.used[lead] > MaxAgents && r.spent < r.o.Storm:
				s := summaries[lead]
				if s == nil {
					s = &summary{event: e, more: -1}
					summaries[lead], order = s, append(order, lead)
				}
				s.add(agent, keys, end)
			case r.spent >= r.o.Storm:
				if r.storm == nil {
					r.storm = &summary{event: e, more: -1}
				}
				r.storm.add(agent, keys, end)
			default:
				if err := r.sendOne(ctx, e, keys, end); err != nil {
					return err
				}
			}
		}
	}
	for _, lead := range order {
		if err := r.send(ctx, summaries[lead]); err != nil {
			return err
		}
	}
	return nil
}

// add counts a hit in a summary.
func (s *summary) add(agent history.Agent, keys []uint64, end time.Time) {
	s.more++
	if name := cmp.Or(agent.Name, agent.ID); name != "" && len(s.agents) < maxSummaryAgents && !slices.Contains(s.agents, name) {
		s.agents = append(s.agents, name)
	}
	if len(s.keys) < maxSummaryKeys {
		s.keys = append(s.keys, keys...)
	}
	if end.After(s.end) {
		s.end = end
	}
}

// send sends a summary; nil for none.
func (r *run) send(ctx context.Context, s *summary) error {
	if s == nil {
		return nil
	}
	if s.more > 0 {
		s.event.Summary(s.more, s.agents)
	}
	return r.sendOne(ctx, s.event, s.keys, s.end)
}

// sendOne sends an event, and then notes that it was sent.
func (r *run) sendOne(ctx context.Context, e enrich.Enrichment, keys []uint64, end time.Time) error {
	if err := r.o.Sink.Send(ctx, e); err != nil {
		return err
	}
	r.events, r.spent = r.events+1, r.spent+1
	r.note(func(s *Status) { s.Events++ })
	return r.reported.add(keys, end, r.o.Now())
}

// fresh returns the matches of a hit that were not reported on an agent, and the keys of these.
func (r *run) fresh(h hit, agent history.Agent) (fresh []enrich.Match, keys []uint64) {
	for _, m := range h.matches {
		a := m.Attribute
		of := cmp.Or(a.Event.UUID, a.UUID)
		key := hashOf(r.source, of, a.Type, a.Value, strconv.FormatBool(a.ToIDs), string(h.entry.Family), h.entry.Key, agent.ID, agent.Name)
		if !r.reported.has(key) && !slices.Contains(keys, key) {
			keys = append(keys, key)
			fresh = append(fresh, m)
		}
	}
	return fresh, keys
}

// agentsOf returns the agents that a value was seen on, that of the last alert first; one without a name if none are kept.
func agentsOf(e history.Entry) []history.Agent {
	last := e.Alert.Agent
	if last.ID == "" { // agents are only counted
		return []history.Agent{{}}
	}
	agents := []history.Agent{last}
	for _, a := range e.Agents {
		if a.ID != last.ID {
			agents = append(agents, a)
		}
	}
	return agents
}

// end is when the entry of a value leaves the history.
func (r *run) end(e history.Entry) time.Time {
	if r.o.Days == 0 {
		return e.Last.AddDate(100, 0, 0)
	}
	return e.Last.AddDate(0, 0, r.o.Days+1)
}

// event makes the event about a hit, in the name of an agent.
func (r *run) event(h hit, agent history.Agent, matches []enrich.Match) enrich.Enrichment {
	last := h.entry.Alert
	source := enrich.Source{AlertID: last.ID, RuleID: last.Rule, Timestamp: last.At.UTC().Format(time.RFC3339)}
	if last.Rule != "" {
		source.RuleLevel = strconv.Itoa(last.Level)
	}
	if last.Agent.ID != "" {
		source.Agent = &enrich.SourceAgent{ID: last.Agent.ID, Name: last.Agent.Name, IP: last.Agent.IP}
	}
	past := enrich.Past{Prevalence: enrich.Prevalence{First: h.entry.First, Last: h.entry.Last, Count: h.entry.Count, Agents: len(h.entry.Agents)}}
	for _, a := range h.entry.Agents {
		if a.ID != "" {
			past.AgentNames = append(past.AgentNames, cmp.Or(a.Name, a.ID))
		}
	}
	return r.site.Pipeline.Retrospective(enrich.Alert{Source: source, Agent: enrich.Agent(agent)}, matches, past)
}
