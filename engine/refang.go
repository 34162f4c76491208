package engine

import "strings"

// This file undoes what is done to values before they reach an alert: defanging, and escapes of JSON and XML.

// refang undoes what people do to keep an indicator from being clicked on: hxxp://, [.], (.), [dot], [:], [@].
func refang(s string) string {
	if hasDefangedScheme(s) {
		s = "http" + s[len("hxxp"):]
	}
	if strings.ContainsAny(s, "[({") {
		s = fangs.Replace(s)
	}
	return s
}

// hasDefangedScheme reports whether s begins with hxxp or hxxps as the scheme of a URL; hxxp.example is a name.
func hasDefangedScheme(s string) bool {
	const scheme = "hxxp"
	if len(s) <= len(scheme) || !strings.EqualFold(s[:len(scheme)], scheme) {
		return false
	}
	rest := s[len(scheme):]
	if rest[0]|0x20 == 's' {
		rest = rest[1:]
	}
	return strings.HasPrefix(rest, ":") || strings.HasPrefix(rest, "[:")
}

var fangs = strings.NewReplacer("[.]", ".", "(.)", ".", "{.}", ".", "[dot]", ".", "(dot)", ".", "[:]", ":", "[://]", "://",
	"[@]", "@", "[at]", "@")

var xmlEntities = strings.NewReplacer("&lt;", "<", "&gt;", ">", "&quot;", `"`, "&apos;", "'", "&amp;", "&")

// unescapePath undoes what Wazuh leaves in Windows event data: XML entities and doubled backslashes. If any run of
// backslashes has an odd length, the path was not doubled: the two at the start of a UNC path are its own.
func unescapePath(s string) string {
	if strings.Contains(s, "&") {
		s = xmlEntities.Replace(s)
	}
	run, runs := 0, 0
	for i := 0; i <= len(s); i++ {
		if i < len(s) && s[i] == '\\' {
			run++
			continue
		}
		if run%2 == 1 {
			return s
		}
		if run > 0 {
			runs++
		}
		run = 0
	}
	if runs == 0 {
		return s
	}
	return strings.ReplaceAll(s, `\\`, `\`)
}

var (
	defangedScheme = lazily(`(?i)\bhxxp(s?)(://|\[:\]//|\[://\]|:\\/\\/)`)
	escapedSlash   = strings.NewReplacer(`\/`, `/`)
	defangedDot    = lazily(`(?i)([a-z0-9])\s?(?:\[\.\]|\(\.\)|\{\.\}|\[dot\]|\(dot\)|\[\.|\.\])\s?([a-z0-9])`)
)

// plainText refangs the indicators in a text. It undoes escaped slashes of JSON too, and entities of XML, which Wazuh
// leaves in Windows event data.
func plainText(text string) string {
	if strings.Contains(text, "&") {
		text = xmlEntities.Replace(text)
	}
	if strings.Contains(text, `\/`) {
		text = escapedSlash.Replace(text)
	}
	if hasDefangedMark(text) {
		for range 2 { // neighbours share a letter
			text = defangedDot().ReplaceAllString(text, "$1.$2")
		}
		text = fangs.Replace(text)
	}
	if strings.Contains(text, "xxp") || strings.Contains(text, "XXP") || strings.Contains(text, "XXp") || strings.Contains(text, "xxP") {
		text = defangedScheme().ReplaceAllString(text, "http$1://")
	}
	return text
}

// hasDefangedMark reports whether a bracket is where defanging puts one: before or behind a dot, a colon, an @, or the
// word for it.
func hasDefangedMark(text string) bool {
	for i := range len(text) {
		switch text[i] {
		case '[', '(', '{':
			if i+1 < len(text) && strings.IndexByte(".:@dDaA", text[i+1]) >= 0 {
				return true
			}
		case ']':
			if i > 0 && text[i-1] == '.' {
				return true
			}
		}
	}
	return false
}
