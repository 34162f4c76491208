package engine

// The bounds of the engine: how much of an alert, of a value, of a text and of an expression is looked at. The package
// comment lists them with what happens beyond; a [Cut] reports what was left out of an alert.
const (
	// MaxObservables is how many observables are taken from one alert. Real alerts have a few dozen at most.
	MaxObservables = 1000
	// MaxValues is how many values MISP is asked for at most because of one alert: two questions of a thousand.
	MaxValues = 2000
	// MaxValue is the longest value, in bytes, that is picked. MISP stores up to 65,535; no useful indicator comes near, and
	// a mapping can always pick a part.
	MaxValue = 4096

	maxCandidates  = 5000       // candidates of one pick that does not scan, texts of one that does, and groups of an alert
	maxNesting     = 4          // levels of arrays in arrays below the path of a pick
	maxScan        = 64 << 10   // bytes of one text that scan reads: the first and the last half; Wazuh's alerts are no longer
	maxFound       = 64         // values that scan keeps of one text
	maxExprNodes   = 2000       // nodes of an expression; a larger one is a list of values, and a regex holds these better
	maxExprWork    = 64 << 20   // steps of all expressions on one alert, see expression_work.go
	maxExprText    = 1 << 20    // bytes of a text that a function of expr-lang makes, or steps that it takes
	exprMemory     = 100_000    // values that one evaluation of an expression may hold
	maxPatternWork = 20_000_000 // bytes of a text times instructions of the regular expression of a pick
	maxSeen        = 64         // values of an alert that are kept by their path
	maxObjects     = 12         // levels of objects that are read into a document; gjson follows paths that go deeper
)
