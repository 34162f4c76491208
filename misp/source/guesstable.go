package source

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"custom-misp/engine"
)

var zeroTime time.Time

// context are words in names of columns that tell about an indicator, and are none.
var contextWords = lazily(`(?i)(^|[^a-z])(ref|reference|references|link|links|source|src_url|report|reports|permalink|detail|details|target|contact|abuse|reporter|` +
	`user|author|blog|provider|registrar|isp|asn?|as_number|as_name|asname|country|note|notes|description|comment|comments|screenshot|image|sample_url|md_link|created_by|file_size|parent|` +
	`imphash|ssdeep|tlsh|tags?|payload_bin|context|title)([^a-z]|$)|_link$|_url$|^url_detail`)

// valueWords are names of columns that hold indicators of several types.
var valueWords = map[string]bool{
	"ioc": true, "iocs": true, "indicator": true, "indicators": true, "value": true, "ioc-value": true, "indicator-value": true, "data": true, "observable": true,
	"observable-value": true, "artifact": true, "hash": true, "hashes": true, "file-hash": true, "filehash": true, "pattern-value": true, "entry": true,
	"malicious": true, "threat": false,
}

// expiryWords are names of columns with the end of an indicator.
var expiryWords = lazily(`(?i)^(valid[ _-]?until|end[ _-]of[ _-]validity|expires?([ _-]?(at|on))?|expiration([ _-]?date(time)?)?|expirationdatetime|expiry|expire[ _-]?date|valid[ _-]?to|indicatorexpirationdatetime)$`)

// guessTable decides about a file with columns.
func guessTable(c Content, s sampled) *guess {
	texts := make([]string, 0, len(s.rows))
	for _, l := range s.rows[:min(len(s.rows), 5000)] {
		texts = append(texts, l.raw)
	}
	if len(texts) == 0 {
		return nil
	}
	sep := separatorOf(texts[:min(len(texts), 50)])
	rows := tableRows(texts, sep, s.prefixes)
	if width := widthOf(rows); width < 2 {
		if rows = blankRows(texts); rows == nil {
			return nil
		}
		sep = " "
	}
	header := headerOf(rows, s, sep)
	if g := guessHeader(c, header); g != nil {
		return g
	}
	if header != nil && slices.Equal(header, rows[0]) {
		if g := guessAttributes(header, sep); g != nil {
			return g
		}
	}
	if header != nil && slices.Equal(header, rows[0]) {
		rows = rows[1:]
	}
	if len(rows) == 0 {
		return nil
	}
	g := guessColumns(columnsOf(header, rows), sep, header != nil, len(rows))
	if g != nil && len(s.prefixes) > 0 && !slices.Equal(s.prefixes, hash) {
		g.keys[0] = fmt.Sprintf("csv: {separator: %s, comment_prefix: [%s]}", separatorName(sep), quotedList(s.prefixes))
	}
	return g
}

// tableRows splits rows, also those that go over several lines.
func tableRows(texts []string, sep string, prefixes []string) [][]string {
	joined := strings.Join(texts, "\n")
	s := &Source{Format: FormatCSV, separator: sep, header: headerFalse, comments: prefixes}
	p := newPass(context.Background(), s, zeroTime)
	t := &table{p: p, lines: newLineReader(newBufio(joined)), prefixes: prefixes}
	t.setSeparator(sep)
	var rows [][]string
	for {
		l, err := t.lines.next()
		if err != nil {
			return rows
		}
		if trim(l.text) == "" {
			continue
		}
		cells, open := t.split(l.raw)
		if open >= 0 && t.width > 1 {
			if _, more, ok := t.rest(l, open); ok {
				cells = more
			} else if t.cut && len(rows) > 2 {
				return rows // the sample ends in the middle of a row
			}
		}
		if t.width == 0 {
			t.width, t.quoted = len(cells), strings.HasPrefix(trim(l.raw), `"`)
		}
		rows = append(rows, slices.Clone(cells))
	}
}

// widthOf returns the number of columns that most rows have; 0 if they differ.
func widthOf(rows [][]string) int {
	widths := map[int]int{}
	for _, r := range rows {
		widths[len(r)]++
	}
	for w, n := range widths {
		if 100*n >= most*len(rows) {
			return w
		}
	}
	// Rows of text with commas in it: the widest of those that are common.
	best := 0
	for w, n := range widths {
		if w > 1 && 2*n >= len(rows) {
			best = max(best, w)
		}
	}
	return best
}

// blankRows splits rows at blanks, if all have the same number of words, more than one, and their first word is not
// always the one indicator of the row, as in a list with remarks.
func blankRows(texts []string) [][]string {
	var rows [][]string
	first := 0
	for _, t := range texts {
		cells := strings.Fields(t)
		if len(cells) < 2 || len(rows) > 0 && len(cells) != len(rows[0]) {
			return nil
		}
		if _, reason := (valuer{}).auto(cells[0]); reason == "" {
			first++
		}
		rows = append(rows, cells)
	}
	if first == len(rows) {
		return nil
	}
	return rows
}

