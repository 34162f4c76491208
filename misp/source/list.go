package source

import (
	"fmt"
	"slices"
	"strings"
)

// List returns a source for a plain list of the configuration (mirror.lists), which is not declared: its form is
// recognised, and what is not certain about it counts too, but for free text. Wide networks are looked up.
func List(name string) *Source {
	return &Source{Name: name, Shrink: DefaultShrink, list: true, wide: true}
}

// recognise finds the form of a file for a source that does not declare it.
func (s *Source) recognise(c Content) (*Source, error) {
	if !s.list {
		return Recognise(c)
	}
	g, err := guessOf(c)
	if err != nil {
		return nil, err
	}
	if g.doubt != "" && slices.ContainsFunc(g.keys, func(k string) bool { return strings.Contains(k, "scan: true") }) {
		return nil, &Unrecognised{g.doubt, g.declaration("NAME")}
	}
	return g.compile()
}

// guessAttributes decides about a table with the columns of MISP's own export, or of ours: value, and others beside it.
func guessAttributes(header []string, sep string) *guess {
	has := func(name string) bool { return slices.Contains(header, name) }
	known := 0
	for _, name := range []string{"uuid", "event_id", "category", "type", "comment", "to_ids", "date", "timestamp", "tags", "attribute_tag", "first_seen", "last_seen"} {
		if has(name) {
			known++
		}
	}
	if !has("value") || known < 2 {
		return nil
	}
	g := &guess{format: FormatCSV, keys: []string{"csv: {separator: " + separatorName(sep) + ", header: true}"}}
	value := "{from: row.value, type: auto}"
	if has("type") {
		value = "{from: row.value, type_from: row.type}"
	}
	g.keys = append(g.keys, "values: ["+value+"]")
	for _, column := range []struct{ key, name string }{
		{"comment", "comment"},
		{"first_seen", "first_seen"},
		{"last_seen", "last_seen"},
		{"last_seen", "timestamp"},
		{"last_seen", "date"},
		{"tags_from", "attribute_tag"},
		{"tags_from", "tags"},
	} {
		line := fmt.Sprintf("%s: row.%s", column.key, column.name)
		if has(column.name) && !slices.ContainsFunc(g.keys, func(k string) bool { return strings.HasPrefix(k, column.key+":") }) {
			g.keys = append(g.keys, line)
		}
	}
	if has("to_ids") {
		g.keys = append(g.keys, `to_ids: not (lower(row.to_ids) in ["0", "false", "no"])`)
	}
	return g
}
