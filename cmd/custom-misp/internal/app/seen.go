package app

import (
	"context"
	"time"

	"custom-misp/engine"
	"custom-misp/engine/history"
)

// A SeenAnswer says what the history knows of what a person asks for. Its JSON is a promise to scripts.
type SeenAnswer struct {
	Query  string      `json:"query"`
	Values []SeenValue `json:"values"`
	// More says that there are further values.
	More bool `json:"more"`
}

// A SeenValue is what was seen of one value.
type SeenValue struct {
	Type      engine.Family `json:"type"` // the family that it is compared in
	Value     string        `json:"value"`
	FirstSeen time.Time     `json:"first_seen"`
	LastSeen  time.Time     `json:"last_seen"`
	Count     int64         `json:"count"` // alerts
	Days      int           `json:"days"`
	// AgentCount is on how many agents, and MoreAgents that there were more.
	AgentCount int             `json:"agent_count"`
	MoreAgents bool            `json:"more_agents,omitempty"`
	Agents     []history.Agent `json:"agents"`
	Mappings   []string        `json:"mappings"`
	// URLHost says that it was seen as the host of a URL, Itself that it was seen as it is.
	Itself    bool      `json:"itself"`
	URLHost   bool      `json:"url_host"`
	LastAlert SeenAlert `json:"last_alert"`
}

// A SeenAlert is the last alert that a value was seen in.
type SeenAlert struct {
	ID        string        `json:"id,omitempty"`
	RuleID    string        `json:"rule_id,omitempty"`
	RuleLevel int           `json:"rule_level,omitempty"`
	File      string        `json:"file,omitempty"`
	Offset    int64         `json:"offset"` // where it begins there, in uncompressed bytes
	Agent     history.Agent `json:"agent"`
}

// NewSeenValue returns an entry as people and scripts see it.
func NewSeenValue(e history.Entry) SeenValue {
	a := e.Alert
	return SeenValue{
		Type: e.Family, Value: e.Key, FirstSeen: e.First, LastSeen: e.Last, Count: e.Count, Days: e.Days, AgentCount: len(e.Agents),
		MoreAgents: e.MoreAgents, Agents: append([]history.Agent{}, e.Agents...), Mappings: append([]string{}, e.Mappings...),
		Itself: e.Itself, URLHost: e.URLHost,
		LastAlert: SeenAlert{ID: a.ID, RuleID: a.Rule, RuleLevel: a.Level, File: a.File, Offset: a.Offset, Agent: a.Agent},
	}
}

// AnswerSeen asks a history for a value, a network or a domain; most bounds the values.
func AnswerSeen(ctx context.Context, v *history.View, text string, most int) (SeenAnswer, error) {
	answer := SeenAnswer{Query: text, Values: []SeenValue{}}
	queries, err := history.ParseQuery(text)
	if err != nil {
		return answer, err
	}
	for _, q := range queries {
		list, more, err := v.Find(ctx, q, most-len(answer.Values))
		if err != nil {
			return answer, err
		}
		for _, e := range list {
			answer.Values = append(answer.Values, NewSeenValue(e))
		}
		answer.More = answer.More || more
	}
	return answer, nil
}
