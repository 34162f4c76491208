package source

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// layouts are the forms of dates that publishers use. Those without a zone are in UTC.
var layouts = []string{
	"2006-01-02 15:04:05", time.RFC3339Nano, "2006-01-02", "2006-01-02 15:04:05 UTC", "2006-01-02 15:04:05 MST",
	"2006-01-02T15:04:05.999999999", "2006-01-02T15:04:05Z0700", "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05.999999999", "2006-01-02 15:04",
	"2006/01/02 15:04:05", "2006/01/02", time.RFC1123Z, time.RFC1123, "2 Jan 2006", "2 Jan 2006 15:04:05", "Jan 2, 2006", "20060102",
}

// dateOf reads a time in one of the usual forms.
func dateOf(text string) (time.Time, bool) {
	at, _, ok := parseDate(text, "")
	return at, ok
}

// parseDate reads a time: in a layout of its own first, then in the usual ones, then as seconds since 1970. It tells the
// layout too; empty for none.
func parseDate(text, layout string) (at time.Time, used string, ok bool) {
	text = trim(text)
	if isEmptyMark(text) || len(text) > 64 {
		return time.Time{}, "", false
	}
	if strings.Contains(text, "  ") {
		text = strings.Join(strings.Fields(text), " ")
	}
	if layout != "" {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), layout, true
		}
	}
	if text[0] > '9' && text[0] < 'A' { // no date begins so
		return time.Time{}, "", false
	}
	for _, l := range layouts {
		if t, err := time.Parse(l, text); err == nil {
			return t.UTC(), l, t.Year() > 1 && t.Year() < 9999
		}
	}
	if n, err := strconv.ParseFloat(text, 64); err == nil && n >= 1e8 && n < math.MaxInt32*4 {
		return time.Unix(int64(n), 0).UTC(), "", true
	}
	return time.Time{}, "", false
}
