package source

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/publicsuffix"

	"custom-misp/engine"
)

// A value is an indicator as it is compared.
type value struct {
	typ        engine.Type
	text       string   // in normal form; of a URL without scheme as it is written, with the host in lower case
	also       []string // instead of text: the URLs that one without scheme stands for
	subdomains bool     // a name with all below it
}

// Why an entry yields no indicator. Reports have these texts.
const (
	reasonNoValue    = "no value"
	reasonNoForm     = "no indicator"
	reasonTooLong    = "longer than 4096 bytes"
	reasonNotIP      = "no address or network"
	reasonNotHost    = "no domain or host name"
	reasonHostIsIP   = "an address in place of a name"
	reasonNotURL     = "no URL"
	reasonNotHash    = "no hash of this type"
	reasonEmptyHash  = "the hash of an empty file"
	reasonEverything = "a network of all addresses"
	reasonWrongForm  = "not of its type"
	reasonPadded     = "an address with leading zeros"
	reasonPath       = "a path alone"
	reasonUTF8       = "not UTF-8"
	reasonLongLine   = "a line of more than 1 MiB"
	reasonWidth      = "too few columns"
	reasonTooWide    = "too many columns"
	reasonNotWanted  = "not wanted"
	reasonMany       = "more than 1000 indicators"
	reasonEncoding   = "not base64"
	reasonExpression = "expression failed"
	reasonSkipType   = "type left out"
	reasonException  = "an exception"
	reasonNoLookup   = "not for look-ups"
	reasonScore      = "a score out of range"
	reasonInactive   = "inactive"
	reasonRevoked    = "revoked"
	reasonOlder      = "an older version"
	reasonJSON       = "no JSON object"
)

// ordinary are the types whose values have forms of their own: where a row names another type, the form counts.
var ordinary = map[engine.Family]bool{
	"ip": true, "host": true, "url": true, "email": true, "vulnerability": true, "md5": true, "sha1": true, "sha224": true,
	"sha256": true, "sha384": true, "sha512": true,
}

// A valuer makes values of texts.
type valuer struct {
	padded bool
}

// as returns the values of a text whose type is declared, or named by its row. retyped is set if its form says otherwise:
// with named, that counts. A URL without a scheme is no form that is clear enough.
func (v valuer) as(t engine.Type, raw string, named bool) (found []value, retyped bool, reason string) {
	s := trim(raw)
	if isEmptyMark(s) {
		return nil, false, reasonNoValue
	}
	if len(s) > engine.MaxValue {
		return nil, false, reasonTooLong
	}
	if t == engine.Auto || t == typeHash {
		found, reason = v.several(s)
		if t == typeHash && reason == "" && slices.ContainsFunc(found, func(f value) bool { return !isHash[f.typ] }) {
			return nil, false, reasonNotHash
		}
		return found, false, reason
	}
	if found, reason = v.declared(t, s); reason == "" {
		return found, false, ""
	}
	if named && ordinary[familyOf(t)] {
		if other, why := v.several(s); why == "" && !slices.ContainsFunc(other, func(f value) bool { return len(f.also) > 0 }) {
			return other, true, ""
		}
	}
	return nil, false, reason
}

// familyOf is the family of a type; of a pair with a port, that of its first half.
func familyOf(t engine.Type) engine.Family {
	first, _, _ := strings.Cut(string(t), "|")
	return engine.Type(first).Family()
}

// declared returns the values of a text of one type.
func (v valuer) declared(t engine.Type, s string) (found []value, reason string) {
	switch t.Family() {
	case "ip":
		return v.address(t, engine.Refang(s))
	case "host":
		return v.host(t, engine.Refang(s))
	case "url":
		return v.url(engine.Refang(s))
	}
	switch t {
	case typeIPPort, "ip-src|port":
		return v.addressPort(t, engine.Refang(s))
	case typeHostPort:
		return v.hostPort(engine.Refang(s))
	case typeURI:
		return []value{{typ: t, text: s}}, ""
	}
	if strings.Contains(string(t), "|") || t == "malware-sample" {
		if len(engine.Indicators(t, s)) == 0 {
			return nil, reasonWrongForm
		}
		return []value{{typ: t, text: s}}, ""
	}
	text, err := t.Normal(s)
	if err != nil {
		switch {
		case err.Error() == "the hash of an empty file, or all zeros":
			return nil, reasonEmptyHash
		case ordinary[t.Family()] && t.Family() != "email" && t.Family() != "vulnerability", strings.Contains(string(t), "fingerprint"):
			return nil, reasonNotHash
		}
		return nil, reasonWrongForm
	}
	return []value{{typ: t, text: text}}, ""
}

// isHash are the hashes of files that have a form of their own.
var isHash = map[engine.Type]bool{"md5": true, "sha1": true, "sha224": true, "sha256": true, "sha384": true, "sha512": true}

// several returns the values of a text by its form: one, or all of a list with commas, semicolons, bars, blanks or line
// breaks between, if each is one.
func (v valuer) several(s string) (found []value, reason string) {
	if found, reason = v.auto(s); reason != reasonNoForm || !strings.ContainsAny(s, ",;| \t\n") {
		return found, reason
	}
	for part := range strings.FieldsFuncSeq(s, func(r rune) bool { return strings.ContainsRune(",;| \t\r\n", r) }) {
		one, why := v.auto(part)
		if why != "" || len(found) >= maxOfEntry {
			return nil, reason
		}
		found = append(found, one...)
	}
	if len(found) == 0 {
		return nil, reason
	}
	return found, ""
}

