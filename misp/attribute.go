// Package misp holds the domain types of MISP that everything else shares: an [Attribute], the [Event] that it
// belongs to, and what their tags say. It is a leaf: it imports nothing else of this module. Texts are as MISP
// gives them; nothing here is normalised.
package misp

import "time"

// An Attribute is a MISP attribute with the useful part of its event.
type Attribute struct {
	ID           string // of the server that answered; empty in feeds
	UUID         string
	Type         string // MISP's name of the type, such as ip-dst
	Category     string
	Value        string // with both halves for a composite type: "invoice.doc|ba6c…"
	Comment      string
	ToIDs        bool
	Timestamp    time.Time // of the last change; zero if not known
	FirstSeen    string    // ISO 8601, empty if not known
	LastSeen     string    // ISO 8601, empty if not known
	Tags         []string  // its own first, then those of the event; without repeats
	Warninglists []string  // names of the enabled MISP warninglists that hold the value
	Expires      time.Time // when the first of its expiration sightings says that it ends; zero for none, or not known
	DecayScore   *float64  // the best of MISP's enabled decaying models, 0 to 100; nil if there is no score
	Event        Event
	// Origin names the source where there is more than one: [OriginServer], or a feed or list by the name that the
	// configuration gives it. Empty if the only MISP was asked live.
	Origin string
}

// OriginServer is the Origin of what a mirror has from the MISP server itself.
const OriginServer = "misp"

// Expired reports whether a has ended: it was last seen before now, or a sighting says that it has expired.
func (a Attribute) Expired(now time.Time) bool {
	if !a.Expires.IsZero() && !a.Expires.After(now) {
		return true
	}
	if a.LastSeen == "" {
		return false
	}
	seen, err := time.Parse(time.RFC3339, a.LastSeen)
	return err == nil && seen.Before(now)
}

// LastActive returns when a was last changed or seen, whichever is later; zero if neither is known.
func (a Attribute) LastActive() time.Time {
	seen, err := time.Parse(time.RFC3339, a.LastSeen)
	if err == nil && seen.After(a.Timestamp) {
		return seen
	}
	return a.Timestamp
}
