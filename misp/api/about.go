package api

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"custom-misp/engine/enrich"
)

// About is what MISP says of itself and of the user of the key.
type About struct {
	// Version of MISP, like "2.5.1".
	Version string
	// Sighting says whether the user may add sightings.
	Sighting bool
	// Role is the role of the user; nil if MISP does not say.
	Role *Role
	// Date is MISP's clock when it answered, to the second; zero if the answer has no date.
	Date time.Time
}

// Role is what a role of MISP allows.
type Role struct {
	// Name as MISP's administrators gave it.
	Name string
	// Auth is the right to use the API.
	Auth bool
	// Sighting is the right to add sightings, which a read-only key does not have, whatever its user's role: see [About].
	Sighting bool
	// Change says whether it allows more than reading and adding sightings: to add, change or publish events, or
	// to administer.
	Change bool
	// RateLimit is how many searches all keys of the user may make in 15 minutes together; -1 for no limit.
	RateLimit int
}

// About asks MISP for its version and for what the key may do. Errors are [enrich.Trouble]. It is not an error if MISP
// does not say which role it is.
func (c *Client) About(ctx context.Context) (About, error) {
	data, header, err := c.do(ctx, http.MethodGet, "servers/getVersion", nil)
	if err != nil {
		return About{}, err
	}
	var version struct {
		Version  loose     `json:"version"`
		Sighting looseFlag `json:"perm_sighting"`
	}
	if err := json.Unmarshal(data, &version); err != nil || version.Version == "" {
		return About{}, c.trouble(enrich.CodeBadAnswer, "answered without a version", "is misp.url the address of MISP itself?", err)
	}
	a := About{Version: shorten(string(version.Version)), Sighting: bool(version.Sighting)}
	if date, err := http.ParseTime(header.Get("Date")); err == nil {
		a.Date = date
	}
	a.Role = c.role(ctx)
	return a, nil
}

// role returns the role of the key's user, nil if MISP does not say.
func (c *Client) role(ctx context.Context) *Role {
	data, _, err := c.do(ctx, http.MethodGet, "users/view/me", nil)
	if err != nil {
		return nil
	}
	var user struct {
		Role *struct {
			Name      loose     `json:"name"`
			Auth      looseFlag `json:"perm_auth"`
			Sighting  looseFlag `json:"perm_sighting"`
			Add       looseFlag `json:"perm_add"`
			Modify    looseFlag `json:"perm_modify"`
			Publish   looseFlag `json:"perm_publish"`
			Admin     looseFlag `json:"perm_admin"`
			SiteAdmin looseFlag `json:"perm_site_admin"`
			Limited   looseFlag `json:"enforce_rate_limit"`
			Limit     loose     `json:"rate_limit_count"`
		} `json:"Role"`
	}
	if err := json.Unmarshal(data, &user); err != nil || user.Role == nil {
		return nil
	}
	r := user.Role
	role := &Role{
		Name: shorten(string(r.Name)), Auth: bool(r.Auth), Sighting: bool(r.Sighting),
		Change: bool(r.Add || r.Modify || r.Publish || r.Admin || r.SiteAdmin), RateLimit: -1,
	}
	if r.Limited {
		role.RateLimit, _ = strconv.Atoi(string(r.Limit))
	}
	return role
}
