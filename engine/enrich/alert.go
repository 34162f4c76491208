package enrich

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/tidwall/gjson"
)

const (
	// MaxAlert is the longest alert that is read, in bytes. Wazuh itself hands over at most 65,535.
	MaxAlert = 1 << 20
	// maxDepth is how deep an alert may be nested; Wazuh's own JSON parser stops at 1,000.
	maxDepth = 1000
)

// An Alert is a Wazuh alert that is known to be one JSON object of reasonable size and depth.
type Alert struct {
	// JSON is the alert as it was read, without blanks around it.
	JSON []byte
	// Source is what an enrichment says of the alert that it belongs to.
	Source Source
	// Agent is the agent that the alert came from.
	Agent Agent
}

// A Source says which alert an enrichment belongs to, so that an analyst need not search for it. It is written into the
// event as it is.
type Source struct {
	AlertID         string            `json:"alert_id,omitempty"`
	Timestamp       string            `json:"timestamp,omitempty"` // as Wazuh wrote it
	RuleID          string            `json:"rule_id,omitempty"`
	RuleLevel       string            `json:"rule_level,omitempty"`
	RuleDescription string            `json:"rule_description,omitempty"`
	Location        string            `json:"location,omitempty"`
	Agent           *SourceAgent      `json:"agent,omitempty"`     // nil if the alert names none
	Agentless       *Agentless        `json:"agentless,omitempty"` // nil for an alert of an agent
	Context         map[string]string `json:"context,omitempty"`   // what the mapping wants to show
}

// A SourceAgent is the agent of the alert. Wazuh reports the event under its name too; this is for where it does not: events
// that are printed, and rules.
type SourceAgent struct {
	ID   string `json:"id,omitempty"` // 000 for the manager
	Name string `json:"name,omitempty"`
	IP   string `json:"ip,omitempty"`
}

// Agentless is the host that Wazuh watches without an agent. The alert is the manager's.
type Agentless struct {
	Host string `json:"host,omitempty"`
}

// An Agent is a Wazuh agent; ID is "000" or empty for the manager itself.
type Agent struct {
	ID, Name, IP string
}

// ParseAlert checks that data is an alert: one JSON object, at most [MaxAlert] bytes, nested at most 1,000 deep. It takes it in
// the shapes in which people hold alerts: Wazuh's line, with a rule or without as in archives.json; the document that the
// indexer has, with _source or without; the message of an active response; a document of Wazuh 5. Blanks, a newline and a
// byte order mark around it do not matter. It keeps data.
func ParseAlert(data []byte) (Alert, error) {
	data, err := alertIn(data)
	if err != nil {
		return Alert{}, err
	}
	return describe(data), nil
}

// Describe reads from an alert what events say of it. It does not check that it is one, see [ParseAlert].
func Describe(data []byte) Alert { return describe(data) }

// describe reads from an alert what events say of it.
func describe(data []byte) Alert {
	v := gjson.GetManyBytes(data, "rule", "id", "timestamp", "location", "agent.id", "agent.name", "agent.ip", "agentless.host")
	rule := v[0]
	a := Alert{
		JSON: data,
		Source: Source{
			AlertID: v[1].String(), Timestamp: v[2].String(), Location: v[3].String(),
			RuleID: rule.Get("id").String(), RuleLevel: rule.Get("level").String(),
			RuleDescription: rule.Get("description").String(),
		},
		Agent: Agent{ID: v[4].String(), Name: v[5].String(), IP: v[6].String()},
	}
	if w := gjson.GetBytes(data, "wazuh"); isDocument(w) {
		a.describeDocument(data, w)
	}
	if a.Agent != (Agent{}) {
		a.Source.Agent = new(SourceAgent(a.Agent))
	}
	if host := v[7].String(); host != "" {
		a.Source.Agentless = &Agentless{Host: host}
	}
	return a
}

// describeDocument reads it from a document of Wazuh 5, where w is its member wazuh.
func (a *Alert) describeDocument(data []byte, w gjson.Result) {
	v := w.Get("rule")
	a.Source.AlertID = cmp.Or(w.Get("event.id").String(), a.Source.AlertID)
	a.Source.Timestamp = gjson.GetBytes(data, "@timestamp").String()
	a.Source.Location = w.Get("protocol.location").String()
	a.Source.RuleID, a.Source.RuleLevel, a.Source.RuleDescription = v.Get("id").String(), v.Get("level").String(), v.Get("title").String()
	a.Agent = Agent{ID: w.Get("agent.id").String(), Name: w.Get("agent.name").String(), IP: w.Get("agent.host.ip.0").String()}
}

