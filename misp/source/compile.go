package source

import (
	"cmp"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"custom-misp/engine"
	"custom-misp/engine/yamlfile"
	"custom-misp/misp"
)

// rowNames are the names that expressions can use. The values only give the types.
var rowNames = map[string]any{"row": map[string]any{}, "parent": map[string]any{}, "value": "", "type": "", "line": 0}

// Names lists the names that expressions can use, besides the functions of the mapping language.
func Names() []engine.Name {
	return []engine.Name{
		{Name: "row", Doc: "the row: `row.url`, `row[\"Valid Until\"]`. Columns without a name are c1, c2, …"},
		{Name: "parent", Doc: "in JSON, the object that holds the list of the row"},
		{Name: "value, type", Doc: "the value as the file has it, and the word for its type, where the format names them"},
		{Name: "line", Doc: "the number of the line, or of the object"},
	}
}

// A compiler makes a Source of a declaration.
type compiler struct{ *yamlfile.Reader }

var nameForm = lazily(`^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?$`)

// compile checks a declaration, with what it has of a preset.
func (c compiler) compile(d declaredSource) *Source {
	s := &Source{
		Name: d.Name.Value, Description: d.Description.Value, Preset: d.Preset.Value, URL: d.URL.Value, Path: d.Path.Value,
		Format: Format(d.Format.Value), Shrink: DefaultShrink, MayBeEmpty: isTrue(d.MayBeEmpty), Unverified: isTrue(d.Unverified),
		member: d.Member.Value, names: d.Names.Value, padded: isTrue(d.Padded), wide: isTrue(d.WideNetworks),
	}
	if !nameForm().MatchString(s.Name) {
		c.Fault(d.Name.Node, "use letters, digits, and . _ - between them, at most 64", "%q is no name of a source", s.Name)
	}
	c.word(d.Format, "format", formats)
	c.word(d.Names, "names", []string{exactNames, withSubdomains})
	c.where(d, s)
	c.form(d, s)
	c.taxii(d, s)
	for _, v := range d.Values {
		s.values = append(s.values, c.value(v))
	}
	c.needsValues(d, s)
	s.only = c.expression(d.Only, "only", true)
	s.firstSeen, s.lastSeen = c.expression(d.FirstSeen, "first_seen", false), c.expression(d.LastSeen, "last_seen", false)
	s.toIDs = c.expression(d.ToIDs, "to_ids", true)
	s.tagsFrom = c.expression(d.TagsFrom, "tags_from", false)
	s.comment, s.reference = c.expression(d.Comment, "comment", false), c.expression(d.Reference, "reference", false)
	for _, t := range d.Tags {
		if len(t.Value) > misp.MaxTag {
			c.Fault(t.Node, "", "a tag of more than %d bytes", misp.MaxTag)
		}
		s.tags = append(s.tags, t.Value)
	}
	if c.word(d.Missing, "missing", engine.MissingWords) {
		s.Missing = d.Missing.Value
	}
	if c.word(d.ThreatLevel, "threat_level", engine.ThreatLevels) {
		s.threatLevel = misp.ThreatLevel(1 + slices.Index(engine.ThreatLevels, d.ThreatLevel.Value))
	}
	c.times(d, s)
	s.marks, s.form = texts(d.Marks), fingerprint(d)
	s.used, _ = s.usesRow()
	s.plain = map[*engine.Expression]string{}
	for _, x := range s.expressions() {
		if column, ok := columnOf(x); ok {
			s.plain[x] = column
		}
	}
	return s
}

// columnOf returns the column that an expression is, as row.url and row["url"] are; false for any other expression.
func columnOf(x *engine.Expression) (string, bool) {
	if x == nil {
		return "", false
	}
	members, whole := x.Members("row")
	if len(members) != 1 || whole {
		return "", false
	}
	text := strings.TrimSpace(x.String())
	return members[0], text == "row."+members[0] || text == fmt.Sprintf("row[%q]", members[0])
}

