package enrich

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"custom-misp/engine"
	"custom-misp/misp"
)

// A Mute says that hits are not to be reported, since an analyst knows better. Exactly one of the first five says which.
type Mute struct {
	Value   string // in an alert, in any form, or of an attribute
	Network string // around an address, like 192.0.2.0/24
	Domain  string // with all names below it
	Event   string // UUID of a MISP event
	Source  string // name of a source, as in misp.origin

	Reason string
	Author string
	Since  time.Time
	Until  time.Time // the mute has no effect from then on; zero for never
	Told   bool      // MISP was told that it is a false positive
}

// Target returns what is muted, in words: "value 192.0.2.1".
func (m Mute) Target() string {
	kind, what := m.target()
	return kind + " " + what
}

func (m Mute) target() (kind, what string) {
	switch {
	case m.Value != "":
		return "value", m.Value
	case m.Network != "":
		return "network", m.Network
	case m.Domain != "":
		return "domain", m.Domain
	case m.Event != "":
		return "event", m.Event
	}
	return "source", m.Source
}

// SameTarget reports whether two mutes are about the same, also if a value is written in another form.
func (m Mute) SameTarget(other Mute) bool {
	if m.Value == "" || other.Value == "" {
		return strings.EqualFold(m.Target(), other.Target())
	}
	keys := muteKeys(m.Value)
	return slices.ContainsFunc(muteKeys(other.Value), func(key string) bool { return slices.Contains(keys, key) })
}

// Expired reports whether a mute has ended.
func (m Mute) Expired(now time.Time) bool { return !m.Until.IsZero() && !now.Before(m.Until) }

// LastDay returns the last day on which a mute has effect, in UTC, like 2026-12-31; empty if it never ends.
func (m Mute) LastDay() string {
	if m.Until.IsZero() {
		return ""
	}
	return m.Until.Add(-time.Nanosecond).UTC().Format(time.DateOnly)
}

// String says for how long, by whom and why.
func (m Mute) String() string {
	s := m.Target()
	if day := m.LastDay(); day != "" {
		s += " until " + day
	}
	return fmt.Sprintf("%s, by %s: %s", s, cmp.Or(m.Author, "unknown"), m.Reason)
}

// Check returns what is wrong with a mute.
func (m Mute) Check() error {
	n := 0
	for _, s := range []string{m.Value, m.Network, m.Domain, m.Event, m.Source} {
		if s != "" {
			n++
		}
	}
	switch {
	case n != 1:
		return errors.New("a mute needs one of value, network, domain, event, source, and not several")
	case strings.TrimSpace(m.Reason) == "":
		return fmt.Errorf("the mute of %s has no reason; say why, for those who come after you", m.Target())
	}
	_, err := newMuteRule(m)
	return err
}

// Mutes are all mutes. They are immutable and safe for concurrent use; nil mutes nothing.
type Mutes struct {
	values  map[string]int // by the key of the indicator
	rules   []muteRule     // of networks, domains, events and sources
	entries []Mute
}

// muteRule is a mute that is compared one by one.
type muteRule struct {
	covers *engine.Ignore // of a network or a domain
	event  string         // in lower case
	source string
	keys   []string // of a value, in whatever type it may be
	entry  int
}

// NewMutes compiles mutes. The error is about the first one that is wrong.
func NewMutes(list []Mute) (*Mutes, error) {
	ms := &Mutes{values: map[string]int{}, entries: list}
	for i, m := range list {
		r, err := newMuteRule(m)
		if err != nil {
			return nil, err
		}
		r.entry = i
		for _, k := range r.keys {
			ms.values[k] = i
		}
		if len(r.keys) == 0 {
			ms.rules = append(ms.rules, r)
		}
	}
	return ms, nil
}

func newMuteRule(m Mute) (muteRule, error) {
	kind, what := m.target()
	switch kind {
	case "value":
		return muteRule{keys: muteKeys(what)}, nil
	case "network":
		if _, err := netip.ParsePrefix(what); err != nil {
			return muteRule{}, fmt.Errorf("%q is not a network like 192.0.2.0/24", what)
		}
	case "domain":
		if t, _, err := engine.Auto.Resolve(what); err != nil || t != "domain" && t != "hostname" {
			return muteRule{}, fmt.Errorf("%q is not a domain like example.org", what)
		}
	case "event":
		if !isUUID(what) {
			return muteRule{}, fmt.Errorf("%q is not the UUID of a MISP event, like 5f8b0c1e-4c3c-4a1b-9d6d-000000000000", what)
		}
		return muteRule{event: strings.ToLower(what)}, nil
	default:
		return muteRule{source: what}, nil
	}
	covers, err := engine.NewIgnore([]string{what})
	return muteRule{covers: covers}, err
}

// muteKeys returns what a value is compared by: as it is, and in its normal form.
func muteKeys(value string) []string {
	keys := []string{strings.ToLower(strings.TrimSpace(value))}
	if t, v, err := engine.Auto.Resolve(value); err == nil {
		if k := (engine.Observable{Type: t, Value: v}).Indicator().Key; k != keys[0] {
			keys = append(keys, k)
		}
	}
	return keys
}

// Of returns the mute by which a match is not reported; false if there is none that has not ended.
func (ms *Mutes) Of(m Match, now time.Time) (Mute, bool) {
	if ms == nil || len(ms.entries) == 0 {
		return Mute{}, false
	}
	for _, k := range []string{m.Observable.Indicator().Key, strings.ToLower(m.Observable.Value), strings.ToLower(m.Attribute.Value)} {
		if i, ok := ms.values[k]; ok && !ms.entries[i].Expired(now) {
			return ms.entries[i], true
		}
	}
	for _, r := range ms.rules {
		if !ms.entries[r.entry].Expired(now) && r.mutes(m) {
			return ms.entries[r.entry], true
		}
	}
	return Mute{}, false
}

// OfValue returns the mute by which a value is not reported whatever is known of it.
func (ms *Mutes) OfValue(o engine.Observable, now time.Time) (Mute, bool) {
	m, muted := ms.Of(Match{Observable: o, Attribute: &misp.Attribute{Origin: "-"}}, now)
	return m, muted && m.Source == ""
}

func (r muteRule) mutes(m Match) bool {
	switch {
	case r.covers != nil:
		return r.covers.Covers(m.Observable)
	case r.event != "":
		return strings.EqualFold(m.Attribute.Event.UUID, r.event)
	}
	return cmp.Or(m.Attribute.Origin, misp.OriginServer) == r.source
}

// List returns the mutes in the order in which they were given.
func (ms *Mutes) List() []Mute {
	if ms == nil {
		return nil
	}
	return ms.entries
}
