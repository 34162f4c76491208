package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"custom-misp/engine/enrich"
)

// Sight reports to MISP that the value of an attribute was seen. It names the attribute by its UUID, so that no other
// attribute with the same value gets a sighting. MISP answers some failures with status 200; success is an answer with
// the sighting in it. Errors are [enrich.Trouble].
func (c *Client) Sight(ctx context.Context, s enrich.Sighting) error {
	kind := "0"
	if s.FalsePositive {
		kind = "1"
	}
	body, err := json.Marshal(struct {
		UUID      string `json:"uuid"`
		Type      string `json:"type"` // 0: seen; 1: a false positive; 2 would be an expiration
		Source    string `json:"source"`
		Timestamp int64  `json:"timestamp"`
	}{s.UUID, kind, s.Source, s.Time.Unix()})
	if err != nil {
		return fmt.Errorf("sighting: %w", err)
	}
	data, err := c.post(enrich.WithOneTry(ctx), "sightings/add", body) // a second one after a lost answer would count twice
	if err != nil {
		return err
	}
	var answer struct {
		Sighting struct {
			ID loose `json:"id"`
		} `json:"Sighting"`
		Message loose `json:"message"`
	}
	if json.Unmarshal(data, &answer) == nil && answer.Sighting.ID != "" {
		return nil
	}
	said := ""
	if answer.Message != "" {
		said = ": " + shorten(string(answer.Message))
	}
	return c.trouble(enrich.CodeRejected, "did not accept a sighting of attribute "+s.UUID+said, "", errors.New("no Sighting in the answer"))
}
