package enrich

import (
	"bytes"

	"github.com/tidwall/gjson"
)

// This file finds alerts in a line that is torn. analysisd can be killed, or the machine lose power, in the middle of a
// line. The next alert is then appended to what is there, perhaps after some zeros, so that one line of alerts.json is the
// start of an alert and behind it another one, whole or torn itself.
//
// Every alert of Wazuh begins with {"timestamp":" (unformatted JSON, this member first). That alone does not make an alert:
// whoever writes a JSON log decides what objects are in member data of an alert. So a place with this text counts as the
// start of an alert only if the text before it proves that it cannot be inside another one:
//
//   - Within a string. Every quote that belongs to a log is escaped there. The quote in {" would end the string, and what
//     follows, timestamp, is nothing that can be behind a string. So the string was torn here, or before.
//   - Outside of strings, where no value can be: behind a value, a key, a comma of an object, half a number.
//
// From such a start the reader knows again what is in a string and what is not. In all other places an object could belong
// to the alert that it is in. They matter only if analysisd was killed just before a value; see [tornReader.inner].
//
// What lies between two starts, or behind the last one up to the end of the line, is then an alert if it is one as a whole.
// So a part of an alert is never taken for an alert, and of the part before the tear nothing is used. All of this is one
// pass over the line, and every byte is part of at most one text that is parsed.

// alertStart is how analysisd begins each line.
const alertStart = `{"timestamp":"`

// maxNesting is how deep torn lines are followed. Several halves of alerts can be in each other.
const maxNesting = 4 * maxDepth

// alertsInTorn returns the alerts in a line that is not an alert itself.
func alertsInTorn(line []byte) (alerts [][]byte) {
	line = bytes.Trim(line, " \t\r\n\x00")
	if len(line) == 0 || line[0] != alertStart[0] {
		return nil // it does not begin with a part of an alert
	}
	r := tornReader{line: line}
	keep := func(end int) {
		if alert := r.alert(end); alert != nil {
			alerts = append(alerts, alert)
		}
	}
	for at, c := range line {
		if c == '{' && at > 0 && bytes.HasPrefix(line[at:], []byte(alertStart)) && !r.valueMayBegin() {
			keep(at)
			r = tornReader{line: line, start: at, open: r.open[:0]}
		}
		if !r.read(at, c) {
			return alerts
		}
	}
	keep(len(line))
	return alerts
}

// A tornReader reads what may be one alert, byte by byte.
type tornReader struct {
	line    []byte
	start   int    // of what may be an alert
	open    []open // objects and arrays that are not closed
	closed  open   // the last one that was
	end     int    // of it
	text    int    // start of the last string, behind its quote
	inText  bool   // in that string
	escaped bool   // behind a backslash of it
	last    byte   // the last byte outside of strings, but for blanks; a quote of a string counts
	key     []byte // the last string; a key if a colon is next
}

// open is an object or array that is open.
type open struct {
	start   int
	array   bool
	inData  bool // it is the member data of an object, or in it
	inArray bool // it is an array there, or in one
	key     []byte
}

// valueMayBegin reports whether in valid JSON a value could begin here. Within a string, last is its quote.
func (r *tornReader) valueMayBegin() bool {
	if len(r.open) == 0 {
		return false
	}
	return r.last == ':' || r.last == '[' || r.last == ',' && r.open[len(r.open)-1].array
}

// read takes the next byte. It returns false if this is nested too deep.
func (r *tornReader) read(at int, c byte) bool {
	if r.inText {
		switch {
		case r.escaped:
			r.escaped = false
		case c == '\\':
			r.escaped = true
		case c == '"':
			r.inText, r.last, r.key = false, c, r.line[r.text:at]
		}
		return true
	}
	switch c {
	case ' ', '\t', '\r', '\n':
		return true
	case '"':
		r.inText, r.text = true, at+1
	case ':':
		if n := len(r.open); n > 0 {
			r.open[n-1].key = r.key
		}
	case '{', '[':
		if len(r.open) >= maxNesting {
			return false
		}
		o := open{start: at, array: c == '['}
		if n := len(r.open); n > 0 {
			in := r.open[n-1]
			o.inData = in.inData || !in.array && string(in.key) == "data"
			o.inArray = o.inData && (o.array || in.inArray)
		}
		r.open = append(r.open, o)
	case '}', ']':
		if n := len(r.open); n > 0 {
			r.closed, r.end, r.open = r.open[n-1], at+1, r.open[:n-1]
		}
	}
	r.last = c
	return true
}

// alert returns the alert between start and a place where the line ends or another alert begins; nil if there is none.
func (r *tornReader) alert(end int) []byte {
	text := bytes.TrimRight(r.line[r.start:end], " \t\r\x00")
	end = r.start + len(text)
	if r.end != end {
		return nil
	}
	if r.closed.start > r.start {
		return r.inner(end)
	}
	if !bytes.HasPrefix(text, []byte(alertStart)) {
		return nil
	}
	if alert, err := checkAlert(text); err == nil {
		return alert
	}
	return nil
}

// inner returns the alert that ends here and began where a value could be: analysisd was killed just before it wrote a value.
// If that place is not in the member data, Wazuh itself writes the value, and no value of Wazuh's is like an alert. In data,
// the object could be a part of a log, if analysisd was killed just behind it. Outside of arrays, values of logs are always
// strings there, so a level that is a number is of an alert. In arrays they are as they were in the log, so there is no
// telling: the alert is left out.
func (r *tornReader) inner(end int) []byte {
	text := r.line[r.closed.start:end]
	if r.closed.inArray || !bytes.HasPrefix(text, []byte(alertStart)) {
		return nil
	}
	alert, err := checkAlert(text)
	if err != nil || r.closed.inData && gjson.GetBytes(alert, "rule.level").Type != gjson.Number {
		return nil
	}
	return alert
}