// headerOf returns the names of the columns: of the first row, or of the last comment before; nil for none.
func headerOf(rows [][]string, s sampled, sep string) []string {
	width := widthOf(rows)
	if looksLikeHeader(rows[0]) && (len(rows) > 1 || width < 2) {
		return rows[0]
	}
	for _, comment := range slices.Backward(s.comments) {
		cells, _ := splitRow(nil, comment, sep[0])
		if sep == " " {
			cells = strings.Fields(comment)
		}
		if len(cells) == width && len(cells) > 1 && looksLikeHeader(cells) {
			return cells
		}
	}
	return nil
}

// guessHeader finds a preset whose columns a header names.
func guessHeader(c Content, header []string) *guess {
	if len(header) < 2 {
		return nil
	}
	var best *preset
	for i, p := range presets() {
		if p.Format != FormatCSV || len(p.columns) < 3 || p.header == headerFalse || !sameNames(p.columns, header) {
			continue
		}
		if best == nil || len(p.columns) > len(best.columns) {
			best = &presets()[i]
		}
	}
	if best == nil || !fits(best.Source, c) {
		return nil
	}
	return &guess{preset: best.Name, format: FormatCSV}
}

// sameNames reports whether a header has the columns of a preset, in any order: all, or all but one of many.
func sameNames(want, header []string) bool {
	missing := 0
	for _, w := range want {
		if !slices.ContainsFunc(header, func(h string) bool { return wordKey(h) == wordKey(w) }) {
			missing++
		}
	}
	return missing == 0 || missing == 1 && len(want) > 6
}

// columnsOf looks at the cells of each column.
func columnsOf(header []string, rows [][]string) []*column {
	width := max(len(header), widthOf(rows))
	columns := make([]*column, width)
	for i := range columns {
		c := &column{types: map[engine.Family]int{}, hosts: map[string]int{}, values: map[string]bool{}}
		if i < len(header) {
			c.name = header[i]
			if t, ok := typeOfWord(c.name); ok && namesColumn(t) {
				c.typ = t
			}
			c.context = c.typ == "" && contextWords().MatchString(c.name)
		}
		columns[i] = c
		for _, r := range rows {
			if i < len(r) && !isEmptyMark(r[i]) {
				c.see(r[i])
			}
		}
	}
	return columns
}

// namesColumn reports whether a column with the name of a type holds indicators of it: a port, a text or a user agent
// beside others says something about these.
func namesColumn(t engine.Type) bool {
	return ordinary[familyOf(t)] || t == engine.Auto || t == typeHash || strings.Contains(string(t), "fingerprint") || t == "filename" || t == "regkey" ||
		t == "mutex"
}

// see counts a cell.
func (c *column) see(cell string) {
	c.filled++
	if len(c.values) < 50 {
		c.values[cell] = true
	}
	if t, ok := typeOfWord(cell); ok && t != "" {
		c.words++
	}
	if _, ok := dateOf(cell); ok {
		c.dates++
	}
	if c.typ != "" {
		if _, _, reason := (valuer{}).as(c.typ, cell, true); reason == "" {
			c.named++
		}
	}
	found, reason := (valuer{}).several(cell)
	if reason != "" {
		if isPattern(cell) {
			c.hits++
		}
		return
	}
	c.hits++
	family := familyOf(found[0].typ)
	c.types[family]++
	if family == "url" {
		host := strings.TrimPrefix(strings.TrimPrefix(found[0].text, "http://"), "https://")
		if i := strings.IndexAny(host, "/?#"); i >= 0 {
			host = host[:i]
		}
		c.hosts[host]++
	}
}

// guessColumns decides which columns hold indicators; nil if none does.
func guessColumns(columns []*column, sep string, named bool, rows int) *guess {
	g := &guess{format: FormatCSV}
	typeColumn := findTypeColumn(columns)
	candidates := candidatesOf(columns, typeColumn, named)
	if len(candidates) == 0 {
		candidates = bestByForm(columns, typeColumn)
		if len(candidates) == 0 || columns[candidates[0]].ratio(columns[candidates[0]].hits) < 30 {
			return nil
		}
		c := columns[candidates[0]]
		g.doubt = fmt.Sprintf("%d of %d cells of the column %s hold indicators, and its name does not say so", c.hits, c.filled, cmp.Or(c.name, columnName(candidates[0])))
	}
	values := make([]string, 0, len(candidates))
	for _, i := range candidates {
		values = append(values, valueOfColumn(columns, i, typeColumn))
	}
	g.keys = append(g.keys, "csv: {separator: "+separatorName(sep)+"}", "values: ["+strings.Join(values, ", ")+"]")
	for i, c := range columns {
		if expiryWords().MatchString(c.name) {
			g.keys = append(g.keys, fmt.Sprintf("expires: {at: %s}", access(c.name, i)))
			break
		}
	}
	switch {
	case named || len(candidates) < 2 || g.doubt != "":
	case hashesAlone(columns, candidates):
		g.doubt = "the hashes beside other values may be of files or of certificates, and no header says which"
	case typeColumn < 0 && rows < 3 && sep != " ":
		g.doubt = "several columns hold values, and no header says which are indicators"
	}
	return g
}

