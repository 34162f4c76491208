package mirror

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/misp"
)

// This file keeps warninglists: lists of values that are well known, as the misp-warninglists repository has them. A source of
// [KindWarninglist] is a set like others. Each list is an event, whose info is its name and whose tags are the types of
// attributes that it is about; each entry is an attribute, of a type that no alert has. Look-ups do not find them: they say which
// lists a match is on.

// KindWarninglist is the kind of a source of warninglists.
const KindWarninglist Kind = "warninglist"

// WarninglistFile is the name of the files of the misp-warninglists repository.
const WarninglistFile = "list.json"

// The bounds on warninglists, besides those of every source.
const (
	MaxWarninglists = 1000    // lists of a source; more fail the sync
	MaxPatterns     = 1000    // patterns and parts of values of a list, which are compared one by one; more are reported
	MaxListed       = 4096    // bytes of an entry; a longer one is reported
	maxListPatterns = 5000    // of all lists of a source; more are passed over
	maxListedOnce   = 1000    // attributes that are read for one entry; more are passed over
	maxListWork     = 1 << 26 // bytes that are compared with patterns for the matches of a look-up; values behind that are not
)

const warninglistPrefix = "warninglist."

// WarninglistKinds are the ways in which warninglists match.
func WarninglistKinds() []string { return []string{"cidr", "hostname", "string", "substring", "regex"} }

// WarninglistType is the type of the attribute that an entry of a list becomes.
func WarninglistType(kind string) string { return warninglistPrefix + kind }

// listIndicators returns what an entry of a warninglist is found by; nothing for an attribute that is none.
func listIndicators(a misp.Attribute) []engine.Indicator {
	kind, ok := strings.CutPrefix(a.Type, warninglistPrefix)
	if !ok {
		return nil
	}
	switch kind {
	case "cidr":
		p, err := netip.ParsePrefix(a.Value)
		if err != nil {
			address, err := netip.ParseAddr(a.Value)
			if err != nil {
				return nil
			}
			p = netip.PrefixFrom(address.Unmap().WithZone(""), address.Unmap().BitLen())
		}
		return []engine.Indicator{listIndicator(kind, p.Masked().String())}
	case "substring", "regex":
		return []engine.Indicator{listIndicator(kind, "")}
	}
	return []engine.Indicator{listIndicator(kind, strings.ToLower(a.Value))}
}

func listIndicator(kind, key string) engine.Indicator {
	return engine.Indicator{Family: engine.Family(warninglistPrefix + kind), Key: key}
}

// PHPPattern compiles a pattern as PHP writes it, /…/flags. The flag g, which PHP does not have, is passed over. Look-around
// is an error: RE2 has none.
func PHPPattern(text string) (*regexp.Regexp, error) {
	end := strings.LastIndexByte(text, text[0])
	if strings.IndexByte("/#~@%!", text[0]) < 0 || end == 0 {
		return regexp.Compile(text)
	}
	flags := ""
	for _, f := range text[end+1:] {
		switch f {
		case 'i', 's', 'm':
			flags += string(f)
		case 'U', 'x', 'A', 'D':
			return nil, fmt.Errorf("flag %q of a pattern is not supported", f)
		}
	}
	if flags != "" {
		flags = "(?" + flags + ")"
	}
	pattern := strings.ReplaceAll(text[1:end], `\/`, "/")
	return regexp.Compile(flags + strings.ReplaceAll(pattern, `\@`, "@"))
}

// listPatterns are the entries of a set that are compared one by one.
type listPatterns struct {
	once       sync.Once
	substrings []listedPattern
	patterns   []listedPattern
}

type listedPattern struct {
	text    string
	pattern *regexp.Regexp
	list    misp.Event
}

// patternsOf returns the patterns of a set, which are read once.
func (s *set) patternsOf() *listPatterns {
	p := &s.lists
	p.once.Do(func() {
		for _, kind := range []string{"substring", "regex"} {
			i := listIndicator(kind, "")
			for a, err := range s.snapshot.find(context.Background(), i, i) {
				if err != nil || len(p.substrings)+len(p.patterns) == maxListPatterns {
					continue // damage, which the segment remembers; or too many
				}
				l := listedPattern{text: strings.ToLower(a.Value), list: a.Event}
				if kind == "substring" {
					p.substrings = append(p.substrings, l)
				} else if l.pattern, err = PHPPattern(a.Value); err == nil {
					p.patterns = append(p.patterns, l)
				}
			}
		}
	})
	return p
}

// isList reports whether a source is one of warninglists.
func (m *Mirror) isList(name string) bool { return slices.Contains(m.Warninglists, name) }

// Warn adds to matches the names of the warninglists that their attributes are on, and, where the observable is another value,
// the observable. It returns matches of its own where it adds some: others may share those that it is given. What cannot be
// read of a damaged source is left out, see [Mirror.Damages].
func (m *Mirror) Warn(ctx context.Context, matches []enrich.Match) []enrich.Match {
	if len(m.Warninglists) == 0 || len(matches) == 0 {
		return matches
	}
	v := m.use()
	defer v.release()
	w := warner{ctx: ctx, known: map[listedValue][]string{}, left: maxListWork}
	for _, s := range v.sets {
		if m.isList(s.name) && s.snapshot != nil {
			w.sets = append(w.sets, s)
		}
	}
	if len(w.sets) == 0 {
		return matches
	}
	return w.all(matches)
}

