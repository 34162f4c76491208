package engine

import (
	"errors"
	"net/netip"
	"net/url"
	"strings"
)

// This file has the normal form of URLs, and what of it is compared.

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

// normalBareURL is normalURL for a URL without a scheme, as some write attributes: evil.example/in.php. It has to begin
// with an address or a name with a dot.
func normalBareURL(raw string) (string, error) {
	s := strings.TrimSpace(raw)
	end := strings.IndexAny(s, "/?#")
	if end < 0 {
		end = len(s)
	}
	if strings.Contains(s, "://") || len(s) > MaxValue || strings.IndexByte(s[:end], '.') <= 0 {
		return "", errNotURL
	}
	return normalURL("http://" + refang(s))
}

const webScheme = "http://"

// urlKey returns what a URL in normal form is compared by. For the web it makes no difference whether the scheme is http
// or https, whether a default port is named, or what fragment follows a path: a fragment is never sent. One behind a
// host alone counts, since it is all that such a URL says (https://mega.example/#!abc).
func urlKey(value string) string {
	key := strings.ToLower(value)
	rest, ok := strings.CutPrefix(key, webScheme)
	if !ok {
		if rest, ok = strings.CutPrefix(key, "https://"); !ok {
			return key
		}
		key = webScheme + rest
	}
	host, tail := rest, ""
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		host, tail = rest[:end], rest[end:]
	}
	bare := strings.TrimSuffix(strings.TrimSuffix(host, ":443"), ":80")
	path := tail
	if at := strings.IndexByte(tail, '#'); at > 1 {
		path = tail[:at]
	}
	if path == "/" || strings.HasPrefix(path, "/?") || strings.HasPrefix(path, "/#") {
		path = path[1:]
	}
	if len(bare) == len(host) && len(path) == len(tail) {
		return key
	}
	return webScheme + bare + path
}