// candidatesOf returns the columns that hold indicators: by their names where these say so, else by their cells.
func candidatesOf(columns []*column, typeColumn int, named bool) (candidates []int) {
	byName := false
	for i, c := range columns {
		if i == typeColumn || c.context || c.filled == 0 {
			continue
		}
		isNamed := c.typ != "" && 100*c.named >= 50*c.filled || valueWords[wordKey(c.name)] && c.ratio(c.hits) >= 30
		byName = byName || isNamed && named
		if isNamed || c.ratio(c.hits) >= most && c.ratio(c.dates) < most {
			candidates = append(candidates, i)
		}
	}
	if byName { // names say more than forms
		candidates = slices.DeleteFunc(candidates, func(i int) bool {
			c := columns[i]
			return c.typ == "" && !valueWords[wordKey(c.name)]
		})
	}
	if typeColumn < 0 {
		return withoutReferences(columns, candidates)
	}
	if len(candidates) == 0 {
		candidates = bestByForm(columns, typeColumn)
	}
	return agreeing(columns, candidates, byName)
}

// valueOfColumn declares the value of a column.
func valueOfColumn(columns []*column, i, typeColumn int) string {
	c := columns[i]
	if typeColumn >= 0 && (c.typ == "" || c.typ == engine.Auto) {
		return fmt.Sprintf("{from: %s, type_from: %s}", access(c.name, i), access(columns[typeColumn].name, typeColumn))
	}
	return fmt.Sprintf("{from: %s, type: %q}", access(c.name, i), cmp.Or(c.typ, engine.Auto))
}

// hashesAlone reports whether there are SHA-1 sums in a table, and no hashes of another kind.
func hashesAlone(columns []*column, candidates []int) bool {
	sha1, others := 0, 0
	for _, i := range candidates {
		sha1 += columns[i].types["sha1"]
		others += columns[i].types["sha256"] + columns[i].types["md5"]
	}
	return sha1 > 0 && others == 0
}

// separatorName is a separator as a declaration has it.
func separatorName(sep string) string {
	switch sep {
	case "\t":
		return "tab"
	case " ":
		return "blank"
	}
	return fmt.Sprintf("%q", sep)
}

// access is the expression for a column.
func access(name string, i int) string {
	switch {
	case name == "":
		return "row." + columnName(i)
	case plainName().MatchString(name):
		return "row." + name
	}
	return fmt.Sprintf("%q", fmt.Sprintf("row[%q]", name))
}

var plainName = lazily(`^[A-Za-z_][A-Za-z0-9_]*$`)

// findTypeColumn returns the column whose cells are words for types; -1 for none.
func findTypeColumn(columns []*column) int {
	best := -1
	for i, c := range columns {
		key := wordKey(c.name)
		isNamed := strings.Contains(key, "type") || key == "indicator" || key == "kind"
		least := most
		if isNamed {
			least = 20
		}
		if c.ratio(c.words) < least || c.filled == 0 || len(c.values) > 25 {
			continue
		}
		if best < 0 || c.words > columns[best].words {
			best = i
		}
	}
	return best
}

// bestByForm returns the column with most indicators.
func bestByForm(columns []*column, except int) []int {
	best := -1
	for i, c := range columns {
		if i != except && c.hits > 0 && !c.isReference() && (best < 0 || c.hits > columns[best].hits) {
			best = i
		}
	}
	if best < 0 {
		return nil
	}
	return []int{best}
}

// agreeing returns, of the columns beside one of types, those that hold the value: by their names, else the one with
// different families of values, else the first.
func agreeing(columns []*column, candidates []int, byName bool) []int {
	if byName {
		return candidates
	}
	candidates = withoutReferences(columns, candidates)
	if len(candidates) < 2 {
		return candidates
	}
	best := candidates[0]
	for _, i := range candidates[1:] {
		if len(columns[i].types) > len(columns[best].types) {
			best = i
		}
	}
	return []int{best}
}

// withoutReferences leaves out columns of URLs of one site, unless nothing else is left.
func withoutReferences(columns []*column, candidates []int) []int {
	others := slices.DeleteFunc(slices.Clone(candidates), func(i int) bool { return columns[i].isReference() })
	if len(others) == 0 {
		return candidates
	}
	return others
}