// alertIn returns the alert in one of the shapes of [ParseAlert].
func alertIn(data []byte) ([]byte, error) {
	data, err := checkObject(data)
	if err != nil {
		return nil, err
	}
	if gjson.GetBytes(data, "rule").IsObject() {
		return data, nil
	}
	for _, path := range []string{"_source", "parameters.alert"} {
		if v := gjson.GetBytes(data, path); v.IsObject() && isEvent(v) {
			return data[v.Index : v.Index+len(v.Raw)], nil
		}
	}
	if !isEvent(gjson.ParseBytes(data)) {
		return nil, errNoRule
	}
	return data, nil
}

var errNoRule = errors.New("a JSON object without a rule, not an alert")

// isEvent reports whether an object is an alert, an event without a rule, or a document of Wazuh 5.
func isEvent(v gjson.Result) bool {
	if v.Get("rule").IsObject() || isDocument(v.Get("wazuh")) {
		return true
	}
	if !v.Get("agent").IsObject() && !v.Get("manager").IsObject() {
		return false
	}
	return v.Get("data").IsObject() || v.Get("syscheck").IsObject() || v.Get("full_log").Type == gjson.String
}

// isDocument reports whether the member wazuh of an object makes it a document of Wazuh 5.
func isDocument(w gjson.Result) bool {
	return w.IsObject() && (w.Get("integration").IsObject() || w.Get("agent").IsObject() || w.Get("rule").IsObject())
}

// checkAlert returns the alert without what may be around it, or why it is not one of Wazuh's own lines.
func checkAlert(data []byte) ([]byte, error) {
	data, err := checkObject(data)
	if err != nil {
		return nil, err
	}
	if !gjson.GetBytes(data, "rule").IsObject() {
		return nil, errNoRule
	}
	return data, nil
}

// checkObject returns a JSON object of reasonable size and depth, without what may be around it, or why it is none.
func checkObject(data []byte) ([]byte, error) {
	data = bytes.TrimSpace(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")))
	switch {
	case len(data) == 0:
		return nil, errors.New("empty, not an alert")
	case len(data) > MaxAlert:
		return nil, fmt.Errorf("%d bytes, longer than an alert can be (%d)", len(data), MaxAlert)
	case bytes.HasPrefix(data, []byte("alertdate=")):
		return nil, errors.New("in Wazuh's old text format; add <alert_format>json</alert_format> to the <integration> block")
	}
	if TooDeep(data) {
		return nil, fmt.Errorf("nested more than %d deep, not an alert", maxDepth)
	}
	if err := checkJSON(data); err != nil {
		return nil, err
	}
	if data[0] != '{' {
		return nil, errors.New("JSON, but not an object, so not an alert")
	}
	return data, nil
}

// checkJSON returns nil for valid JSON. gjson is the fastest check, encoding/json has the best message.
func checkJSON(data []byte) error {
	if gjson.ValidBytes(data) {
		return nil
	}
	var v json.RawMessage
	err := json.Unmarshal(data, &v)
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		if e.Offset >= int64(len(data)) {
			return fmt.Errorf("not valid JSON: it ends after %d bytes in the middle of something", len(data))
		}
		return fmt.Errorf("not valid JSON at byte %d: %w", e.Offset, e)
	}
	return errors.New("not valid JSON")
}

// TooDeep reports whether a text is nested deeper than any alert. Check it before a parser that recurses.
func TooDeep(data []byte) bool {
	// Few texts have so many brackets at all, and counting them is cheap.
	return bytes.Count(data, []byte("{"))+bytes.Count(data, []byte("[")) > maxDepth && nesting(data) > maxDepth
}

// nesting returns how deep objects and arrays are nested, without following them: validators recurse.
func nesting(data []byte) int {
	depth, deepest := 0, 0
	inString := false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			depth++
			deepest = max(deepest, depth)
		case c == '}' || c == ']':
			depth--
		}
	}
	return deepest
}
