package engine

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"
)

// Reasons why a candidate is dropped. They are fixed values, since almost every alert has a candidate that is dropped,
// and only explain shows why.
var (
	errPlaceholder = errors.New("a placeholder for no value")
	errTooLong     = fmt.Errorf("longer than %d bytes", MaxValue)
	errNoForm      = errors.New("does not look like an indicator that auto knows")
	errNotIP       = errors.New("not an IP address")
	errNotGlobal   = errors.New("not a globally routable unicast address")
	errNotHost     = errors.New("not a domain or host name")
	errOneLabel    = errors.New("a single label, not a domain or host name")
	errHostIsIP    = errors.New("an IP address, not a domain or host name")
	errReverse     = errors.New("a reverse look-up name")
	errLocalName   = errors.New("of a host that is only known at a site")
	errNotURL      = errors.New("not a URL with scheme and host")
	errNotEmail    = errors.New("not an e-mail address")
	errNotHex      = errors.New("not hexadecimal")
	errHashLength  = errors.New("hexadecimal, but not of the length of this hash")
	errHashOfNone  = errors.New("the hash of an empty file, or all zeros")
	errNotCVE      = errors.New("not a CVE id")
	errNotMAC      = errors.New("not a MAC address")
	errNotAS       = errors.New("not an AS number")
	errControl     = errors.New("contains control characters")
)

// placeholders are what log sources write for no value, in lower case.
var placeholders = map[string]bool{
	"": true, "-": true, "n/a": true, "null": true, "(null)": true, "none": true, "sanitized": true,
}

// emptyHashes are the hashes of an empty file.
var emptyHashes = map[string]bool{
	"d41d8cd98f00b204e9800998ecf8427e":                                                                                                 true,
	"da39a3ee5e6b4b0d3255bfef95601890afd80709":                                                                                         true,
	"d14a028c2a3a2bc9476102bb288234c415a2b01f828ea62ac5b3e42f":                                                                         true,
	"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855":                                                                 true,
	"38b060a751ac96384cd9327eb1b1e36a21fdb71114be07434c0cc7bf63f6e1da274edebfe76f65fbd51ad2f14898b95b":                                 true,
	"cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e": true,
}

// Normal brings raw to the one form in which values of type t are compared: hashes in lower case, addresses
// without port, zone and IPv4 mapping, names without trailing dot and in ASCII, URLs with scheme and host in
// lower case, e-mail addresses without display name, defanged forms refanged. The error says why a value does
// not fit the type. The form is the same for values from alerts and from MISP.
func (t Type) Normal(raw string) (string, error) {
	s := strings.TrimSpace(raw)
	if isPlaceholder(s) {
		return "", errPlaceholder
	}
	if len(s) > MaxValue {
		return "", errTooLong
	}
	if n, ok := hashLengths[t]; ok {
		if strings.HasPrefix(string(t), "x509-") {
			s = strings.ReplaceAll(s, ":", "") // as MISP stores them
		}
		return normalHash(s, n)
	}
	switch t.Family() {
	case familyIP:
		a, err := parseIP(refang(s))
		if err != nil {
			return "", err
		}
		return a.String(), nil
	case familyHost:
		return normalHost(refang(s))
	case familyURL:
		return normalURL(refang(s))
	case familyEmail:
		return normalEmail(refang(s))
	case familyCVE:
		return normalCVE(s)
	case familyFilename, "regkey", "named pipe":
		return normalText(unescapePath(s))
	case "mac-address":
		return normalMAC(s, 12)
	case "mac-eui-64":
		return normalMAC(s, 16)
	case "AS":
		return normalAS(s)
	}
	return normalText(s)
}

// Resolve returns the type and the normal form of a value that was picked as type t. [Auto] becomes the type that the
// form of the value decides. The error says why the value has no normal form.
func (t Type) Resolve(raw string) (Type, string, error) {
	if t == Auto {
		return decide(raw)
	}
	value, err := t.Normal(raw)
	return t, value, err
}

