package api

// The bounds on what is made of answers and events, which doc.go lists. A document is gone over in proportion to its
// length; what it has more of than this takes no memory.
const (
	// maxValues is in one question, where Config.MaxValues says nothing else. More become several questions.
	maxValues = 1000
	// maxPatterns is in one question: MISP compares each with all values of the types that are asked for.
	maxPatterns = 200
	// maxAnswer is the longest answer that is read, in bytes, where Config.MaxAnswer says nothing else. A longer one fails.
	maxAnswer = 32 << 20
	// pageSize is how many attributes are asked for at once; a question without a limit may be answered with
	// duplicates. A longer answer is refused.
	pageSize = 5000
	// maxPages is of one question. One with more matches fails.
	maxPages = 20
	// leastPage is the shortest page of a list or reading, after its size was divided by 5 as often as need be.
	leastPage = 40
	// indexPage is how many events are asked for at once, and countedPage how many with all that is known of them. A
	// longer answer is refused.
	indexPage   = 10_000
	countedPage = 1000
	// maxEvents bounds the list of all events, which is kept in memory. A longer one is refused.
	maxEvents = 2_000_000
	// maxReading is how many attributes of an event are read, page by page. One that has more is refused.
	maxReading = 5_000_000
	// maxEventAttributes bounds one event of a feed, attributes and objects each. A larger one is refused.
	maxEventAttributes = 500_000
	// maxText is the longest text, in bytes as JSON has it: MISP stores 65,535, each of which is at most 6 in JSON. A
	// longer one counts as absent.
	maxText = 6 * 65_535
	// maxName is the longest id or UUID in the list of events, in bytes. A longer one is refused.
	maxName = 64
)
