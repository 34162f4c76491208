package source

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"custom-misp/misp/internal/jsonscan"
)

// guessJSON decides about a file that begins as JSON does; nil if it is none. cut is set if text is only the beginning.
func guessJSON(c Content, text []byte, cut bool) *guess {
	first, rest, several := bytes.Cut(text, []byte("\n"))
	ndjson := text[0] == '{' && json.Valid(bytes.TrimSpace(first)) && (!several || bytes.HasPrefix(bytes.TrimSpace(rest), []byte("{")))
	broken := !cut && !ndjson && !json.Valid(text)
	if broken && text[0] == '[' && !bytes.Contains(first, []byte(`"`)) && len(bytes.TrimSpace(first)) > 1 {
		return nil // a list with [brackets]
	}
	if g := guessOwnJSON(text, tailOf(c, text), broken); g != nil {
		return g
	}
	switch {
	case ndjson && several:
		return guessObjects(c, text, FormatNDJSON)
	case ndjson:
		if g := guessObjects(c, text, FormatJSON); g != nil && g.doubt == "" {
			return g
		}
		return guessObjects(c, text, FormatNDJSON)
	}
	return guessObjects(c, text, FormatJSON)
}

// guessOwnJSON finds formats whose documents have names of their own.
func guessOwnJSON(text, tail []byte, broken bool) *guess {
	start := slices.Concat(text[:min(len(text), 64<<10)], tail)
	has := func(names ...string) bool {
		return !slices.ContainsFunc(names, func(n string) bool { return !bytes.Contains(start, []byte(`"`+n+`"`)) })
	}
	switch {
	case has("api_roots"), has("collections", "id", "title", "can_read"), has("versions") && bytes.Contains(start, []byte("application/taxii+json")):
		return &guess{format: FormatTAXII, doubt: "it is what a TAXII server says about itself; declare its address as url"}
	case text[0] == '{' && !broken && has("list") && (has("matching_attributes") || has("type", "name", "description")):
		return &guess{format: FormatWarninglist}
	case has("stix_header"):
		return &guess{format: FormatSTIX, doubt: "it is STIX 1, which is not read; export it as STIX 2"}
	case has("type", "bundle", "objects"), has("pattern", "type", "indicator", "id"):
		return &guess{format: FormatSTIX}
	case has("Event"), has("response", "Attribute"), has("Attribute"), has("type", "value", "to_ids"), has("type", "value", "category"):
		return &guess{format: FormatMISP}
	case has("indicators", "indicator", "type"):
		return &guess{format: FormatOTX}
	}
	return nil
}

// tailOf returns the end of a file that is not packed: of a long list, what says what it is comes behind it.
func tailOf(c Content, text []byte) []byte {
	const length = 4096
	if c.Size() <= int64(len(text)) {
		return text[max(0, len(text)-length):]
	}
	tail := make([]byte, length)
	n, _ := c.ReadAt(tail, max(0, c.Size()-length)) // what could be read
	return tail[:n]
}

// guessObjects decides which members of objects hold indicators.
func guessObjects(c Content, text []byte, format Format) *guess {
	for _, p := range presets() {
		if p.Format == format && len(p.used) > 1 && hasMembers(text, p.used) && fits(p.Source, c) {
			return &guess{preset: p.Name, format: format}
		}
	}
	rows, path := objectsOf(text, format)
	g := &guess{format: format}
	names, cells := tableOf(rows)
	if len(names) == 0 {
		g.doubt = "there are no objects in a list"
		g.keys = []string{`json: {rows: "*"}`, "values: [{from: row.VALUE, type: auto}]"}
		return g
	}
	found := guessColumns(columnsOf(names, cells), ",", true, len(cells))
	if format == FormatJSON && path != "*" {
		g.keys = append(g.keys, fmt.Sprintf("json: {rows: %q}", path))
	}
	if found == nil {
		g.doubt = fmt.Sprintf("no member holds indicators; there are: %s", short(strings.Join(names, ", ")))
		g.keys = append(g.keys, "values: [{from: "+access(names[0], 0)+", type: auto}]")
		return g
	}
	g.keys = append(g.keys, found.keys[1:]...)
	g.doubt = found.doubt
	return g
}

// hasMembers reports whether a text has all names as members of objects.
func hasMembers(text []byte, names []string) bool {
	return !slices.ContainsFunc(names, func(n string) bool { return !bytes.Contains(text, []byte(`"`+n+`"`)) })
}

// objectsOf returns the first rows of a document, and the path to them.
func objectsOf(text []byte, format Format) (rows []map[string]any, path string) {
	if format == FormatNDJSON {
		for l := range bytes.Lines(text) {
			var row map[string]any
			if json.Unmarshal(bytes.TrimSpace(l), &row) == nil && len(rows) < 200 && row["type"] != "metadata" {
				rows = append(rows, row)
			}
		}
		return rows, ""
	}
	if text[0] == '[' {
		return rowsIn(jsonscan.Elements(text)), "*"
	}
	for name, v := range jsonscan.Members(text) {
		if rows = rowsIn(jsonscan.Elements(v)); len(rows) > 0 && !strings.ContainsAny(string(name), ".*") {
			if strings.Trim(string(name), "0123456789") == "" {
				return rows, "*.*"
			}
			return rows, string(name) + ".*"
		}
	}
	return nil, ""
}

// rowsIn returns the first objects of a sequence.
func rowsIn(elements func(func([]byte) bool)) (rows []map[string]any) {
	for e := range elements {
		var row map[string]any
		if json.Unmarshal(e, &row) == nil {
			rows = append(rows, row)
		}
		if len(rows) == 200 {
			break
		}
	}
	return rows
}

// tableOf makes a table of the plain members of objects.
func tableOf(objects []map[string]any) (names []string, rows [][]string) {
	seen := map[string]bool{}
	for _, o := range objects {
		for name := range o {
			if !seen[name] && len(names) < maxColumns {
				seen[name] = true
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	for _, o := range objects {
		row := make([]string, len(names))
		for i, name := range names {
			if _, nested := o[name].(map[string]any); !nested {
				row[i] = textOf(o[name])
			}
		}
		rows = append(rows, row)
	}
	return names, rows
}
