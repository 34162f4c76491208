package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"custom-misp/engine/yamlfile"
)

// An AlertCondition is an expression over an alert, like match in a mapping. It is immutable and safe for concurrent use.
type AlertCondition struct {
	engine  *Engine
	mapping *mapping
}

// NewAlertCondition compiles an expression. The error says what is wrong with it, and what to do.
func NewAlertCondition(expression string) (*AlertCondition, error) {
	quoted, err := json.Marshal(expression) // also a text of YAML
	if err != nil {
		return nil, err
	}
	const id = "condition"
	e, err := Load(Source{Name: "expression", Data: fmt.Appendf(nil, "version: 1\nmappings: [{id: %s, match: %s, pick: [{path: id, type: text}]}]\n", id, quoted)})
	if faults, ok := err.(yamlfile.Faults); ok && len(faults) > 0 { //nolint:errorlint // as Load returns it
		message := strings.TrimPrefix(faults[0].Message, "match: ")
		if faults[0].Remedy != "" {
			message += "; " + faults[0].Remedy
		}
		return nil, errors.New(message)
	}
	if err != nil {
		return nil, err
	}
	return &AlertCondition{e, e.byID[id].whole()}, nil
}

// Holds reports whether the condition is true for an alert. An error says that the expression failed on it.
func (c *AlertCondition) Holds(alert []byte) (bool, error) {
	r := c.engine.takeRun()
	defer c.engine.runs.Put(r)
	defer r.release()
	r.read(string(alert))
	return r.eval(c.mapping.match)
}
