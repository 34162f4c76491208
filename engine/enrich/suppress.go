package enrich

import (
	"fmt"
	"net/netip"
	"time"

	"custom-misp/engine"
)

// A Verdict says what becomes of a match, or of an alert or value before it is looked up. The zero Verdict is that it is
// reported.
type Verdict struct {
	Reason Reason
	By     string // which key of the configuration, entry or mute decides
}

// Reported reports whether nothing stands against it.
func (v Verdict) Reported() bool { return v.Reason == "" }

// String returns the words for people: "not reported because it is muted: …"; empty if it is reported.
func (v Verdict) String() string {
	if v.Reported() {
		return ""
	}
	return "not reported because " + map[Reason]string{
		ReasonAlert: "its alert is ignored", ReasonValue: "the value is ignored and never asked for", ReasonFilter: "a filter leaves it out",
		ReasonMute: "it is muted", ReasonRepeat: "it was reported a while ago", ReasonStorm: "its value has too many hits",
		ReasonRate: "there are too many hits now", ReasonSent: "its event was sent before",
	}[v.Reason] + ": " + v.By
}

// A Suppression decides, in one order for all parts of the program, what is not reported: alerts and values that are ignored,
// filters, mutes. What comes after these, repeats and the rate, is decided where events are sent, see [Repeats] and [Rate]. It is
// safe for concurrent use; nil reports everything.
type Suppression struct {
	// Alert is a condition for alerts that are not looked at; nil for none.
	Alert *engine.AlertCondition
	// Engine knows which values the site ignores; nil for none.
	Engine *engine.Engine
	// Filter is what the look-up filters by where a mapping says nothing else.
	Filter engine.Filter
	// Filters are those of several MISP servers by their names, where they have others; nil for none.
	Filters map[string]engine.Filter
	// WideNetworks lets networks wider than /16, or /32 of IPv6, count.
	WideNetworks bool
	Mutes        *Mutes
	Now          func() time.Time // nil for the machine's clock
	// Counted is called for each alert, value and match that is not reported by a pipeline; nil for no call.
	// match is nil but for one that is not reported.
	Counted func(of string, v Verdict, match *Match)
}

// OfAlert returns the verdict on an alert. An error says that the condition failed on it: then it is ignored, for what it is to
// keep inside is not known.
func (s *Suppression) OfAlert(alert []byte) (Verdict, error) {
	if s == nil || s.Alert == nil {
		return Verdict{}, nil
	}
	holds, err := s.Alert.Holds(alert)
	if err != nil {
		return Verdict{ReasonAlert, "ignore.alerts"}, fmt.Errorf("ignore.alerts failed on this alert, which is ignored: %w", err)
	}
	if holds {
		return Verdict{ReasonAlert, "ignore.alerts"}, nil
	}
	return Verdict{}, nil
}

// OfValue returns the verdict on a value before it is asked for.
func (s *Suppression) OfValue(o engine.Observable) Verdict {
	if s == nil || s.Engine == nil {
		return Verdict{}
	}
	if by := s.Engine.Ignores(o); by != "" {
		return Verdict{ReasonValue, "ignore names " + by}
	}
	return Verdict{}
}

// OfMatch returns the verdict on a match.
func (s *Suppression) OfMatch(m Match) Verdict {
	if s == nil {
		return Verdict{}
	}
	if v := s.OfValue(m.Observable); !v.Reported() {
		return v
	}
	now := clock(s.Now)
	base, own := s.Filters[m.Attribute.Origin]
	if !own {
		base = s.Filter
	}
	if key := Refused(m.Observable.Filter.Over(base), m.Kind, *m.Attribute, now); key != "" {
		return Verdict{ReasonFilter, key}
	}
	if !s.WideNetworks && isWide(m) {
		return Verdict{ReasonFilter, "lookup.wide_networks: " + m.Attribute.Value}
	}
	if mute, muted := s.Mutes.Of(m, now); muted {
		return Verdict{ReasonMute, mute.String()}
	}
	return Verdict{}
}

// Narrowest networks that are too wide to say something about one address.
const (
	wideIPv4 = 16
	wideIPv6 = 32
)

// isWide reports whether a match is by a network that is wider than that.
func isWide(m Match) bool {
	if m.Kind != engine.MatchNetwork {
		return false
	}
	p, err := netip.ParsePrefix(m.Attribute.Value)
	return err == nil && (p.Addr().Is4() && p.Bits() < wideIPv4 || p.Addr().Is6() && p.Bits() < wideIPv6)
}

// reported returns the matches that are to be reported, and counts the values of which nothing is.
func (s *Suppression) reported(matches []Match) []Match {
	if s == nil || len(matches) == 0 {
		return matches
	}
	kept := make([]Match, 0, len(matches))
	type unreported struct {
		Verdict
		match Match
	}
	left := map[engine.Indicator]unreported{}
	known := map[engine.Indicator]bool{}
	for _, m := range matches {
		i := m.Observable.Indicator()
		v := s.OfMatch(m)
		if v.Reported() {
			kept = append(kept, m)
			known[i] = true
		} else if left[i].Reported() {
			left[i] = unreported{v, m}
		}
	}
	for i, v := range left {
		if !known[i] {
			s.count(i.Key, v.Verdict, &v.match)
		}
	}
	return kept
}

func (s *Suppression) count(of string, v Verdict, match *Match) {
	if s != nil && s.Counted != nil {
		s.Counted(of, v, match)
	}
}