// auto returns the values of a text by its form.
func (v valuer) auto(s string) (found []value, reason string) {
	s = engine.Refang(s)
	if t, text, err := engine.Auto.Resolve(s); err == nil {
		if t == typeIP {
			if a, perr := netip.ParseAddrPort(s); perr == nil {
				return []value{{typ: typeIPPort, text: portValue(a)}}, ""
			}
		}
		return []value{{typ: t, text: text}}, ""
	} else if strings.HasPrefix(err.Error(), "the hash of") {
		return nil, reasonEmptyHash
	}
	if strings.Contains(s, "://") {
		return nil, reasonNotURL
	}
	if looksNumeric(s) {
		if found, reason = v.address(typeIP, s); reason != reasonNotIP {
			return found, reason
		}
	}
	if isAS(s) {
		return []value{{typ: typeAS, text: strings.ToUpper(s)}}, ""
	}
	if name, ok := belowName(s); ok && knownName(name) {
		return v.host(typeHost, s)
	}
	if found, ok := schemeless(s, true); ok {
		return found, ""
	}
	if found, reason := v.hostPort(s); reason == "" && knownName(found[0].host()) {
		return found, ""
	}
	if strings.HasPrefix(s, "/") {
		return nil, reasonPath
	}
	return nil, reasonNoForm
}

// addressPort reads an address with its port. What is a valid IPv6 address too, 2001:db8::5:443, is read as this.
func (v valuer) addressPort(t engine.Type, s string) ([]value, string) {
	if v.padded {
		s = withoutZeros(s)
	}
	a, err := netip.ParseAddrPort(strings.Replace(s, "|", ":", 1))
	if err != nil {
		i := strings.LastIndexAny(s, ":|")
		if i < 0 {
			return v.address(typeIP, s)
		}
		port, perr := strconv.ParseUint(s[i+1:], 10, 16)
		addr, aerr := netip.ParseAddr(s[:i])
		if perr != nil || aerr != nil {
			return v.address(typeIP, s)
		}
		a = netip.AddrPortFrom(addr, uint16(port))
	}
	return []value{{typ: t, text: portValue(a)}}, ""
}

// host reads a name. One that begins with a dot or *. is a name with all below it.
func (v valuer) host(t engine.Type, s string) ([]value, string) {
	name, below := belowName(s)
	if _, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		return nil, reasonHostIsIP
	}
	text, err := typeHost.Normal(name)
	if err != nil {
		return nil, reasonNotHost
	}
	if t == typeHost || t == typeDomain {
		t = typeOfName(text)
	}
	return []value{{typ: t, text: text, subdomains: below}}, ""
}

// belowName takes off what says that a name stands for all below it.
func belowName(s string) (name string, below bool) {
	if rest, ok := strings.CutPrefix(s, "*."); ok {
		return rest, true
	}
	return strings.CutPrefix(s, ".")
}

// typeOfName returns domain for a name that can be registered, hostname for another.
func typeOfName(name string) engine.Type {
	if registrable, err := publicsuffix.EffectiveTLDPlusOne(name); err == nil && registrable == name {
		return typeDomain
	}
	return typeHost
}

// knownName reports whether a name is under a public suffix: file.exe is not.
func knownName(name string) bool {
	t, _, err := engine.Auto.Resolve(name)
	return err == nil && t.Family() == "host"
}

// host returns the host of a name with a port.
func (v value) host() string {
	host, _, _ := strings.Cut(v.text, "|")
	return host
}

// hostPort reads a name with its port.
func (v valuer) hostPort(s string) ([]value, string) {
	i := strings.LastIndexAny(s, ":|")
	if i < 0 {
		return nil, reasonNotHost
	}
	port, err := strconv.ParseUint(s[i+1:], 10, 16)
	if err != nil {
		return nil, reasonNotHost
	}
	found, reason := v.host(typeHost, s[:i])
	if reason != "" {
		return nil, reason
	}
	found[0].typ, found[0].text = typeHostPort, found[0].text+"|"+strconv.FormatUint(port, 10)
	return found, ""
}

// url reads a URL, also one without a scheme.
func (v valuer) url(s string) ([]value, string) {
	text, err := typeURL.Normal(s)
	if err == nil {
		return []value{{typ: typeURL, text: text}}, ""
	}
	if strings.Contains(s, "://") {
		return nil, reasonNotURL
	}
	if found, ok := schemeless(s, false); ok {
		return found, ""
	}
	return nil, reasonNotURL
}

// schemeless reads a URL without a scheme, which stands for that with http and that with https. With sure, its host has to
// be an address or under a public suffix: and/or is no URL.
func schemeless(s string, sure bool) ([]value, bool) {
	slash := strings.IndexAny(s, "/?")
	if slash <= 0 || strings.ContainsAny(s[:slash], "@ \t\"'\\=&") {
		return nil, false
	}
	host := s[:slash]
	name := host
	if i := strings.LastIndexByte(host, ':'); i > 0 && strings.Trim(host[i+1:], "0123456789") == "" {
		name = host[:i]
	}
	if _, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		if rest := s[slash+1:]; rest != "" && len(rest) < 4 && strings.Trim(rest, "0123456789") == "" {
			return nil, false // a network that is wrong: 192.0.2.0/33
		}
	} else {
		if _, err := typeHost.Normal(name); err != nil || sure && !knownName(name) {
			return nil, false
		}
	}
	var urls []string
	for _, scheme := range []string{"http://", "https://"} {
		u, err := typeURL.Normal(scheme + s)
		if err != nil {
			return nil, false
		}
		urls = append(urls, u)
	}
	return []value{{typ: typeURL, text: strings.TrimPrefix(urls[0], "http://"), also: urls}}, true
}
