package source

import (
	"net/netip"
	"strconv"
	"strings"

	"custom-misp/engine"
)

// looksNumeric reports whether a text may be an address, a network or a range.
func looksNumeric(s string) bool {
	for i := range len(s) {
		if strings.IndexByte("0123456789abcdefABCDEF.:/-[] ", s[i]) < 0 {
			return false
		}
	}
	return strings.ContainsAny(s, ".:")
}

func isAS(s string) bool {
	return len(s) > 2 && len(s) <= 12 && strings.EqualFold(s[:2], "as") && strings.Trim(s[2:], "0123456789") == ""
}

func portValue(a netip.AddrPort) string {
	return a.Addr().Unmap().WithZone("").String() + "|" + strconv.Itoa(int(a.Port()))
}

// address reads an address, a network or a range.
func (v valuer) address(t engine.Type, s string) ([]value, string) {
	if v.padded {
		s = withoutZeros(s)
	}
	if network, err := netip.ParsePrefix(s); err == nil {
		if network.Bits() == 0 {
			return nil, reasonEverything
		}
		return []value{networkValue(t, network)}, ""
	}
	if a, err := netip.ParseAddrPort(s); err == nil {
		return []value{{typ: t + "|port", text: portValue(a)}}, ""
	}
	if text, err := t.Normal(s); err == nil {
		return []value{{typ: t, text: text}}, ""
	}
	if from, to, ok := strings.Cut(s, "-"); ok {
		return rangeOf(t, trim(from), trim(to))
	}
	if withoutZeros(s) != s {
		if _, err := netip.ParseAddr(withoutZeros(s)); err == nil {
			return nil, reasonPadded
		}
	}
	return nil, reasonNotIP
}

func networkValue(t engine.Type, p netip.Prefix) value {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	p = p.Masked()
	if p.IsSingleIP() {
		return value{typ: t, text: p.Addr().String()}
	}
	return value{typ: t, text: p.String()}
}

// rangeOf returns the networks that make up a range of addresses.
func rangeOf(t engine.Type, first, last string) ([]value, string) {
	from, err := netip.ParseAddr(first)
	to, err2 := netip.ParseAddr(last)
	if err != nil || err2 != nil || from.BitLen() != to.BitLen() || to.Less(from) {
		return nil, reasonNotIP
	}
	var found []value
	for {
		p := widest(from, to)
		if p.Bits() == 0 {
			return nil, reasonEverything
		}
		found = append(found, networkValue(t, p))
		end := lastOf(p)
		if end == to {
			return found, ""
		}
		from = end.Next()
	}
}

// widest returns the largest network that begins with an address and does not go beyond another.
func widest(from, to netip.Addr) netip.Prefix {
	p := netip.PrefixFrom(from, from.BitLen())
	for p.Bits() > 0 {
		wider := netip.PrefixFrom(from, p.Bits()-1)
		if wider.Masked().Addr() != from || to.Less(lastOf(wider)) {
			break
		}
		p = wider
	}
	return p
}

// lastOf returns the last address of a network.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for bit := p.Bits(); bit < 8*len(b); bit++ {
		b[bit/8] |= 0x80 >> (bit % 8)
	}
	a, _ := netip.AddrFromSlice(b) // of 4 or 16 bytes, as it came
	return a
}

// withoutZeros reads the parts of IPv4 addresses as decimal numbers: 010.001.002.003.
func withoutZeros(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		j := i
		for j < len(s) && s[j] >= '0' && s[j] <= '9' {
			j++
		}
		switch digits := s[i:j]; {
		case j == i:
			j = i + 1
			b.WriteByte(s[i])
		case i > 0 && s[i-1] != '.' && s[i-1] != ' ' && s[i-1] != '-':
			b.WriteString(digits)
		default:
			if digits = strings.TrimLeft(digits, "0"); digits == "" {
				digits = "0"
			}
			b.WriteString(digits)
		}
		i = j
	}
	return b.String()
}