func isTrue(flag *bool) bool { return flag != nil && *flag }

// word checks a text that is one of a few; false if it is none of them, or left out.
func (c compiler) word(s yamlfile.Scalar, what string, words []string) bool {
	if !s.Given() {
		return false
	}
	if slices.Contains(words, s.Value) {
		return true
	}
	c.Fault(s.Node, yamlfile.OneOf(s.Value, words), "%s %q is unknown", what, s.Value)
	return false
}

// form checks what belongs to one format.
func (c compiler) form(d declaredSource, s *Source) {
	for _, f := range []struct {
		key     string
		given   bool
		node    *yaml.Node
		formats []Format
	}{
		{"lines", d.Lines != nil, d.Format.Node, []Format{FormatLines}},
		{"csv", d.CSV != nil, d.Format.Node, []Format{FormatCSV, FormatIPRep}},
		{"json", d.JSON != nil, d.Format.Node, []Format{FormatJSON, FormatNDJSON}},
		{"taxii", d.TAXII != nil, d.Format.Node, []Format{FormatTAXII}},
	} {
		if f.given && s.Format != "" && !slices.Contains(f.formats, s.Format) {
			c.Fault(f.node, "leave it out", "the key %s has no meaning for format %s", f.key, s.Format)
		}
		if f.given && s.Format == "" {
			s.Format = f.formats[0]
		}
	}
	if l := d.Lines; l != nil {
		s.comments, s.separator, s.scan = texts(l.CommentPrefix), l.Separator.Value, isTrue(l.Scan)
		s.onlyPart = c.pattern(l.Only)
	}
	if t := d.CSV; t != nil {
		s.comments, s.columns, s.header = texts(t.CommentPrefix), texts(t.Columns), t.Header.Value
		c.word(t.Header, "header", []string{headerAuto, headerTrue, headerFalse})
		s.separator = t.Separator.Value
		switch s.separator {
		case "tab", `\t`:
			s.separator = "\t"
		case "blank":
			s.separator = " "
		default:
			if len(s.separator) > 1 || s.separator == `"` {
				c.Fault(t.Separator.Node, "use one character, tab or blank", "%q is no separator", s.separator)
			}
		}
	}
	if d.JSON != nil && d.JSON.Rows.Given() {
		s.rows = strings.Split(d.JSON.Rows.Value, ".")
		if slices.Contains(s.rows, "") || !slices.Contains(s.rows, "*") {
			c.Fault(d.JSON.Rows.Node, "write names with dots between, and * for each item, like data.*", "%q leads to no rows", d.JSON.Rows.Value)
		}
	}
}

// taxii checks what is read of a server of TAXII.
func (c compiler) taxii(d declaredSource, s *Source) {
	if s.Format == FormatTAXII && d.Path.Given() {
		c.Fault(d.Path.Node, "give it a url; a file with what such a server gave has the format stix", "format taxii is of servers")
	}
	t := d.TAXII
	if t == nil {
		return
	}
	s.taxii.collections, s.taxii.since = texts(t.Collections), c.duration(t.Since, "since")
	if t.Limit.Given() {
		n, err := strconv.Atoi(t.Limit.Value)
		if err != nil || n < 1 || n > maxTAXIILimit {
			c.Fault(t.Limit.Node, fmt.Sprintf("write a number from 1 to %d", maxTAXIILimit), "limit %q is no number of objects", t.Limit.Value)
		}
		s.taxii.limit = n
	}
}

func (c compiler) pattern(s yamlfile.Scalar) *regexp.Regexp {
	if !s.Given() {
		return nil
	}
	re, err := regexp.Compile(s.Value)
	if err != nil {
		c.Fault(s.Node, "", "only: %v", err)
	}
	return re
}

func texts(list []yamlfile.Scalar) []string {
	var out []string
	for _, s := range list {
		out = append(out, s.Value)
	}
	return out
}

