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

// localSuffixes are the top-level names that sites use for themselves.
var localSuffixes = setOf("local localhost localdomain internal home lan corp intranet private")

// isLocalName reports whether a host name in normal form is only known at a site: a single label, or under one of
// localSuffixes or home.arpa (RFC 8375).
func isLocalName(host string) bool {
	last := strings.LastIndexByte(host, '.')
	if last < 0 {
		return true
	}
	return localSuffixes()[host[last+1:]] || host == "home.arpa" || strings.HasSuffix(host, ".home.arpa")
}

// keepByDefault returns why a pick that is not private drops a value in normal form, or nil: addresses that are not public,
// names that are only known at a site, reverse look-up names, and URLs and e-mail addresses of these.
func keepByDefault(t Type, value string) error {
	switch t.Family() {
	case familyIP:
		if a, err := netip.ParseAddr(value); err != nil || !isPublic(a) {
			return errNotGlobal
		}
	case familyHost:
		return keepNameByDefault(value)
	case familyURL:
		return keepURLByDefault(value)
	case familyEmail:
		return keepNameByDefault(value[strings.LastIndexByte(value, '@')+1:])
	}
	return nil
}

func keepNameByDefault(host string) error {
	switch {
	case isLocalName(host):
		return errLocalName
	case strings.HasSuffix(host, ".arpa"):
		return errReverse
	case isServiceName(host):
		return errService
	}
	return nil
}

// isServiceName reports whether a name is one that clients of Active Directory ask for to find the servers of their domain.
func isServiceName(host string) bool {
	if strings.IndexByte(host, '_') < 0 {
		return false
	}
	if strings.Contains(host, "._msdcs.") {
		return true
	}
	service, rest, _ := strings.Cut(host, ".")
	switch service {
	case "_ldap", "_kerberos", "_kpasswd", "_gc", "_vlmcs":
		return strings.HasPrefix(rest, "_tcp.") || strings.HasPrefix(rest, "_udp.")
	}
	return false
}

func keepURLByDefault(value string) error {
	host := hostOfURL(value)
	if a, err := parseIP(host); err == nil {
		if !isPublic(a) {
			return errNotGlobal
		}
		return nil
	}
	return keepNameByDefault(host)
}

// hostOfURL returns the host of a URL in normal form, without brackets and port.
func hostOfURL(value string) string {
	_, host, _ := strings.Cut(value, "://")
	if i := strings.IndexAny(host, "/?#"); i >= 0 {
		host = host[:i]
	}
	host = host[strings.LastIndexByte(host, '@')+1:]
	if inner, ok := strings.CutPrefix(host, "["); ok {
		host, _, _ = strings.Cut(inner, "]")
		return host
	}
	host, _, _ = strings.Cut(host, ":")
	return host
}

// Unused returns why alerts are never looked up by a value of type t in normal form, unless a mapping says otherwise: an
// address that is not public, a name or URL of a host that is only known at a site. It is nil for any other value. A
// network is judged by its first address.
func Unused(t Type, value string) error {
	if address, _, isNetwork := strings.Cut(value, "/"); isNetwork && t.Family() == familyIP {
		value = address
	}
	if t.Family() == familyHost && isLocalName(value) {
		return errLocalName
	}
	return keepByDefault(t, value)
}

// Refang undoes what people do to keep an indicator from being clicked on: hxxp://, [.], (.), [dot], [:], [@].
func Refang(s string) string { return refang(s) }
