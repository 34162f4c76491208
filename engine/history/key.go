package history

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"custom-misp/engine"
)

// This file orders values. The key of a value begins with its kind:
//
//	1 address (IPv4), its 4 bytes: a network is a range
//	2 address (IPv6), its 16 bytes
//	3 name, its labels from the last to the first, each followed by a zero byte: a domain is a prefix
//	4 family, zero byte, the bytes that a text of hexadecimal digits stands for
//	5 family, zero byte, the text

const (
	kindIPv4  = 1
	kindIPv6  = 2
	kindName  = 3
	kindHex   = 4
	kindText  = 5
	maxKey    = 2 * engine.MaxValue // longer ones are not of a value
	leastHex  = 8                   // digits; shorter texts are texts
	separator = 0
)

// The families that have keys of their own.
var (
	familyIP   = engine.Type("ip-dst").Family()
	familyHost = engine.Type("hostname").Family()
	familyURL  = engine.Type("url").Family()
)

// appendKey appends the key of a value.
func appendKey(to []byte, i engine.Indicator) []byte {
	switch i.Family {
	case familyIP:
		if a, err := netip.ParseAddr(i.Key); err == nil && a.Zone() == "" {
			return appendAddress(to, a)
		}
	case familyHost:
		if i.Key != "" && strings.IndexByte(i.Key, separator) < 0 {
			return appendName(append(to, kindName), i.Key)
		}
	}
	if len(i.Key) >= leastHex && len(i.Key)%2 == 0 && strings.Trim(i.Key, "0123456789abcdef") == "" {
		to = append(append(append(to, kindHex), i.Family...), separator)
		raw, _ := hex.DecodeString(i.Key) // digits, an even number of them
		return append(to, raw...)
	}
	to = append(append(append(to, kindText), i.Family...), separator)
	return append(to, i.Key...)
}

func appendAddress(to []byte, a netip.Addr) []byte {
	if a = a.Unmap(); a.Is4() {
		b := a.As4()
		return append(append(to, kindIPv4), b[:]...)
	}
	b := a.As16()
	return append(append(to, kindIPv6), b[:]...)
}

func appendName(to []byte, name string) []byte {
	for name != "" {
		dot := strings.LastIndexByte(name, '.')
		to = append(append(to, name[dot+1:]...), separator)
		name = name[:max(0, dot)]
	}
	return to
}

var errKey = errors.New("not the key of a value")

// indicatorOf returns the value that a key stands for.
func indicatorOf(key []byte) (engine.Indicator, error) {
	if len(key) < 2 {
		return engine.Indicator{}, errKey
	}
	kind, rest := key[0], key[1:]
	switch kind {
	case kindIPv4, kindIPv6:
		a, ok := netip.AddrFromSlice(rest)
		if !ok {
			return engine.Indicator{}, errKey
		}
		return engine.Indicator{Family: familyIP, Key: a.String()}, nil
	case kindName:
		labels := strings.Split(strings.TrimSuffix(string(rest), "\x00"), "\x00")
		slices.Reverse(labels)
		return engine.Indicator{Family: familyHost, Key: strings.Join(labels, ".")}, nil
	case kindHex, kindText:
		family, text, ok := bytes.Cut(rest, []byte{separator})
		if !ok {
			return engine.Indicator{}, errKey
		}
		if kind == kindHex {
			return engine.Indicator{Family: engine.Family(family), Key: hex.EncodeToString(text)}, nil
		}
		return engine.Indicator{Family: engine.Family(family), Key: string(text)}, nil
	}
	return engine.Indicator{}, errKey
}

// A Query says which values are looked for: make one with [OfValue], [OfNetwork] or [OfDomain]. The zero Query is for none.
type Query struct {
	from, to []byte // keys from one up to but without the other; to is nil for the one key alone
}

// OfValue looks for one value.
func OfValue(i engine.Indicator) Query { return Query{from: appendKey(nil, i)} }

// OfNetwork looks for the addresses in a network.
func OfNetwork(p netip.Prefix) Query {
	if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	if !p.IsValid() {
		return Query{}
	}
	p = p.Masked()
	from := appendAddress(nil, p.Addr())
	last := slices.Clone(from)
	for bit := p.Bits(); bit < p.Addr().BitLen(); bit++ {
		last[1+bit/8] |= 0x80 >> (bit % 8)
	}
	return Query{from, append(last, 0)} // the first key behind the last address
}

// OfDomain looks for a name and all names below it.
func OfDomain(name string) Query {
	name = strings.Trim(strings.ToLower(name), ".")
	if name == "" {
		return Query{}
	}
	from := appendName([]byte{kindName}, name)
	to := slices.Clone(from)
	to[len(to)-1] = separator + 1
	return Query{from, to}
}

// Compare orders queries by where they begin. A [View] answers queries in this order much faster than in any other.
func (q Query) Compare(other Query) int { return bytes.Compare(q.from, other.from) }

// has reports whether a key is looked for.
func (q Query) has(key []byte) bool {
	if q.to == nil {
		return bytes.Equal(key, q.from)
	}
	return bytes.Compare(key, q.from) >= 0 && bytes.Compare(key, q.to) < 0
}

// ParseQuery reads what a person asks for: a network in CIDR notation, a name (with those below it), or any other value in
// the form of its type. all are the queries, since a text of hexadecimal digits may be a hash of several types.
func ParseQuery(text string) (all []Query, err error) {
	text = strings.TrimSpace(text)
	if p, err := netip.ParsePrefix(text); err == nil {
		return []Query{OfNetwork(p)}, nil
	}
	for _, t := range []engine.Type{"ip-dst", "hostname"} {
		normal, err := t.Normal(text)
		if err != nil {
			continue
		}
		if t == "hostname" {
			return []Query{OfDomain(normal)}, nil
		}
		return []Query{OfValue(engine.Indicator{Family: t.Family(), Key: normal})}, nil
	}
	seen := map[engine.Family]bool{}
	for _, t := range engine.Types() {
		f := t.Family()
		if f == "" || seen[f] || f == familyIP || f == familyHost {
			continue
		}
		normal, err := t.Normal(text)
		if err != nil {
			continue
		}
		seen[f] = true
		all = append(all, OfValue(engine.Observable{Type: t, Value: normal}.Indicator()))
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%.80q is no value; give an address, a network such as 192.0.2.0/24, a name, a hash, a URL or a path", text)
	}
	slices.SortFunc(all, Query.Compare)
	return all, nil
}
