package mirror

import "time"

// The bounds on what a mirror reads and keeps, which doc.go lists. What is more than a mirror should take is refused, and
// the set stays as it was; see there for what is only left out.
const (
	// Of the files that are read from elsewhere.
	maxManifest       = 64 << 20  // bytes of a feed's manifest; a longer one fails the sync
	maxEvent          = 256 << 20 // bytes of an event of a feed; a longer one is left out
	maxFeed           = 8 << 30   // bytes of the events that one sync of a feed reads; more fail it
	maxFeedAttributes = 5_000_000 // of a feed, in the mirror; more fail the sync
	maxList           = 1 << 30   // bytes of a list, decompressed; more fail the sync
	maxListValues     = 2_000_000 // of a list, in the mirror; more fail the sync
	maxColumns        = 1000      // of a row of a list; more fail the sync
	maxRow            = 1 << 20   // bytes of a row: a quote that is not closed would make one of all that follows
	maxPage           = 32 << 20  // bytes of a page of a source that is collected; a longer one fails the sync
	maxPages          = 10_000    // that one sync asks for; the next one goes on
	maxPageTime       = 2 * time.Minute
	maxTag            = 1000 // bytes of the entity tag of a file; a longer one counts as absent
	maxModified       = 100  // bytes of the time of a file, as the server writes it; a longer one counts as absent

	// Of the mirror's own files.
	maxState    = 1 << 20   // bytes of state.json; a longer one is refused
	maxNote     = 4096      // bytes of the note that a set is damaged; a longer one counts as absent
	maxFailure  = 2000      // bytes of the failure in it, which is cut
	maxSegment  = 16 << 30  // bytes; a sync that would need more fails. Ten million attributes take about 3 GB
	maxRecord   = 8 << 20   // bytes; a longer one is not written, and not read
	maxEntries  = 1 << 31   // of a table; a sync that would need more fails
	maxTrailer  = 128 << 20 // bytes; a segment with a longer one is damaged
	maxNetworks = 1_000_000 // among the values of a segment; more fail the sync
	maxWords    = 4096      // texts that records of a segment refer to by number; more are written out
	maxWord     = 256       // bytes of such a text; longer ones are written out
	maxTexts    = 1000      // texts of one list in a record; more are passed over

	// Of what is kept in memory.
	maxChanges      = 500_000 // attributes and events since the base was written; more make a sync read the whole source
	maxRecentEvents = 10_000  // events whose versions the state remembers; others are read again while a poll goes back behind them
	recentEvents    = 4096    // events that are remembered of each segment: hits tend to be of few
	maxRecent       = 4 << 10 // bytes of the record of such an event

	// maxRead is how many attributes with one value are read of a set by a look-up; more are passed over. Of those that
	// match, the strongest are returned, see [enrich.MaxMatches].
	maxRead = 100_000
	// maxWork bounds a look-up, in bytes of records; an attribute and its tags count as a little more than they have. Beyond
	// it, of each value a share is read.
	maxWork        = 128 << 20
	maxLargeEvents = 16 << 20 // bytes of the records of events that a look-up remembers
)

// limits are those that tests change.
type limits struct {
	manifest, event, feed, list, page int64 // bytes
	attributes, values, pages         int
	pageTime                          time.Duration // for one page
}

// usualLimits are those of every place outside of tests.
var usualLimits = limits{
	manifest: maxManifest, event: maxEvent, feed: maxFeed, list: maxList, attributes: maxFeedAttributes, values: maxListValues,
	page: maxPage, pages: maxPages, pageTime: maxPageTime,
}
