package app

import (
	"testing"

	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/misp/mirror"
	"custom-misp/misp/source"
)

// TestMirrorAsksForWarninglists has hits of the mirror say on which warninglists a value is, whether or not these are
// rejected.
func TestMirrorAsksForWarninglists(t *testing.T) {
	t.Parallel()
	for _, reject := range []string{"", ", warninglists: true"} {
		c := load(t, "misp: {url: https://misp.example.org, key: fake-key-for-tests-only}\nlookup: {policy: mirror"+reject+"}")
		syncs, closeAll, err := newSyncs(c, source.Declared{}, Hooks{Log: cli.NoLog()})
		if err != nil {
			t.Fatal(err)
		}
		server, ok := syncs[0].Origin.(*mirror.Server)
		if !ok || !server.Warninglists || server.Sightings {
			t.Errorf("%q: %+v", reject, syncs[0].Origin)
		}
		closeAll()
	}
}
