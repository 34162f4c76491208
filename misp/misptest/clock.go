package misptest

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// SetNow stops the server's own clock at a time, until it is set again; the zero time lets it run with the real
// one, as it does at first. It is the Date header of each answer, what "1h" in a question counts from,
// and what changes put into timestamps.
func (s *Server) SetNow(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = now
}

// clock returns the server's own time. The caller holds mu.
func (s *Server) clock() time.Time {
	if s.now.IsZero() {
		return time.Now()
	}
	return s.now
}

// stamp is the server's own time as MISP writes it. The caller holds mu.
func (s *Server) stamp() string { return strconv.FormatInt(s.clock().Unix(), 10) }

// seconds reads a timestamp, which MISP writes as a text; 0 for anything else.
func seconds(v any) int64 {
	if n, ok := v.(float64); ok {
		return int64(n)
	}
	n, _ := strconv.ParseInt(textOf(v), 10, 64)
	return n
}

// A span is a time that is asked for, with both ends, in seconds since 1970.
type span struct{ from, to int64 }

var emptySpan = span{from: 1} // it ends before

func (s span) has(at int64) bool { return at >= s.from && at <= s.to }

// spanOf reads a filter on a time, and reports whether it is one: 0 and all forms of nothing are not. Two times in
// a list are the ends of a span, in any order. What MISP can't read it takes for a filter that nothing passes.
func spanOf(filter any, now time.Time) (span, bool) {
	switch f := filter.(type) {
	case nil:
		return span{}, false
	case []any:
		if len(f) != 2 {
			return emptySpan, true
		}
		from, ok := secondsOf(f[0], now)
		to, ok2 := secondsOf(f[1], now)
		if !ok || !ok2 {
			return emptySpan, true
		}
		return span{min(from, to), max(from, to)}, true
	}
	from, ok := secondsOf(filter, now)
	switch {
	case filter == "" || filter == false || ok && from == 0:
		return span{}, false
	case !ok:
		return emptySpan, true
	}
	return span{from, math.MaxInt64}, true
}

// units are those of a time before now, in seconds.
var units = map[byte]float64{'s': 1, 'm': 60, 'h': 3600, 'd': 86400}

// secondsOf reads one time: seconds since 1970 as a number or as a text, a time before now like "30m", or a date.
func secondsOf(v any, now time.Time) (int64, bool) {
	if n, ok := v.(float64); ok {
		return int64(n), true
	}
	s, ok := v.(string)
	if !ok || s == "" {
		return 0, false
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n, true
	}
	s = strings.ToLower(s)
	if unit, known := units[s[len(s)-1]]; known {
		if n, err := strconv.ParseFloat(s[:len(s)-1], 64); err == nil {
			return now.Unix() - int64(n*unit), true
		}
	}
	s = strings.ToUpper(s)
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", time.DateTime, time.DateOnly} {
		if at, err := time.Parse(layout, s); err == nil {
			return at.Unix(), true
		}
	}
	return 0, false
}
