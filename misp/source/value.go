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

// as returns the values of a text whose type is declared, or named by its row. retyped is set if its form says otherwise,
// and counts.
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
		if other, why := v.several(s); why == "" {
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
	if _, err := netip.ParseAddr(strings.Trim(name, "[]")); err != nil {
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
