package engine

import (
	"errors"
	"slices"
	"strings"
	"sync"

	"golang.org/x/net/publicsuffix"
)

// This file has what is special about mappings with fallback: they pick from alerts that no mapping knows, so a value has only
// its form and the names around it to speak for it.

var (
	errKnown    = errors.New("picked already")
	errOwn      = errors.New("a name or an address of the agent or the manager")
	errIdentity = errors.New("an e-mail address that is not known to be a sender's")
	errLeftOut  = errors.New("behind a name that the pick leaves out")
	errID       = errors.New("hexadecimal that nothing calls a hash")
	errNetwork  = errors.New("a network")
	errVersion  = errors.New("a version")
	errMost     = errors.New("more values than fallback.max_values")
)

// known reports whether a mapping is part of the program, or stands for one that is.
func (m *mapping) known() bool { return m.builtin || m.replaces != "" }

// isProduct reports whether a mapping of the program knows a product. Those of generic.yaml know names that any decoder may
// write.
func (m *mapping) isProduct() bool {
	return m.known() && !m.fallback && !strings.HasPrefix(m.id, "generic-")
}

// pickedByProduct reports whether a mapping of a product has picked a value.
func (r *run) pickedByProduct() bool {
	for i := range r.found {
		for _, p := range r.found[i].Picks {
			if m := r.engine.byID[p.Mapping]; m != nil && m.isProduct() {
				return true
			}
		}
	}
	return false
}

// AskedLive reports whether a server is asked for the value. Of what mappings with fallback picked, only addresses, names,
// URLs and hashes leave the site: they have passed the filter of what is not public, and their form says what they are.
func (o Observable) AskedLive() bool {
	if !o.Fallback {
		return true
	}
	switch o.Type.Family() {
	case familyIP, familyHost, familyURL:
		return true
	}
	return hashLengths[o.Type] > 0
}

// checkFallback returns why a mapping with fallback leaves out a value; nil if it does not.
func (t *taker) checkFallback(typ Type, value string) error {
	fallbacks := 0
	for i := range t.found {
		o := &t.found[i]
		if strings.EqualFold(o.Value, value) {
			return errKnown
		}
		if o.Fallback {
			fallbacks++
		}
	}
	if t.isOwn(typ, value) {
		return errOwn
	}
	if t.p.scan {
		if err := t.checkScanned(typ, value); err != nil {
			return err
		}
	}
	if fallbacks >= t.engine.most {
		t.cut(CutFallback, 1)
		return errMost
	}
	return nil
}

// ownPaths are where an alert names the machine that it came from.
var ownPaths = []string{
	"agent.name", "agent.ip", "manager.name", "predecoder.hostname", "location", "data.win.system.computer", "data.system.computer",
	"wazuh.agent.name", "host.name", "host.hostname", "observer.name",
}

// isOwn reports whether a value is a name or an address of the machine that the alert came from, or of its domain.
func (r *run) isOwn(typ Type, value string) bool {
	host := value
	switch typ.Family() {
	case familyIP, familyHost:
	case familyURL:
		host = hostOfURL(value)
	default:
		return false
	}
	if !r.ownRead {
		r.ownRead = true
		for _, path := range ownPaths {
			if own := strings.TrimSpace(r.text(r.engine.paths.of(path))); own != "" {
				r.own = append(r.own, own)
			}
		}
	}
	for _, own := range r.own {
		if strings.EqualFold(own, host) {
			return true
		}
		if name, err := normalHost(own); err == nil {
			if domain, err := publicsuffix.EffectiveTLDPlusOne(name); err == nil && (host == domain || strings.HasSuffix(host, "."+domain)) {
				return true
			}
		}
	}
	return false
}

// checkScanned returns why a value that was found in a text is left out, by what is before it.
func (t *taker) checkScanned(typ Type, value string) error {
	key := keyBefore(t.before)
	switch {
	case typ.Family() == familyEmail && senders().match(key, nil) == (nameSet{}):
		return errIdentity
	case key != "" && t.leavesOut(key):
		return errLeftOut
	case typ.Family() == familyHost && t.before+t.scanner.after != "" && t.isHostOfFound(value):
		return errKnown
	case typ.Family() == familyHost && isLogHeader(t.before):
		return errOwn // the machine that wrote the log
	case typ.Family() == familyHost && strings.Trim(value, "x.") == "":
		return errPlaceholder // of an address in a log that was made anonymous
	}
	if hashLengths[typ] > 0 && !t.isCalledHash(value) {
		return errID
	}
	if typ.Family() == familyIP {
		switch {
		case isHeaderVersion(t.before) || isPackageVersion(t.before):
			return errVersion
		case isPrefixLength(t.scanner.after):
			return errNetwork
		}
	}
	return nil
}

