package source

import (
	"net/url"
	"strings"
)

// placeholders matches what stands for a secret in an address.
var placeholders = lazily(`\$\{([A-Za-z0-9_]+)\}`)

// MaskURL returns an address as logs, status and errors may contain it: without a password, the values of its query, and
// the parts of its path that look like keys.
func MaskURL(address string) string {
	scheme, rest, ok := strings.Cut(address, "://")
	if !ok {
		return address
	}
	u, err := url.Parse(strings.ReplaceAll(strings.ReplaceAll(address, "${", "__"), "}", "__"))
	if err != nil || u.Host == "" {
		return scheme + "://…" // any part of it may be a key
	}
	rest, _, _ = strings.Cut(rest, "#")
	rest, query, asks := strings.Cut(rest, "?")
	host, path, _ := strings.Cut(rest, "/")
	host = host[strings.LastIndexByte(host, '@')+1:]
	parts := strings.Split(path, "/")
	for i, part := range parts {
		if looksLikeKey(part) {
			parts[i] = "…"
		}
	}
	shown := scheme + "://" + host
	if path != "" {
		shown += "/" + strings.Join(parts, "/")
	}
	if !asks {
		return shown
	}
	pairs := strings.Split(query, "&")
	for i, pair := range pairs {
		name, value, has := strings.Cut(pair, "=")
		switch {
		case has && placeholders().FindString(value) == value:
		case has:
			pairs[i] = name + "=…"
		case looksLikeKey(name):
			pairs[i] = "…"
		}
	}
	return shown + "?" + strings.Join(pairs, "&")
}

// looksLikeKey reports whether a part of an address may be a key: long, of letters and digits alone, and of both.
func looksLikeKey(part string) bool {
	digits, letters := 0, 0
	for i := range len(part) {
		switch c := part[i]; {
		case c >= '0' && c <= '9':
			digits++
		case c|0x20 >= 'a' && c|0x20 <= 'z', c == '-' || c == '_':
			letters++
		default:
			return false
		}
	}
	return len(part) >= 24 && digits >= 3 && letters > 0
}
