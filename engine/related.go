package engine

import (
	"iter"
	"net/netip"
	"net/url"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// A MatchKind says how the value of an alert relates to the MISP attribute that it is known by.
type MatchKind string

// The kinds, closest first. MISP itself knows only the first: the others are found by asking for more values.
const (
	MatchExact        MatchKind = "exact"         // the same value, in whatever form
	MatchHalf         MatchKind = "half"          // a key of the registry, or a path, that is one half of a known pair regkey|value
	MatchURLHost      MatchKind = "url-host"      // a URL whose host is a known host name, domain or address
	MatchParentDomain MatchKind = "parent-domain" // a name, or a URL with one, below a known domain
	MatchNetwork      MatchKind = "network"       // an address, or a URL with one, in a known network (CIDR)
)

// MatchKinds returns all kinds, closest first.
func MatchKinds() []MatchKind {
	return []MatchKind{MatchExact, MatchHalf, MatchURLHost, MatchParentDomain, MatchNetwork}
}

// A Relation is an indicator by which an observable may be known, and what it means if it is.
type Relation struct {
	Indicator Indicator
	Kind      MatchKind
}

// Fits reports whether an attribute of type t with the indicator is known in the sense of the relation: that a
// host name is known says nothing of the names below it, that a domain is does.
func (r Relation) Fits(t Type) bool { return r.Kind != MatchParentDomain || t == "domain" }

// The shortest networks that are asked for; a shorter one would be a statement about the whole internet.
const (
	shortestIPv4 = 8
	shortestIPv6 = 16
)

// Related returns every indicator that o may be known by: first its own, and those of values that stand for o or that o
// stands for, which are all exact; then
//
//   - for a key of the registry and for a path, those of the halves of a pair regkey|value;
//   - for a name, each domain above it, down to the registrable one by the public suffix list;
//   - for an address, each network that it is in, from /8 or /16 on;
//   - for a URL, its host, and what is related to that. An address there that is not globally routable is left
//     out, as it is when it is picked.
//
// If o has a limit, there are no more than that.
func (o Observable) Related() []Relation {
	if o.Limit > 0 {
		return o.nearest(o.Limit)
	}
	return o.RelatedIn(networksAround)
}

// nearest returns the first n indicators that o may be known by, without making all.
func (o Observable) nearest(n int) []Relation {
	related := o.RelatedIn(func(a netip.Addr) iter.Seq[netip.Prefix] {
		return func(yield func(netip.Prefix) bool) {
			left := n
			for p := range networksAround(a) {
				if left--; left < 0 || !yield(p) {
					return
				}
			}
		}
	})
	return related[:min(n, len(related))]
}

// RelatedIn is [Observable.Related] for a look-up that knows which networks there are: around yields those that an
// address is in, without the bits of a host. It knows no limit, for it costs no question.
func (o Observable) RelatedIn(around func(netip.Addr) iter.Seq[netip.Prefix]) []Relation {
	return o.AppendRelated(nil, around)
}

// AppendRelated is [Observable.RelatedIn] with room of the caller's, which it appends to.
func (o Observable) AppendRelated(related []Relation, around func(netip.Addr) iter.Seq[netip.Prefix]) []Relation {
	own := o.Indicator()
	switch own.Family {
	case familyFilename, familyRegistryKey, familyRegistryPair:
		return append(related, o.formRelations()...)
	}
	related = append(related, Relation{own, MatchExact})
	switch own.Family {
	case familyHost:
		return appendParents(related, own.Key)
	case familyIP:
		return appendNetworks(related, own.Key, around)
	case familyURL:
		return appendURLHost(related, o.Value, around)
	}
	return related
}

// formRelations is RelatedIn for what has several forms.
func (o Observable) formRelations() (to []Relation) {
	f := o.Type.Family()
	add := func(kind MatchKind, in Family, keys []string) {
		for _, k := range keys {
			to = append(to, Relation{Indicator{in, k}, kind})
		}
	}
	switch f {
	case familyRegistryKey:
		keys := registryForm(o.Value).asked()
		add(MatchExact, f, keys)
		add(MatchExact, familyRegistryName, keys)
		add(MatchHalf, familyPairKey, keys)
	case familyRegistryPair:
		key, second, _ := strings.Cut(o.Value, pairMark)
		add(MatchExact, f, pairKeys(registryForm(key).asked(), registryDataForm(second).asked()))
		if isValueName(second) {
			keys := registryForm(key + `\` + second).asked()
			add(MatchExact, familyRegistryKey, keys)
			add(MatchHalf, familyPairKey, keys)
		}
	default:
		path := pathForm(o.Value)
		add(MatchExact, f, path.asked())
		if hasDirectory(path) {
			add(MatchHalf, familyPairData, path.asked())
		}
	}
	return to
}

func appendURLHost(to []Relation, address string, around func(netip.Addr) iter.Seq[netip.Prefix]) []Relation {
	u, err := url.Parse(address)
	if err != nil {
		return to
	}
	if ip, err := Type("ip-dst").Normal(u.Hostname()); err == nil {
		if keepByDefault("ip-dst", ip) != nil {
			return to
		}
		return appendNetworks(append(to, Relation{Indicator{familyIP, ip}, MatchURLHost}), ip, around)
	}
	host, err := Type("hostname").Normal(u.Hostname())
	if err != nil || keepByDefault("hostname", host) != nil {
		return to
	}
	return appendParents(append(to, Relation{Indicator{familyHost, host}, MatchURLHost}), host)
}

func appendParents(to []Relation, host string) []Relation {
	registrable, err := publicsuffix.EffectiveTLDPlusOne(host)
	if err != nil {
		return to
	}
	for host != registrable {
		_, parent, ok := strings.Cut(host, ".")
		if !ok {
			break
		}
		host = parent
		to = append(to, Relation{Indicator{familyHost, host}, MatchParentDomain})
	}
	return to
}

func appendNetworks(to []Relation, address string, around func(netip.Addr) iter.Seq[netip.Prefix]) []Relation {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return to
	}
	for network := range around(a) {
		to = append(to, Relation{Indicator{familyNetwork, network.String()}, MatchNetwork})
	}
	return to
}

// shortest returns the bits of the largest network that an address is asked for by.
func shortest(a netip.Addr) int {
	if a.Is6() {
		return shortestIPv6
	}
	return shortestIPv4
}

// networksAround yields every network that an address may be in, the smallest first.
func networksAround(a netip.Addr) iter.Seq[netip.Prefix] {
	return func(yield func(netip.Prefix) bool) {
		for bits := a.BitLen(); bits >= shortest(a); bits-- {
			if !yield(netip.PrefixFrom(a, bits).Masked()) {
				return
			}
		}
	}
}

// Network returns the network that an indicator stands for; false if it is none.
func (i Indicator) Network() (netip.Prefix, bool) {
	if i.Family != familyNetwork {
		return netip.Prefix{}, false
	}
	p, err := netip.ParsePrefix(i.Key)
	return p, err == nil
}

// networkOf returns a network as MISP attributes hold one among addresses, without the bits of a host; false for
// anything else.
func networkOf(value string) (string, bool) {
	p, err := netip.ParsePrefix(strings.TrimSpace(value))
	if err != nil {
		return "", false
	}
	if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	return p.Masked().String(), true
}

// URLHost returns the host of an observable that is a URL; false for any other, and for a host that would not be picked by
// itself.
func (o Observable) URLHost() (Indicator, bool) {
	if o.Type.Family() != familyURL {
		return Indicator{}, false
	}
	related := appendURLHost(nil, o.Value, func(netip.Addr) iter.Seq[netip.Prefix] { return func(func(netip.Prefix) bool) {} })
	if len(related) == 0 {
		return Indicator{}, false
	}
	return related[0].Indicator, true
}
