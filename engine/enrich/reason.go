package enrich

// A Reason is why a value that is known, or may be, raises no event of its own. The words are the same in look-ups, explain,
// status, metrics and logs.
type Reason string

// The reasons, in the order in which they are looked for: the first that applies counts.
const (
	ReasonAlert  Reason = "alert-ignored" // ignore.alerts
	ReasonValue  Reason = "value-ignored" // ignore.values, ignore.files
	ReasonFilter Reason = "filtered"      // lookup.*, or lookup in a mapping
	ReasonMute   Reason = "muted"
	ReasonRepeat Reason = "repeat" // events.repeat_window
	ReasonStorm  Reason = "storm"  // events.storm
	ReasonRate   Reason = "rate"   // events.rate: its event waits
	ReasonSent   Reason = "sent"   // the event of this alert was sent before
)