// A warner looks up the matches of one look-up in warninglists.
type warner struct {
	ctx   context.Context
	sets  []*set
	known map[listedValue][]string
	left  int // bytes that may be compared with patterns
}

// A listedValue is a value whose lists are looked up.
type listedValue struct{ typ, value string }

func (w *warner) all(matches []enrich.Match) []enrich.Match {
	var changed []enrich.Match
	for i, match := range matches {
		names := w.lists(match)
		if len(names) == 0 {
			continue
		}
		if changed == nil {
			changed = slices.Clone(matches)
		}
		a := *match.Attribute
		a.Warninglists = slices.Clone(a.Warninglists)
		for _, name := range names {
			if !slices.Contains(a.Warninglists, name) && len(a.Warninglists) < misp.MaxWarninglists {
				a.Warninglists = append(a.Warninglists, name)
			}
		}
		changed[i].Attribute = &a
	}
	if changed == nil {
		return matches
	}
	return changed
}

// lists returns the lists that a match is on.
func (w *warner) lists(match enrich.Match) []string {
	a, o := match.Attribute, match.Observable
	pair := strings.Contains(a.Type, "|") || a.Type == "malware-sample"
	switch {
	case match.Kind != engine.MatchExact:
		return append(slices.Clone(w.listsOf(listedValue{a.Type, a.Value})), w.listsOf(listedValue{string(o.Type), o.Value})...)
	case pair: // the half that was seen counts, and not the other
		return w.listsOf(listedValue{a.Type, o.Value})
	}
	return w.listsOf(listedValue{a.Type, a.Value})
}

// listsOf returns the lists that a value is on.
func (w *warner) listsOf(v listedValue) []string {
	names, known := w.known[v]
	if known || w.ctx.Err() != nil {
		return names
	}
	for _, value := range strings.Split(v.value, "|")[:min(2, 1+strings.Count(v.value, "|"))] {
		for _, i := range listKeys(value) {
			names = w.find(i, v.typ, names)
		}
		names = w.compare(value, v.typ, names)
	}
	w.known[v] = names
	return names
}

// find adds the names of lists that have an entry.
func (w *warner) find(i engine.Indicator, typ string, names []string) []string {
	for _, s := range w.sets {
		n := 0
		for a, err := range s.snapshot.find(w.ctx, i, i) {
			if n++; n > maxListedOnce {
				break
			}
			if err == nil {
				names = addList(names, a.Event, typ)
			}
		}
	}
	return names
}

// compare adds the names of lists with patterns that a value matches.
func (w *warner) compare(value, typ string, names []string) []string {
	lower := strings.ToLower(value)
	for _, s := range w.sets {
		p := s.patternsOf()
		if w.left -= (len(value) + 16) * (len(p.substrings) + len(p.patterns)); w.left < 0 {
			return names
		}
		for _, l := range p.substrings {
			if strings.Contains(lower, l.text) {
				names = addList(names, l.list, typ)
			}
		}
		for _, l := range p.patterns {
			if l.pattern.MatchString(value) {
				names = addList(names, l.list, typ)
			}
		}
	}
	return names
}

// addList adds the name of a list, if it is about a type of attributes.
func addList(names []string, list misp.Event, typ string) []string {
	if len(list.Tags) > 0 && !slices.Contains(list.Tags, typ) || slices.Contains(names, list.Info) || len(names) >= misp.MaxWarninglists {
		return names
	}
	return append(names, list.Info)
}

// listKeys returns what a value may be on a list by, but for patterns.
func listKeys(value string) []engine.Indicator {
	keys := []engine.Indicator{listIndicator("string", strings.ToLower(value))}
	for name := hostOf(value); name != ""; {
		keys = append(keys, listIndicator("hostname", name))
		_, rest, found := strings.Cut(name, ".")
		if !found || len(keys) > 128 {
			break
		}
		name = rest
	}
	p, err := netip.ParsePrefix(value)
	if err != nil {
		address, err := netip.ParseAddr(value)
		if err != nil {
			return keys
		}
		p = netip.PrefixFrom(address.Unmap().WithZone(""), address.Unmap().BitLen())
	}
	for bits := range p.Bits() + 1 {
		keys = append(keys, listIndicator("cidr", netip.PrefixFrom(p.Addr(), bits).Masked().String()))
	}
	return keys
}

// hostOf returns the name of the host of a URL, or the name that a value is, in lower case; empty if it has none.
func hostOf(value string) string {
	if _, rest, ok := strings.Cut(value, "://"); ok {
		value = rest
	} else if rest, ok := strings.CutPrefix(value, "//"); ok {
		value = rest
	}
	if end := strings.IndexAny(value, "/?#"); end >= 0 {
		value = value[:end]
	}
	value = value[strings.LastIndexByte(value, '@')+1:]
	if host, _, err := net.SplitHostPort(value); err == nil {
		value = host
	}
	if len(value) > 253 {
		return ""
	}
	return strings.ToLower(strings.Trim(value, "."))
}
