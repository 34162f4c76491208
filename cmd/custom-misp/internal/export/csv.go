package export

import (
	"strconv"
	"strings"
	"unicode"
)

// csvHead names the columns, those that our own lists understand (mirror.List) by the names they have there. The
// tags are attribute_tag as in MISP's own export, with commas between: the column "tags" of lists has blanks
// between, and tags of galaxies have blanks in them.
const csvHead = "value,type,category,comment,to_ids,uuid,event_id,event_uuid,event_info,org,threat_level,date,attribute_tag,origin,timestamp\n"

func csvForm() Form {
	return Form{
		Name:  "csv",
		Short: "One table with all values, to standard output or as misp.csv",
		Long: `Write all values as one table, RFC 4180 with newlines, to standard output or as misp.csv below --dir.

The columns are value, type, category, comment, to_ids, uuid, event_id, event_uuid, event_info, org, threat_level, date
(of the event), attribute_tag (with commas between), origin and timestamp (seconds since 1970). Where several attributes have a
value, the strongest stands for them. The uuid is empty for one half of an attribute with two values, like domain|ip.

A cell that a spreadsheet would take for a formula, because it begins with = + - or @, has a no-break space (U+00A0) before
it. The file can be an entry of mirror.lists, which does not mind that; other readers take off blanks, as Unicode
has them, at both ends of a cell.`,
		ToStdout: true,
		files:    []listFile{{"misp.csv", csvHead}},
		lines: func(v value) ([]line, string) {
			a := v.Attribute
			id := a.UUID
			if string(v.Type) != a.Type {
				id = "" // both halves would have one, and a list keeps one attribute with a UUID
			}
			tags := make([]string, len(a.Tags))
			for i, t := range a.Tags {
				tags[i] = strings.ReplaceAll(t, ",", ";") // the comma is between them
			}
			seconds := ""
			if !a.Timestamp.IsZero() {
				seconds = strconv.FormatInt(a.Timestamp.Unix(), 10)
			}
			cells := []string{
				csvCell(v.Text), csvCell(string(v.Type)), csvText(a.Category), csvText(a.Comment), strconv.FormatBool(a.ToIDs), csvText(id),
				csvText(a.Event.ID), csvText(a.Event.UUID), csvText(a.Event.Info), csvText(a.Event.Org), a.Event.ThreatLevel.String(),
				csvText(a.Event.Date), csvText(strings.Join(tags, ",")), csvText(a.Origin), seconds,
			}
			return []line{{key: v.Text + "\x00" + string(v.Family), text: strings.Join(cells, ",")}}, ""
		},
	}
}

// csvText is a cell of free text: on one line, and without what a terminal acts on. Values are exact.
func csvText(s string) string {
	return csvCell(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return ' '
		}
		return r
	}, s))
}

// csvCell writes a cell that no spreadsheet takes for a formula. What prevents that is a no-break space and no apostrophe: our
// own lists take blanks off a cell, so that what is exported is what is read, whereas an apostrophe would make another
// value of it; and an attacker who has a file named =cmd|… in a feed still starts nothing on an analyst's machine.
// Quotes are also put around what would make a line a comment in lists.
func csvCell(s string) string {
	s = strings.TrimSpace(s)
	if s == "" {
		return ""
	}
	if strings.ContainsRune("=+-@", rune(s[0])) {
		s = "\u00a0" + s
	}
	if s[0] == '#' || strings.ContainsAny(s, ",\"\r\n;\t") {
		s = `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
	}
	return s
}
