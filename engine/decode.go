package engine

import (
	"encoding/base64"
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

// This file undoes encodings: the steps of decode, and what scan reads besides the text itself.
//
// Whoever writes a log writes the encoded text, so its work has bounds: no step makes a text longer than the one it reads,
// which has maxScan bytes at most; json and powershell make maxDecoded texts at most; and what is in encoded text is
// decoded again maxLayers times at most.

const (
	maxDecoded = 32 // texts that one step makes of one, or that scan decodes in one
	maxLayers  = 3  // encodings in encodings that scan follows
)

// A decoder undoes one encoding; false if the text has none. All texts that it returns together are not longer than its own.
type decoder struct {
	word    string
	encoded bool // a value that it changed was encoded
	decode  func(text string) ([]string, bool)
}

var decoders = []decoder{
	{"trim", false, func(s string) ([]string, bool) { return []string{strings.TrimSpace(s)}, true }},
	{"lower", false, func(s string) ([]string, bool) { return []string{strings.ToLower(s)}, true }},
	{"url", true, one(undoPercent)},
	{"base64", true, one(undoBase64)},
	{"utf16", true, one(undoUTF16)},
	{"hex", true, one(undoHex)},
	{"json", true, undoJSON},
	{"powershell", true, undoPowerShell},
	{"sockaddr", true, one(undoSockaddr)},
}

func decodeWords() []string {
	list := make([]string, 0, len(decoders))
	for _, d := range decoders {
		list = append(list, d.word)
	}
	return list
}

func one(decode func(string) (string, bool)) func(string) ([]string, bool) {
	return func(s string) ([]string, bool) {
		text, ok := decode(s)
		return []string{text}, ok
	}
}

// decodeAll takes a text through steps and yields what comes out, with true if a step that undoes an encoding changed it.
// Nothing is yielded of a text that a step cannot read, or that is too long. False if yield did.
func decodeAll(steps []decoder, typ Type, text string, encoded bool, yield func(text string, encoded bool) bool) bool {
	if len(text) > maxScan {
		return true
	}
	if len(steps) == 0 {
		text, ok := asText(typ, text)
		return !ok || yield(text, encoded)
	}
	texts, ok := steps[0].decode(text)
	if !ok {
		return true
	}
	for _, t := range texts {
		if !decodeAll(steps[1:], typ, t, encoded || steps[0].encoded && t != text, yield) {
			return false
		}
	}
	return true
}

// asText returns decoded bytes as a value of a type: the digits of a hash, else the text with a blank for each NUL, which
// separates arguments. False if they are neither.
func asText(typ Type, text string) (string, bool) {
	if digits := hashLengths[typ]; digits > 0 && len(text) == digits/2 {
		return hex.EncodeToString([]byte(text)), true
	}
	if !utf8.ValidString(text) {
		return "", false
	}
	return strings.ReplaceAll(text, "\x00", " "), true
}

// undoPercent undoes %XX, and leaves what is no such sequence as it is.
func undoPercent(s string) (string, bool) {
	if !strings.Contains(s, "%") {
		return s, true
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			high, low := hexDigit(s[i+1]), hexDigit(s[i+2])
			if high >= 0 && low >= 0 {
				b = append(b, byte(high<<4|low)) //nolint:gosec // two digits
				i += 2
				continue
			}
		}
		b = append(b, s[i])
	}
	return string(b), true
}

// undoBase64 takes the standard and the URL alphabet, with and without padding.
func undoBase64(s string) (string, bool) {
	s = strings.TrimRight(strings.TrimSpace(s), "=")
	if s == "" {
		return "", false
	}
	encoding := base64.RawStdEncoding
	if strings.ContainsAny(s, "-_") {
		encoding = base64.RawURLEncoding
	}
	b, err := encoding.DecodeString(s)
	return string(b), err == nil
}

func undoHex(s string) (string, bool) {
	b, err := hex.DecodeString(strings.TrimSpace(s))
	return string(b), err == nil && len(b) > 0
}

// undoUTF16 takes little-endian text, or what its byte order mark says.
func undoUTF16(s string) (string, bool) {
	if len(s) == 0 || len(s)%2 != 0 {
		return "", false
	}
	low, high := 0, 1
	switch {
	case strings.HasPrefix(s, "\xff\xfe"):
		s = s[2:]
	case strings.HasPrefix(s, "\xfe\xff"):
		s, low, high = s[2:], 1, 0
	}
	units := make([]uint16, 0, len(s)/2)
	for i := 0; i < len(s); i += 2 {
		units = append(units, uint16(s[i+low])|uint16(s[i+high])<<8)
	}
	return string(utf16.Decode(units)), true
}

// undoJSON returns the texts in a JSON text.
func undoJSON(s string) ([]string, bool) {
	if !gjson.Valid(s) {
		return nil, false
	}
	texts := scalarsBelow(nil, gjson.Parse(s), 0)
	return texts, len(texts) > 0
}

