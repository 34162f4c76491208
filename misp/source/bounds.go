package source

// The bounds on what is read, which doc.go lists.
const (
	maxFile        = 1 << 30    // bytes of a file, and of what it is unpacked to; more fail the load
	maxEntries     = 10_000_000 // of a file; more fail the load
	maxFutile      = 1 << 17    // entries without any indicator, at the beginning of a file; more fail the load
	maxWords       = 10_000     // of a line of free text; more are passed over
	maxValues      = 2_000_000  // different indicators of a file; more fail the load
	maxLine        = 1 << 20    // bytes of a line; a longer one is reported, and passed over
	maxColumns     = 1000       // of a row; a row with more is reported
	maxQuotedLines = 10_000     // lines that a quoted cell may go over
	maxQuoted      = 64 << 10   // bytes of such a cell
	maxObject      = 32 << 20   // bytes of a JSON object that is read as a whole
	maxEvent       = 128 << 20  // bytes of an event of MISP
	maxDepth       = 100        // levels of JSON
	maxOfEntry     = 1000       // indicators of an entry; more are reported
	maxRepeated    = 200_000    // values that come more than once, whose tags are joined
	maxPattern     = 64 << 10   // bytes of a pattern of STIX
	maxComparisons = 1000       // of a pattern
	maxSample      = 256 << 10  // bytes by which the form of a file is recognised
	maxExamples    = 10         // indicators that a report shows
	maxFirsts      = 10         // entries without indicator that a report shows for each reason
	maxShown       = 200        // bytes of a text in a report
	maxReasons     = 100        // different reasons that are counted; more are counted together
)
