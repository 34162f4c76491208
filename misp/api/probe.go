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
	if _, err := decodeIndex(ctx, data); err != nil {
		return c.indexTrouble(err)
	}
	return nil
}

// ProbeWalk asks for the newest attribute, as a walk asks, and returns how many searches a walk over all of MISP takes, about:
// by the newest id, so that it is too many where attributes were deleted.
func (c *Client) ProbeWalk(ctx context.Context) (searches int, err error) {
	q := Walk{}.question()
	q.Limit, q.Order = 1, "Attribute.id desc"
	newest := 0
	_, _, err = c.page(ctx, q, func(a misp.Attribute, _ bool) error {
		newest, _ = strconv.Atoi(a.ID)
		return nil
	})
	return max(0, newest)/pageSize + 1, err
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
