package source

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"custom-misp/engine"
)

// declared adds what a row has of a declared value, and returns why it has none.
func (p *pass) declared(v *compiledValue, e *entry) string {
	if v.when != nil {
		if ok, err := p.truth(v.when, e); err != nil || !ok {
			return reasonNoValue
		}
	}
	if v.from == nil {
		reason := ""
		for _, g := range e.given {
			if v.typ != "" && v.typ != engine.Auto {
				g.typ, g.word = v.typ, ""
			}
			reason = better(reason, p.text(v, g.raw, g.typ, g.word, e, g.below))
		}
		return reason
	}
	word := ""
	if v.typeFrom != nil {
		word = p.textOf(v.typeFrom, e)
	}
	if v.column != "" && e.cell != nil {
		text, ok := e.cell(v.column)
		if !ok {
			return reasonWidth
		}
		return p.text(v, text, v.typ, word, e, false)
	}
	out, err := p.run(v.from, e)
	if err != nil {
		return reasonExpression
	}
	reason := ""
	for _, text := range textsOf(out) {
		reason = better(reason, p.text(v, text, v.typ, word, e, false))
	}
	return cmp.Or(reason, reasonNoValue)
}

// textsOf returns a value of an expression as texts.
func textsOf(out any) []string {
	switch out := out.(type) {
	case nil:
		return nil
	case []any:
		var list []string
		for _, item := range out[:min(len(out), maxOfEntry)] {
			list = append(list, textsOf(item)...)
		}
		return list[:min(len(list), maxOfEntry)]
	case []string:
		return out[:min(len(out), maxOfEntry)]
	}
	return []string{textOf(out)}
}

// textOf returns a value of an expression as a text.
func textOf(out any) string {
	switch out := out.(type) {
	case nil:
		return ""
	case string:
		return out
	case float64:
		return strconv.FormatFloat(out, 'f', -1, 64)
	case map[string]any:
		return ""
	case []any, []string:
		return strings.Join(textsOf(out), ",")
	}
	return fmt.Sprint(out)
}

// text adds the values of one text.
func (p *pass) text(v *compiledValue, text string, t engine.Type, word string, e *entry, below bool) (reason string) {
	if isEmptyMark(trim(text)) {
		return reasonNoValue
	}
	if word != "" {
		if t, reason = v.typeOf(word, t); reason != "" {
			return reason
		}
	}
	if t == "" {
		t = engine.Auto
	}
	parts := []string{text}
	if v.split != "" {
		parts = strings.SplitN(text, v.split, maxOfEntry)
	}
	for _, part := range parts {
		if v.base64 {
			if part, reason = fromBase64(part); reason != "" {
				return reason
			}
		}
		if v.port != nil {
			if port := trim(p.textOf(v.port, e)); !isEmptyMark(port) && t.Family() == "ip" {
				part, t = trim(part)+"|"+port, typeIPPort
			}
		}
		if t == engine.Auto && isPattern(part) {
			reason = better(reason, p.pattern(part))
			continue
		}
		reason = better(reason, p.value(t, part, true, below))
	}
	return reason
}

// isPattern reports whether a cell holds a pattern of STIX.
func isPattern(text string) bool {
	text = trim(text)
	return strings.HasPrefix(text, "[") && strings.HasSuffix(text, "]") && strings.Contains(text, ":") && strings.Contains(text, "=")
}

// pattern adds the values of a pattern of STIX.
func (p *pass) pattern(text string) string {
	parsed, err := parsePattern(trim(text))
	if err != nil {
		return err.Error()
	}
	reason := ""
	for _, group := range parsed.groups {
		found, _, why := stixValues(group)
		reason = better(reason, why)
		for _, g := range found {
			reason = better(reason, p.given(g))
		}
	}
	return reason
}

// typeOf returns the type that a word of a row means.
func (v *compiledValue) typeOf(word string, otherwise engine.Type) (engine.Type, string) {
	if own, ok := v.types[wordKey(word)]; ok {
		if own == skipWord {
			return "", reasonSkipType
		}
		return engine.Type(own), ""
	}
	if t, ok := typeOfWord(word); ok {
		return t, ""
	}
	if otherwise != "" {
		return otherwise, ""
	}
	return "", fmt.Sprintf("unknown type %q", short(word))
}

// given adds a value that the format names itself.
func (p *pass) given(g given) string {
	if g.attr != nil {
		p.found = append(p.found, Indicator{Attribute: *g.attr})
		return ""
	}
	t := g.typ
	if g.word != "" || t == "" {
		var known bool
		if t, known = typeOfWord(g.word); !known {
			return fmt.Sprintf("unknown type %q", short(g.word))
		}
	}
	return p.value(t, g.raw, g.loose || g.word != "", g.below)
}

// value adds the values of a text of one type.
func (p *pass) value(t engine.Type, raw string, named, below bool) string {
	found, retyped, reason := p.values.as(t, raw, named)
	if reason != "" {
		return reason
	}
	if retyped {
		p.report.Retyped++
	}
	for _, v := range found {
		if len(p.found) == maxOfEntry {
			return reasonMany
		}
		if slices.ContainsFunc(p.found, func(f Indicator) bool { return f.Type == string(v.typ) && f.Value == v.text }) {
			continue // another column has it too
		}
		in := Indicator{Values: v.also, Subdomains: p.withSubdomains(v, below)}
		in.Type, in.Value = string(v.typ), v.text
		p.found = append(p.found, in)
	}
	return ""
}

// withSubdomains reports whether a name stands for all below it.
func (p *pass) withSubdomains(v value, below bool) bool {
	if v.typ.Family() != "host" {
		return false
	}
	switch p.source.names {
	case exactNames:
		return false
	case withSubdomains:
		return true
	}
	return below || v.subdomains
}