// decide finds the type of a value from its form; see [Auto].
func decide(raw string) (Type, string, error) {
	s := strings.TrimSpace(raw)
	if isPlaceholder(s) {
		return "", "", errPlaceholder
	}
	if len(s) > MaxValue {
		return "", "", errTooLong
	}
	s = refang(s)
	if a, err := parseIP(s); err == nil {
		return "ip-dst", a.String(), nil
	}
	if t, ok := autoHashes[len(s)]; ok {
		if h, err := normalHash(s, len(s)); err == nil || errors.Is(err, errHashOfNone) {
			return t, h, err
		}
	}
	if strings.Contains(s, "://") {
		u, err := normalURL(s)
		return "url", u, err
	}
	if strings.Contains(s, "@") {
		e, err := normalEmail(s)
		return "email", e, err
	}
	if c, err := normalCVE(s); err == nil {
		return "vulnerability", c, nil
	}
	host, err := normalHost(s)
	if err != nil || !underPublicSuffix(host) {
		return "", "", errNoForm
	}
	return typeOfHost(host), host, nil
}

// typeOfHost returns domain for a name that can be registered, hostname for a name below one.
func typeOfHost(host string) Type {
	if registrable, err := publicsuffix.EffectiveTLDPlusOne(host); err == nil && registrable == host {
		return "domain"
	}
	return "hostname"
}

func isPlaceholder(s string) bool {
	return len(s) <= len("sanitized") && placeholders[strings.ToLower(s)]
}

func normalHash(s string, digits int) (string, error) {
	zeros := true
	for i := range len(s) {
		switch c := s[i]; {
		case c == '0':
		case '1' <= c && c <= '9', 'a' <= c && c <= 'f', 'A' <= c && c <= 'F':
			zeros = false
		default:
			return "", errNotHex
		}
	}
	if len(s) != digits {
		return "", errHashLength
	}
	h := strings.ToLower(s)
	if zeros || emptyHashes[h] {
		return "", errHashOfNone
	}
	return h, nil
}

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

func isDigits(s string) bool { return strings.Trim(s, "0123456789") == "" }

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

// unescapeAmpersands makes & of &amp;, &amp;amp; and so on, as in Windows event data and in pages.
func unescapeAmpersands(s string) string {
	const amp = "amp;"
	at := strings.Index(s, "&"+amp)
	if at < 0 {
		return s
	}
	var b strings.Builder
	for ; at >= 0; at = strings.Index(s, "&"+amp) {
		b.WriteString(s[:at+1])
		for s = s[at+1:]; strings.HasPrefix(s, amp); {
			s = s[len(amp):]
		}
	}
	b.WriteString(s)
	return b.String()
}

func normalURL(s string) (string, error) {
	s = unescapeAmpersands(s)
	u, ok := splitURL(s)
	if !ok {
		if u, ok = parseURL(s); !ok {
			return "", errNotURL
		}
	}
	host := u.host
	if a, err := parseIP(host); err == nil {
		host = a.String()
		if a.Is6() {
			host = "[" + host + "]"
		}
	} else if name, err := normalHost(host); err == nil {
		host = name
	} else if errors.Is(err, errOneLabel) {
		host = strings.ToLower(host)
	} else {
		return "", errNotURL
	}
	if u.port != "" {
		host += ":" + u.port
	}
	return normalText(u.scheme + "://" + u.user + host + u.tail)
}

// urlParts are the parts of a URL: the scheme in lower case, the user with the @ behind, the host without port and
// brackets, the port without the colon, and what follows, which is never / alone.
type urlParts struct{ scheme, user, host, port, tail string }

// parseURL takes a URL apart as [url.Parse] does; false if it is none with scheme and host.
func parseURL(s string) (p urlParts, ok bool) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme == "" || u.Host == "" {
		return p, false
	}
	_, rest, ok := strings.Cut(s, "://")
	if !ok {
		return p, false
	}
	p = urlParts{scheme: u.Scheme, host: u.Hostname(), port: u.Port()}
	if u.User != nil {
		p.user = u.User.String() + "@"
	}
	if i := strings.IndexAny(rest, "/?#"); i >= 0 && rest[i:] != "/" {
		p.tail = rest[i:]
	}
	return p, true
}

// splitURL does what parseURL does, in a fraction of the time, with most URLs; false if only parseURL can tell.
func splitURL(s string) (p urlParts, ok bool) {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok || scheme == "" {
		return p, false
	}
	for i := range len(scheme) {
		if c := scheme[i] | 0x20; c < 'a' || c > 'z' {
			return p, false
		}
	}
	p.scheme = strings.ToLower(scheme)
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	if tail := rest[end:]; tail != "/" {
		p.tail = tail
		if !isPlainTail(tail) {
			return p, false
		}
	}
	ok = p.splitAuthority(rest[:end])
	return p, ok
}

// splitAuthority sets user, host and port; false if only parseURL can tell.
func (p *urlParts) splitAuthority(s string) bool {
	if at := strings.IndexByte(s, '@'); at >= 0 {
		if name, password, both := strings.Cut(s[:at], ":"); !isPlainHost(name) || both && !isPlainHost(password) {
			return false
		}
		p.user, s = s[:at+1], s[at+1:]
	}
	if inner, ok := strings.CutPrefix(s, "["); ok {
		p.host, s, ok = strings.Cut(inner, "]")
		if a, err := netip.ParseAddr(p.host); !ok || err != nil || !a.Is6() || a.Zone() != "" {
			return false
		}
	} else {
		end := strings.IndexByte(s, ':')
		if end < 0 {
			end = len(s)
		}
		p.host, s = s[:end], s[end:]
		if !isPlainHost(p.host) {
			return false
		}
	}
	p.port = strings.TrimPrefix(s, ":")
	return isDigits(p.port) && (s == "" || s[0] == ':')
}

// isPlainTail reports whether what follows the host of a URL is as it can be: url.Parse refuses control characters, and a
// percent sign without two hexadecimal digits but in a query.
func isPlainTail(tail string) bool {
	query := false
	for i := range len(tail) {
		switch c := tail[i]; {
		case c < ' ' || c == 0x7f:
			return false
		case c == '?':
			query = true
		case c == '#':
			query = false
		case c == '%' && !query && (i+2 >= len(tail) || hexDigit(tail[i+1]) < 0 || hexDigit(tail[i+2]) < 0):
			return false
		}
	}
	return true
}

// isPlainHost reports whether a text has only bytes of ASCII names of hosts, and some.
func isPlainHost(s string) bool {
	for i := range len(s) {
		if !isHostByte(s[i]) {
			return false
		}
	}
	return s != ""
}

// isHostByte reports whether a byte is one of the ASCII names of hosts.
func isHostByte(c byte) bool {
	return classes[c]&(inWord|noName|endsURL) == inWord || c == '_'
}

func normalEmail(s string) (string, error) {
	if i := strings.LastIndexByte(s, '<'); i >= 0 && strings.HasSuffix(s, ">") {
		s = s[i+1 : len(s)-1]
	}
	local, domain, ok := strings.Cut(s, "@")
	local = strings.ToLower(local)
	if !ok || local == "" || len(local) > 64 || strings.ContainsAny(local, "\"<>()[],;:\\") || strings.ContainsFunc(local, unicode.IsSpace) {
		return "", errNotEmail
	}
	host, err := normalHost(domain)
	if err != nil {
		return "", errNotEmail
	}
	return normalText(local + "@" + host)
}

// normalCVE accepts a year of four digits and a number of 4 to 19, as the CVE program assigns them.
func normalCVE(s string) (string, error) {
	const head, year = "CVE-", "CVE-1999"
	if len(s) < len("CVE-1999-0001") || len(s) > len("CVE-1999-")+19 || !strings.EqualFold(s[:len(head)], head) ||
		!isDigits(s[len(head):len(year)]) || s[len(year)] != '-' || !isDigits(s[len(year)+1:]) {
		return "", errNotCVE
	}
	return strings.ToUpper(s), nil
}

func normalMAC(s string, digits int) (string, error) {
	hex := strings.NewReplacer(":", "", "-", "", ".", "").Replace(strings.ToLower(s))
	if len(hex) != digits || strings.Trim(hex, "0123456789abcdef") != "" {
		return "", errNotMAC
	}
	parts := make([]string, 0, digits/2)
	for i := 0; i < len(hex); i += 2 {
		parts = append(parts, hex[i:i+2])
	}
	return strings.Join(parts, ":"), nil
}

func normalAS(s string) (string, error) {
	digits := strings.TrimPrefix(strings.ToUpper(s), "AS")
	if digits == "" || len(digits) > 10 || strings.Trim(digits, "0123456789") != "" {
		return "", errNotAS
	}
	return "AS" + digits, nil
}

func normalText(s string) (string, error) {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] == 0x7f {
			return "", errControl
		}
	}
	if isPlaceholder(s) {
		return "", errPlaceholder
	}
	return s, nil
}

// Recognise returns the type and normal form that a pick of type auto without a keep expression gives to a text; false
// if such a pick drops it.
func Recognise(text string) (Type, string, bool) {
	t, value, err := decide(text)
	if err == nil {
		err = keepByDefault(t, value)
	}
	return t, value, err == nil
}