// scalarsBelow appends the texts of a value, and of those in it.
func scalarsBelow(texts []string, v gjson.Result, level int) []string {
	switch {
	case len(texts) >= maxDecoded:
	case (v.IsArray() || v.IsObject()) && level <= maxObjects:
		v.ForEach(func(_, item gjson.Result) bool {
			texts = scalarsBelow(texts, item, level+1)
			return len(texts) < maxDecoded
		})
	case v.Type != gjson.JSON && v.Type != gjson.Null:
		texts = append(texts, v.String())
	}
	return texts
}

// undoPowerShell returns what a command line of PowerShell has in base64: UTF-16, or the text that FromBase64String has.
func undoPowerShell(s string) ([]string, bool) {
	var texts []string
	for at := 0; len(texts) < maxDecoded; {
		begin, end := nextArgument(s, at)
		if begin == end {
			break
		}
		at = end
		raw, ok := undoBase64(s[begin:end])
		if ok && strings.IndexByte(raw, 0) >= 0 {
			raw, ok = undoUTF16(raw[:len(raw)&^1])
		}
		if ok && utf8.ValidString(raw) {
			texts = append(texts, raw)
		}
	}
	return texts, len(texts) > 0
}

// shortestArgument is the length of the shortest base64 that is decoded: of nine characters of UTF-16.
const shortestArgument = 24

// nextArgument returns where the next base64 behind -EncodedCommand or in FromBase64String is; twice the same for none.
func nextArgument(s string, from int) (begin, end int) {
	for at := from + shortestArgument - 1; at < len(s); {
		// Every so many bytes: one of them is in a run that is long enough.
		const half = shortestArgument / 2
		if !isBase64[s[at]] || !isBase64[s[at-half]] && (at+half >= len(s) || !isBase64[s[at+half]]) {
			at += shortestArgument
			continue
		}
		begin, end = at, at+1
		for begin > from && isBase64[s[begin-1]] {
			begin--
		}
		for end < len(s) && isBase64[s[end]] {
			end++
		}
		if end-begin >= shortestArgument && isArgument(s[:begin]) {
			return begin, end
		}
		at, from = end+shortestArgument-1, end
	}
	return 0, 0
}

// isArgument reports whether a text ends where the argument of -EncodedCommand, by any of its short names, or of
// FromBase64String begins.
func isArgument(s string) bool {
	const call = "frombase64string"
	s = strings.TrimRight(s, `"'\`)
	if inner, ok := strings.CutSuffix(strings.TrimRight(s, " "), "("); ok {
		inner = strings.TrimRight(inner, " ")
		return len(inner) >= len(call) && strings.EqualFold(inner[len(inner)-len(call):], call)
	}
	option := strings.TrimRight(s, " \t")
	if len(option) == len(s) || len(s)-len(option) > 100 {
		return false
	}
	begin := len(option)
	for begin > 0 && classes[option[begin-1]]&(isHex|isOther) != 0 && option[begin-1] != '-' && option[begin-1] != '+' {
		begin--
	}
	name := strings.ToLower(option[max(begin, len(option)-len("encodedcommand")):])
	if name == "" || name != "ec" && !strings.HasPrefix("encodedcommand", name) || len(option)-begin > len("encodedcommand") {
		return false
	}
	for _, dash := range []string{"-", "/", "–", "—", "―"} {
		if before, ok := strings.CutSuffix(option[:begin], dash); ok {
			return before == "" || strings.IndexByte(" \t\"'", before[len(before)-1]) >= 0
		}
	}
	return false
}

// undoSockaddr returns the address in a saddr of auditd: hexadecimal of a family in the order of the machine, a port, and
// the address.
func undoSockaddr(s string) (string, bool) {
	b, err := hex.DecodeString(strings.TrimSpace(s))
	if err != nil || len(b) < 8 {
		return "", false
	}
	switch {
	case b[0] == 2 && b[1] == 0 || b[0] == 0 && b[1] == 2: // AF_INET
		a, _ := netip.AddrFromSlice(b[4:8])
		return a.String(), true
	case len(b) >= 24 && (b[0] == 10 && b[1] == 0 || b[0] == 0 && b[1] == 10): // AF_INET6, with flow information
		a, _ := netip.AddrFromSlice(b[8:24])
		return a.Unmap().String(), true
	}
	return "", false
}

// encodedURL is a part of a text that is likely a URL in percent-encoding, or one that is encoded twice.
var encodedURL = []string{"%3a%2f%2f", "%3A%2F%2F", "%3A%2f%2f", "%3a%2F%2F", "%253a%252f%252f", "%253A%252F%252F"}

// hidden returns the texts that a text has in an encoding: what scan reads besides the text itself.
func hidden(text string) []string {
	texts, _ := undoPowerShell(text)
	if strings.IndexByte(text, '%') >= 0 && slices.ContainsFunc(encodedURL, func(mark string) bool { return strings.Contains(text, mark) }) {
		plain, _ := undoPercent(text)
		texts = append(texts, plain)
	}
	return texts
}

var isBase64 = func() (table [256]bool) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") {
		table[c] = true
	}
	return table
}()
