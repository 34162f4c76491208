package api

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/google/uuid"

	"custom-misp/engine/enrich"
	"custom-misp/misp"
)

// This file asks at endpoints whether they answer the user of the key. Nothing changes in MISP. Errors are [enrich.Trouble].

// ProbeEvents asks for one event of the list of all events, as [Client.Events] does.
func (c *Client) ProbeEvents(ctx context.Context) error {
	data, err := c.post(ctx, "events/index", []byte(`{"minimal":1,"limit":1,"page":1}`))
	if err != nil {
		return err
	}
	if _, err := decodeIndex(ctx, data, 1); err != nil {
		return c.indexTrouble(err, 1)
	}
	return nil
}

// ProbeWalk asks for the newest attribute, as a walk asks, and returns how many searches a walk over all of MISP takes, about:
// by the newest id, so that it is too many where attributes were deleted.
func (c *Client) ProbeWalk(ctx context.Context) (searches int, err error) {
	q := Reading{Deleted: true}.question()
	q.Limit, q.Page, q.Order = 1, 1, "Attribute.id desc"
	body, err := json.Marshal(q)
	if err != nil {
		return 0, fmt.Errorf("ask MISP: %w", err)
	}
	data, err := c.post(ctx, "attributes/restSearch", body)
	if err != nil {
		return 0, err
	}
	newest := 0
	_, err = decodeAnswer(ctx, data, func(a misp.Attribute, _ bool) error {
		newest, _ = strconv.Atoi(a.ID)
		return nil
	})
	if err != nil {
		return 0, c.searchTrouble(err)
	}
	return max(0, newest)/pageSize + 1, nil
}

// ProbeSighting reports a sighting of an attribute that does not exist, which MISP does not accept, but only from those who
// may add sightings.
func (c *Client) ProbeSighting(ctx context.Context) error {
	body, err := json.Marshal(map[string]string{"uuid": uuid.NewString(), "type": "0"})
	if err != nil {
		return fmt.Errorf("sighting: %w", err)
	}
	_, err = c.post(enrich.WithOneTry(ctx), "sightings/add", body)
	return err
}
