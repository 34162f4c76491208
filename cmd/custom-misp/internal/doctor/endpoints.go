package doctor

import (
	"context"
	"errors"
	"time"

	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/engine/enrich"
)

// lookEvents asks for the list of events, which a mirror needs.
func (v *visit) lookEvents(ctx context.Context) Finding {
	if err := v.client.ProbeEvents(ctx); err != nil {
		return mispProblem(err)
	}
	return good("the list of events (events/index) can be read")
}

// rateWindow is the time in which MISP counts the searches of a user.
const rateWindow = 15 * time.Minute

// lookWalk asks what a walk asks, and compares how many searches one takes with what the role may make.
func (v *visit) lookWalk(ctx context.Context) Finding {
	searches, err := v.client.ProbeWalk(ctx)
	if err != nil {
		return mispProblem(err)
	}
	walk := "a walk over all of MISP takes about " + cli.Plural(searches, "question")
	role := v.about.Role
	switch {
	case role == nil || role.RateLimit < 0 || searches <= role.RateLimit:
		return good("%s", walk)
	case role.RateLimit == 0:
		return problem("raise the limit, or take it away, in MISP: Administration, List Roles", "%s, and the role %q may make none", walk, role.Name)
	}
	windows := (searches - 1) / role.RateLimit
	return warning("raise the limit, or take it away, in MISP: Administration, List Roles",
		"%s, and the role %q may make %d in 15 minutes: it takes more than %s", walk, role.Name, role.RateLimit, shownTime(time.Duration(windows)*rateWindow))
}

// lookSightings tries whether sightings may be added, without adding one.
func (v *visit) lookSightings(ctx context.Context) Finding {
	const off = "; or set sightings.enabled to false"
	role := v.about.Role
	switch {
	case !v.about.Sighting && role != nil && role.Sighting:
		return problem("make a key for its user in MISP that is not read-only"+off,
			"sightings.enabled is set, but the key is read-only; its role %q may add sightings, and look-ups work", role.Name)
	case !v.about.Sighting:
		return problem("give the role of the key's user perm_sighting in MISP: Administration, List Roles"+off,
			"sightings.enabled is set, but the key must not add sightings; look-ups work")
	}
	if err := v.client.ProbeSighting(ctx); err != nil {
		return mispProblem(err)
	}
	return good("sightings may be added; none was")
}

// mispProblem returns what a question to MISP met.
func mispProblem(err error) Finding {
	if trouble, ok := errors.AsType[*enrich.Trouble](err); ok {
		return problem(trouble.Remedy, "%v", trouble.Err)
	}
	return problem("", "%v", err)
}
