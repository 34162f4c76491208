package mappingtest

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"custom-misp/engine"
)

// A Leaf is a value in an alert that looks like an indicator.
type Leaf struct {
	Path  string      // gjson path, with # for the items of arrays
	Type  engine.Type // by its form
	Value string      // in normal form
	Whole bool        // it is the whole text at the path, not a word of it
}

// envelope are the keys at the top of an alert that say where it comes from, and the raw text that everything else
// was taken from.
var envelope = map[string]bool{
	"timestamp": true, "@timestamp": true, "rule": true, "agent": true, "manager": true, "id": true, "cluster": true,
	"decoder": true, "predecoder": true, "location": true, "input": true, "full_log": true, "previous_output": true,
	"previous_log": true, "_index": true, "_id": true,
}

// passed are paths that are not looked at: a text that repeats the fields beside it, and the machine's own name.
var passed = map[string]bool{"data.win.system.message": true, "data.win.system.computer": true}

const (
	maxLeafDepth = 20
	maxLeafText  = 16 << 10 // bytes of one text that are searched for words
	maxLeaves    = 2000
)

// Leaves returns what looks like an indicator in the fields of an alert: texts that are one as a whole, and hashes,
// addresses and URLs among the words of longer texts. Names are not looked for in longer texts, where too much
// looks like one.
func Leaves(alert []byte) []Leaf {
	var found []Leaf
	gjson.ParseBytes(alert).ForEach(func(key, v gjson.Result) bool {
		if !envelope[key.Str] {
			found = leaves(found, escapeKey(key.Str), v, 0)
		}
		return len(found) < maxLeaves
	})
	return found
}

func leaves(found []Leaf, path string, v gjson.Result, depth int) []Leaf {
	switch {
	case depth > maxLeafDepth || len(found) >= maxLeaves || passed[path]:
	case v.IsObject():
		v.ForEach(func(key, v gjson.Result) bool {
			found = leaves(found, path+"."+escapeKey(key.Str), v, depth+1)
			return true
		})
	case v.IsArray():
		v.ForEach(func(_, item gjson.Result) bool {
			p := path
			if item.IsObject() || item.IsArray() {
				p += ".#"
			}
			found = leaves(found, p, item, depth+1)
			return true
		})
	case v.Type == gjson.String:
		found = inText(found, path, v.Str)
	}
	return found
}

func inText(found []Leaf, path, text string) []Leaf {
	if len(text) < 4 {
		return found
	}
	if t, value, ok := engine.Recognise(text); ok {
		return append(found, Leaf{path, t, value, true})
	}
	if len(text) > maxLeafText {
		text = text[:maxLeafText]
	}
	words := strings.FieldsFunc(text, func(r rune) bool { return r <= ' ' || strings.ContainsRune(`,;="'<>()|`, r) })
	if len(words) < 2 {
		return found
	}
	for _, w := range words {
		if len(w) < 7 || len(found) >= maxLeaves {
			continue
		}
		t, value, ok := engine.Recognise(w)
		if ok && t != "domain" && t != "hostname" {
			found = append(found, Leaf{path, t, value, false})
		}
	}
	return found
}

// unknownText stands for a byte that is no UTF-8.
const unknownText = string(utf8.RuneError)

// escapeKey writes a key as one step of a gjson path. A byte that is no UTF-8 cannot be written, and matches any character. The
// step is empty for a key that no path leads to: an empty one, and one with such a byte and one of \ * ?.
func escapeKey(key string) string {
	if !utf8.ValidString(key) && strings.ContainsAny(key, `\*?`) {
		return ""
	}
	if !strings.ContainsAny(key, special) && strings.TrimSpace(key) == key && utf8.ValidString(key) {
		return key
	}
	var b strings.Builder
	for i, r := range key {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(key[i:], unknownText):
			b.WriteByte('?')
			continue
		case strings.ContainsRune(special, r), unicode.IsSpace(r):
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// special are the characters that mean something in a path, some of them only at its beginning.
const special = `.*?|#@!{}[]()=<>%"'\~^$:,;/`