// needsValues reports a format that yields nothing without values.
func (c compiler) needsValues(d declaredSource, s *Source) {
	needs := s.Format == FormatCSV || s.Format == FormatJSON || s.Format == FormatNDJSON
	if needs && len(s.values) == 0 {
		c.Fault(d.Name.Node, "add values: [{from: row.NAME, type: auto}]; custom-misp source suggest writes it",
			"format %s needs values", s.Format)
	}
}

func (c compiler) expression(s yamlfile.Scalar, what string, truth bool) *engine.Expression {
	if !s.Given() {
		return nil
	}
	return engine.CompileExpression(c.Reader, s, what, rowNames, truth)
}

// value checks one of the values of a row.
func (c compiler) value(d declaredValue) compiledValue {
	v := compiledValue{typ: engine.Type(d.Type.Value), split: d.Split.Value, base64: d.Decode.Value == decodeBase64}
	v.from = c.expression(d.From, "from", false)
	v.typeFrom, v.port = c.expression(d.TypeFrom, "type_from", false), c.expression(d.Port, "port", false)
	v.when = c.expression(d.When, "when", true)
	c.word(d.Decode, "decode", []string{decodeBase64})
	c.word(d.Type, "type", typeNames())
	if v.typ == "" && v.typeFrom == nil {
		v.typ = engine.Auto
	}
	v.column, _ = columnOf(v.from)
	if d.Types != nil && d.Types.Kind != yaml.MappingNode {
		c.Fault(d.Types, "write {WORD: TYPE}", "types must be a set of words and types, not %s", yamlfile.KindOf(d.Types))
		return v
	}
	if d.Types != nil {
		known := append(typeNames(), skipWord)
		v.types = map[string]string{}
		for i := 0; i+1 < len(d.Types.Content); i += 2 {
			word, t := d.Types.Content[i], d.Types.Content[i+1]
			if !slices.Contains(known, t.Value) {
				c.Fault(t, cmp.Or(yamlfile.DidYouMean(t.Value, known), "custom-misp schema --kind sources lists them"), "type %q is unknown", t.Value)
			}
			v.types[wordKey(word.Value)] = t.Value
		}
	}
	return v
}

// times checks expires, refresh and shrink.
func (c compiler) times(d declaredSource, s *Source) {
	if e := d.Expires; e != nil {
		s.expires.at, s.expires.from, s.expires.layout = c.expression(e.At, "at", false), c.expression(e.From, "from", false), e.Layout.Value
		s.expires.after = c.duration(e.After, "after")
		if s.expires.at == nil && s.expires.after == 0 {
			c.Fault(d.Name.Node, "give it at, or after", "expires has neither an end nor a time")
		}
	}
	s.Refresh = c.duration(d.Refresh, "refresh")
	if d.Shrink.Given() {
		share, ok := strings.CutSuffix(d.Shrink.Value, "%")
		n, err := strconv.ParseFloat(share, 64)
		if !ok || err != nil || n < 0 || n > 100 {
			c.Fault(d.Shrink.Node, "write a share like 50%", "shrink %q is no share", d.Shrink.Value)
		}
		s.Shrink = n / 100
	}
}

// duration reads a time like 15m, 6h or 30d; 0 if it is left out.
func (c compiler) duration(s yamlfile.Scalar, what string) time.Duration {
	if !s.Given() {
		return 0
	}
	d, err := engine.ParseAge(s.Value)
	if err != nil || d <= 0 {
		c.Fault(s.Node, "write a time like 15m, 6h or 30d", "%s %q is no time", what, s.Value)
	}
	return time.Duration(d)
}

// over returns a declaration with what another one has where it has nothing.
func over(d, preset declaredSource) declaredSource {
	v, p := reflect.ValueOf(&d).Elem(), reflect.ValueOf(preset)
	for i := range v.NumField() {
		if f := v.Field(i); f.CanSet() && f.IsZero() {
			f.Set(p.Field(i))
		}
	}
	return d
}
