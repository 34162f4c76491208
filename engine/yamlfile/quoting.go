package yamlfile

import (
	"regexp"
	"strings"
	"sync"
)

// This file recognises mistakes with quotes, which the YAML parser reports as something else in another place.

var (
	quotedAndMore   = lazily(`^\s*(?:-\s+)?(?:\{\s*)?([A-Za-z_]+):\s+((?:"(?:[^"\\]|\\.)*"|'(?:[^']|'')*')\s*[^\s#,}\]].*)$`)
	quotedInFlow    = lazily(`([A-Za-z_]+):\s+((?:"(?:[^"\\]|\\.)*"|'(?:[^']|'')*')\s*[^\s#,}\]][^,}]*)`)
	plainInFlow     = lazily(`([A-Za-z_]+):\s+([^"'{\s,][^,{}:\[(]*[\[{(].*?|\[.*?)(?:,\s*[a-z_]+:.*)?\s*\}?\s*$`)
	doubleQuoted    = lazily(`([A-Za-z_]+):\s+"((?:[^"\\]|\\.)*)"`)
	plainWithColon  = lazily(`^\s*(?:-\s+)?([A-Za-z_]+):\s+([^"'\s].*: .*)$`)
	reservedAtStart = lazily("([A-Za-z_]+):\\s+([@`%][^,}]*)")
)

// lazily compiles a regular expression when it is first needed: a file without a fault needs none.
func lazily(expr string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
}

// quotingRemedy returns what to write for a line in which the YAML parser stopped, with a message; "" if it is no mistake with
// quotes.
func quotingRemedy(line, message string) string {
	switch {
	case strings.HasPrefix(message, "unknown anchor '."), strings.HasPrefix(message, "unknown anchor '*"):
		return "a value that begins with * needs quotes"
	case strings.Contains(message, "unknown escape character"):
		if m := doubleQuoted().FindStringSubmatch(line); m != nil {
			return "in double quotes a backslash is written twice; write " + singleQuoted(m[1], m[2])
		}
		return "in double quotes a backslash is written twice, in single quotes once"
	case strings.Contains(message, "cannot start any token"):
		if m := reservedAtStart().FindStringSubmatch(line); m != nil {
			return "a value cannot begin with " + m[2][:1] + "; write " + singleQuoted(m[1], strings.TrimSpace(m[2]))
		}
	case strings.Contains(message, "mapping values are not allowed"):
		if m := plainWithColon().FindStringSubmatch(line); m != nil {
			return "a value with a colon and a blank needs quotes; write " + singleQuoted(m[1], m[2])
		}
	}
	if m := quotedAndMore().FindStringSubmatch(line); m != nil && !strings.Contains(strings.TrimLeft(line, " -"), "{") {
		return "a value that begins with a quote ends with the next one; write " + singleQuoted(m[1], m[2])
	}
	if m := quotedInFlow().FindStringSubmatch(line); m != nil {
		return "a value that begins with a quote ends with the next one; write " + singleQuoted(m[1], strings.TrimSpace(m[2]))
	}
	if strings.Contains(message, "flow mapping") {
		if m := plainInFlow().FindStringSubmatch(line); m != nil {
			return "between { and } a value with a comma or a bracket needs quotes; write " + singleQuoted(m[1], m[2])
		}
	}
	return ""
}

// singleQuoted writes a key and a value in single quotes.
func singleQuoted(key, value string) string {
	return key + ": '" + strings.ReplaceAll(value, "'", "''") + "'"
}
