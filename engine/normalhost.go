package engine

import (
	"net/netip"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"
)

// This file has the normal forms of addresses and names.

// parseIP accepts an address alone, with a port (1.2.3.4:80, [2001:db8::1]:80) or in brackets.
func parseIP(s string) (netip.Addr, error) {
	if s == "" || len(s) > len("[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255%]:65535")+64 {
		return netip.Addr{}, errNotIP
	}
	if c := s[0]; c != '[' && c != ':' && hexDigit(c) < 0 {
		return netip.Addr{}, errNotIP
	}
	if v4, port, _ := strings.Cut(s, ":"); strings.IndexByte(port, ':') < 0 && !isIPv4(v4) {
		return netip.Addr{}, errNotIP // netip takes its time to say so
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		if p, perr := netip.ParseAddrPort(s); perr == nil {
			a, err = p.Addr(), nil
		} else if inner, ok := strings.CutPrefix(s, "["); ok && strings.HasSuffix(inner, "]") {
			a, err = netip.ParseAddr(strings.TrimSuffix(inner, "]"))
		}
	}
	if err != nil {
		return netip.Addr{}, errNotIP
	}
	return a.WithZone("").Unmap(), nil
}

// isIPv4 reports whether a text has the bytes of an IPv4 address.
func isIPv4(s string) bool {
	for i := range len(s) {
		if c := s[i]; c != '.' && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

func hexDigit(c byte) int { return strings.IndexByte("0123456789abcdef", c|0x20) }

// normalHost checks a name as resolvers and logs use them: letters, digits, hyphens and underscores, at least
// two labels, the last one not a number.
func normalHost(s string) (string, error) {
	s = strings.TrimSuffix(s, ".")
	if _, err := parseIP(s); err == nil {
		return "", errHostIsIP
	}
	return normalName(s)
}

// normalName is normalHost for what is no address and does not end in a dot.
func normalName(s string) (string, error) {
	s, err := asciiName(s)
	if err != nil || len(s) > 253 {
		return "", errNotHost
	}
	s = strings.ToLower(s)
	labels, last := 0, ""
	for rest, more := s, true; more; labels++ {
		last, rest, more = strings.Cut(rest, ".")
		if !isLabel(last) {
			return "", errNotHost
		}
	}
	if labels < 2 {
		return "", errOneLabel
	}
	if isDigits(last) || strings.Contains(last, "_") {
		return "", errNotHost
	}
	return s, nil
}

// asciiName returns an internationalised name as DNS has it, and any other as it is.
func asciiName(s string) (string, error) {
	if isASCII(s) {
		return s, nil
	}
	puny, err := idna.Lookup.ToASCII(s)
	return strings.TrimSuffix(puny, "."), err
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// isLabel reports whether s, in lower case, can be a label of a name.
func isLabel(s string) bool {
	if s == "" || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// underPublicSuffix reports whether the name ends in a suffix of the public suffix list: file.exe and java.util.List do
// not. The reserved .example counts too: documentation and test indicators use it.
func underPublicSuffix(host string) bool {
	_, ok := publicSuffix(host)
	return ok
}

// publicSuffix returns the suffix that a name is under; false if it is under none.
func publicSuffix(host string) (string, bool) {
	suffix, icann := publicsuffix.PublicSuffix(host)
	if !icann && strings.IndexByte(suffix, '.') < 0 && suffix != "example" {
		return "", false
	}
	return suffix, host != suffix
}
