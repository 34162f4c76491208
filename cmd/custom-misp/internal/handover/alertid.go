package handover

import (
	"strconv"
	"strings"
)

// An AlertID is the id of an alert: 1791187819.65907.
type AlertID struct {
	Seconds int64 // since 1970, when analysisd took the event
	Offset  int64 // in bytes, where the alert begins in alerts.log; not in alerts.json
}

// ParseAlertID reads the id of an alert. ok is false for an id of another form. The offsets of a manager that writes no
// alerts.log are all the same.
func ParseAlertID(id string) (a AlertID, ok bool) {
	seconds, offset, both := strings.Cut(id, ".")
	if !both || !digits(seconds) || !digits(offset) {
		return AlertID{}, false
	}
	var err1, err2 error
	a.Seconds, err1 = strconv.ParseInt(seconds, 10, 64)
	a.Offset, err2 = strconv.ParseInt(offset, 10, 64)
	return a, err1 == nil && err2 == nil
}

func digits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }
