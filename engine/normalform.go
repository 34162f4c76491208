package engine

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	"golang.org/x/net/publicsuffix"
)

// Reasons why a candidate is dropped. They are fixed values, since almost every alert has a candidate that is dropped,
// and only explain shows why.
var (
	errPlaceholder = errors.New("a placeholder for no value")
	errTooLong     = fmt.Errorf("longer than %d bytes", MaxValue)
	errNoForm      = errors.New("does not look like an indicator that auto knows")
	errNotIP       = errors.New("not an IP address")
	errNotGlobal   = errors.New("a private, reserved or documentation address")
	errNotHost     = errors.New("not a domain or host name")
	errOneLabel    = errors.New("a single label, not a domain or host name")
	errHostIsIP    = errors.New("an IP address, not a domain or host name")
	errReverse     = errors.New("a reverse look-up name")
	errLocalName   = errors.New("of a host that is only known at a site")
	errService     = errors.New("a name of Active Directory, which is the site's own")
	errNotURL      = errors.New("not a URL with scheme and host")
	errNotEmail    = errors.New("not an e-mail address")
	errNotHex      = errors.New("not hexadecimal")
	errHashLength  = errors.New("hexadecimal, but not of the length of this hash")
	errHashOfNone  = errors.New("the hash of an empty file, or all zeros")
	errNotCVE      = errors.New("not a CVE id")
	errNotMAC      = errors.New("not a MAC address")
	errNotAS       = errors.New("not an AS number")
	errNoPair      = errors.New("not a registry key and its data with | between them")
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

// Normal brings raw to the form in which values of type t are shown and asked for: hashes in lower case, addresses
// without port, zone and IPv4 mapping, names without trailing dot and in ASCII, URLs with scheme and host in
// lower case, e-mail addresses without display name, defanged forms refanged. The error says why a value does
// not fit the type. The form is the same for values from alerts and from MISP. Paths, keys of the registry and URLs stay
// as they are written: [Observable.Indicator] is what is compared.
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
	case familyRegistryPair:
		return normalPair(s)
	case familyFilename, familyRegistryKey, "named pipe":
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
// form of the value decides. A URL may lack its scheme: that of the web is put before it. The error says why the value has no
// normal form.
func (t Type) Resolve(raw string) (Type, string, error) {
	if t == Auto {
		return decide(raw)
	}
	value, err := t.Normal(raw)
	if err != nil && t.Family() == familyURL {
		if bare, bareErr := bareURL(raw); bareErr == nil {
			return t, bare, nil
		}
	}
	return t, value, err
}

// bareURL reads a URL without a scheme, as products write those of the web: a path behind a name under a public suffix, or
// behind an address. The name of a file is none.
func bareURL(raw string) (string, error) {
	if strings.IndexByte(raw, '/') < 0 {
		return "", errNotURL
	}
	value, err := normalBareURL(raw)
	if err != nil {
		return "", err
	}
	host := hostOfURL(value)
	if _, err := parseIP(host); err == nil || underPublicSuffix(host) {
		return value, nil
	}
	return "", errNotURL
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

// Recognise returns the type and normal form that a pick of type auto that is not private gives to a text; false
// if such a pick drops it.
func Recognise(text string) (Type, string, bool) {
	t, value, err := decide(text)
	if err == nil {
		err = keepByDefault(t, value)
	}
	return t, value, err == nil
}