// isPrefixLength reports whether a text begins with the length of a prefix, so that the address before it is a network.
func isPrefixLength(s string) bool {
	rest, ok := strings.CutPrefix(s, "/")
	return ok && rest != "" && rest[0] >= '0' && rest[0] <= '9'
}

// isHostOfFound reports whether a name is the host of a URL that is found already, by which the URL is looked up too.
func (r *run) isHostOfFound(name string) bool {
	for i := range r.found {
		if o := &r.found[i]; o.Type.Family() == familyURL && hostOfURL(o.Value) == name {
			return true
		}
	}
	return false
}

// senders are the names that mail servers write before the address of a sender.
var senders = sync.OnceValue(func() *nameTree {
	t := &nameTree{}
	for _, name := range []string{"from", "sender", "mail_from", "env_from", "envelope_from", "smtp_from", "hfrom", "header_from", "return_path", "suser", "f"} {
		t.add(name, nameSet{picked: 1})
	}
	return t
})

// leavesOut reports whether the pick leaves out members of a name. A pick of a text by its path goes by the names of the
// other picks of its mapping.
func (t *taker) leavesOut(name string) bool {
	for i := range t.m.named {
		if t.m.named[i].tree.match(name, nil).except != 0 {
			return true
		}
	}
	return false
}

// keyBefore returns the name that a text ends in, if it says what follows: user in user=, "user":" and user: .
func keyBefore(s string) string {
	s = strings.TrimRight(s[max(0, len(s)-100):], "\"'\\[(<{ \t")
	if s == "" || s[len(s)-1] != '=' && s[len(s)-1] != ':' {
		return ""
	}
	s = strings.TrimRight(s[:len(s)-1], "\"'\\ \t")
	begin := len(s)
	for begin > 0 && (isWordChar(s[begin-1]) || s[begin-1] == '-' || s[begin-1] == '.') {
		begin--
	}
	if begin > 0 && (s[begin-1] == '?' || s[begin-1] == '&') {
		return "" // a parameter of a URL
	}
	return s[begin:]
}

// isCalledHash reports whether what is before hexadecimal, or the name of its member, calls it a hash. What nothing is said
// of is taken for one if it is of the length of SHA-256 or SHA-512, and no word for an id is near: of MD5's length are GUIDs,
// and of SHA-1's are commits and keys.
func (t *taker) isCalledHash(value string) bool {
	near := t.before[max(0, len(t.before)-32):]
	if t.at != nil && strings.TrimLeft(near, "\"' ") == "" {
		near = t.at.name
		if n := len(t.at.within); n > 0 {
			near = t.at.within[n-1] + " " + near
		}
	}
	near = strings.ToLower(near)
	has := func(words []string) bool {
		return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(near, word) })
	}
	switch {
	case has(hashWords):
		return true
	case has(idWords):
		return false
	}
	return len(value) >= 64 || has(fileWords)
}

// hashWords and fileWords call hexadecimal the hash of a file.
var (
	hashWords = []string{"md5", "sha1", "sha-1", "sha2", "sha-2", "sha5", "sha-5", "hash", "checksum", "malware", "virus"}
	fileWords = []string{"file", "digest", "sha"}
)

// idWords call hexadecimal something else than the hash of a file.
var idWords = []string{
	"id", "key", "token", "session", "trace", "request", "transaction", "correlation", "container", "image", "layer", "commit", "nonce", "signature",
	"etag", "cookie", "secret", "serial",
}

// isLogHeader reports whether a text is what syslog writes before the name of the machine: a priority and the time.
func isLogHeader(s string) bool {
	if len(s) > len("<134>1 2026-10-05T08:10:00.123456+00:00 ") || !strings.HasSuffix(s, " ") || !strings.Contains(s, ":") {
		return false
	}
	for word := range strings.FieldsSeq(s) {
		if !strings.ContainsAny(word, "0123456789") && !strings.Contains("jan feb mar apr may jun jul aug sep oct nov dec", strings.ToLower(word)) {
			return false
		}
	}
	return true
}

// isPackageVersion reports whether a text ends in an architecture, which the version of a package follows.
func isPackageVersion(s string) bool {
	switch lastWord(s[max(0, len(s)-nearby):]) {
	case "amd64", "arm64", "i386", "x86_64", "aarch64", "noarch", "armhf":
		return true
	}
	return false
}

// isHeaderVersion reports whether a text is the beginning of a header of CEF or LEEF, in which the version of the product
// comes next.
func isHeaderVersion(s string) bool {
	if !strings.HasSuffix(s, "|") {
		return false
	}
	at := max(strings.LastIndex(s, "CEF:"), strings.LastIndex(s, "LEEF:"))
	return at >= 0 && strings.Count(s[at:], "|") <= 4
}
