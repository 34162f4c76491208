package enrich

import (
	"fmt"
	"strconv"
)

// A Past is what was seen of a value before it was known.
type Past struct {
	Prevalence
	// AgentNames are those that it was seen on, as far as they are kept.
	AgentNames []string
}

// Retrospective returns the event about a value that was seen before it was known: what matches it, and the alert that it was
// seen in last. It belongs to the agent of a, which need not be that of the alert. The matches are of one value.
func (p *Pipeline) Retrospective(a Alert, matches []Match, past Past) Enrichment {
	e := p.enrichment(a, matches[0].Observable, matches)
	e.Body.MatchMode = ModeRetrospective
	e.Body.History = past.body()
	e.Body.History.Agents = past.AgentNames
	e.Body.Padded.HistoryCount, e.Body.Padded.HistoryAgentCount = fmt.Sprintf("%08d", past.Count), fmt.Sprintf("%05d", past.Agents)
	e.Late = ModeRetrospective + " " + e.Body.UUID
	return e
}

// Summary makes an event that stands for more hits of its kind, on further agents.
func (e *Enrichment) Summary(more int, agents []string) {
	e.Body.Repeats, e.Body.Padded.Repeats = strconv.Itoa(more), fmt.Sprintf("%08d", more)
	e.Body.Agents = agents
	e.Late += " summary"
}
