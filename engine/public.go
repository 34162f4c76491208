package engine

import (
	"net/netip"
	"strings"
)

// specialPurpose lists the blocks that are not globally reachable by the IANA special-purpose address registries
// (RFC 6890 and successors), and multicast.
var specialPurpose = func() []netip.Prefix {
	var prefixes []netip.Prefix
	for _, s := range []string{
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
		"192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24",
		"203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
		"2001:2::/48", "2001:10::/28", "2001:db8::/32", "3fff::/20",
	} {
		prefixes = append(prefixes, netip.MustParsePrefix(s))
	}
	return prefixes
}()

var (
	ipv6Unicast = netip.MustParsePrefix("2000::/3")
	nat64       = netip.MustParsePrefix("64:ff9b::/96")
)

// isPublic reports whether a is a globally routable unicast address.
func isPublic(a netip.Addr) bool {
	a = a.Unmap()
	if a.Is6() && !ipv6Unicast.Contains(a) && !nat64.Contains(a) {
		return false
	}
	for _, p := range specialPurpose {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// keepByDefault returns why a pick without a keep expression drops a value in normal form, or nil: addresses that are not
// public, and reverse look-up names.
func keepByDefault(t Type, value string) error {
	switch t.Family() {
	case familyIP:
		if a, err := netip.ParseAddr(value); err != nil || !isPublic(a) {
			return errNotGlobal
		}
	case familyHost:
		if strings.HasSuffix(value, ".arpa") {
			return errReverse
		}
	}
	return nil
}
