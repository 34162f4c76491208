package source

import (
	"cmp"
	"net/netip"
	"strings"

	"github.com/cespare/xxhash/v2"

	"custom-misp/engine"
)

// finish counts what was found of an entry, or yields it.
func (p *pass) finish(e *entry) error {
	ends := p.ends(e)
	if p.yield == nil {
		p.checkDates(e)
	}
	for i := range p.found {
		in := &p.found[i]
		in.Line, in.whole = e.line, e.whole
		if !ends.IsZero() {
			in.Expires = ends
		}
		var err error
		if p.yield == nil {
			err = p.note(in, e)
		} else {
			if i == 0 {
				p.describe(e, in)
			} else {
				in.copyFrom(&p.found[0])
			}
			in.unused = p.unused(in, e)
			err = p.yield(p.key(in, e), *in)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// A disuse is why an indicator is not looked up; 0 if it is.
type disuse uint8

// disuses are the keys of Report.Unused.
var disuses = []string{"", Private, Expired, TooWide, NotCompared}

const (
	used disuse = iota
	isPrivate
	isExpired
	isTooWide
	isNotCompared
)

// note counts an indicator. One that comes again, and is looked up by one of its entries, is looked up.
func (p *pass) note(in *Indicator, e *entry) error {
	why := p.unused(in, e)
	if e.whole {
		p.counted(in, why)
		return nil
	}
	key := p.key(in, e)
	before, again := p.seen[key]
	switch {
	case !again && len(p.seen) >= maxValues:
		return errManyValues
	case !again:
		p.seen[key] = why
		p.counted(in, why)
		return nil
	}
	p.report.Repeated++
	if len(p.again) < maxRepeated {
		p.again[key] = true
	}
	if before != used && why == used {
		p.seen[key] = used
		name := disuses[before]
		if p.report.Unused[name]--; p.report.Unused[name] == 0 {
			delete(p.report.Unused, name)
		}
	}
	return nil
}

// counted counts an indicator.
func (p *pass) counted(in *Indicator, why disuse) {
	p.report.Indicators[in.Type]++
	if why != used {
		p.report.Unused[disuses[why]]++
	}
	if len(p.report.Examples) < maxExamples {
		p.report.Examples = append(p.report.Examples, Example{in.Line, engine.Type(in.Type), strings.Clone(in.Value)})
	}
}

// key identifies an indicator: by its family, and its value in normal form.
func (p *pass) key(in *Indicator, e *entry) uint64 {
	var d xxhash.Digest
	d.Reset()
	t := engine.Type(in.Type)
	_, _ = d.WriteString(cmp.Or(string(t.Family()), in.Type))
	_, _ = d.WriteString("\x00")
	_, _ = d.WriteString(in.Value)
	if e.whole {
		_, _ = d.WriteString("\x00" + in.UUID)
	}
	return d.Sum64()
}

// unused returns why an indicator is not looked up.
func (p *pass) unused(in *Indicator, e *entry) disuse {
	t := engine.Type(in.Type)
	if t == typeURI || e.whole && len(engine.Indicators(t, in.lookedUp())) == 0 {
		return isNotCompared
	}
	if !in.Expires.IsZero() && in.Expires.Before(p.now) || e.whole && in.Expired(p.now) {
		return isExpired
	}
	plain, _, _ := strings.Cut(in.Value, "|")
	if t.Family() == "ip" && strings.Contains(plain, "/") {
		if n, err := netip.ParsePrefix(plain); err == nil && !p.source.wide && isWide(n) {
			return isTooWide
		}
	}
	switch {
	case strings.HasPrefix(in.Type, "ip-") || t == typeHostPort:
		t = engine.Type(strings.TrimSuffix(in.Type, "|port"))
	case t.Family() == "url":
		plain = in.lookedUp()
	default:
		plain = in.Value
	}
	if engine.Unused(t, plain) != nil {
		return isPrivate
	}
	return used
}

// lookedUp is the first value by which an indicator is found.
func (in *Indicator) lookedUp() string {
	if len(in.Values) > 0 {
		return in.Values[0]
	}
	return in.Value
}

// isWide reports whether a network has more addresses than one that is looked up without being asked for.
func isWide(n netip.Prefix) bool {
	if n.Addr().Is4() {
		return n.Bits() < 16
	}
	return n.Bits() < 32
}
