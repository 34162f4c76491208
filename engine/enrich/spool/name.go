package spool

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// entryName is what the name of an entry's file says.
type entryName struct {
	since time.Time
	word  string // random, so that two entries of one moment have two names
	tries int
	size  int64
}

// String returns the name. Names sort by time.
func (n entryName) String() string {
	return fmt.Sprintf("%020d-%s.%d.%d.json", n.since.UnixNano(), n.word, n.tries, n.size)
}

// parseEntryName reads a name; false for files that are not entries.
func parseEntryName(s string) (entryName, bool) {
	parts := strings.Split(s, ".")
	if len(parts) != 4 || parts[3] != "json" {
		return entryName{}, false
	}
	at, word, ok := strings.Cut(parts[0], "-")
	nanos, err := strconv.ParseInt(at, 10, 64)
	tries, err2 := strconv.Atoi(parts[1])
	size, err3 := strconv.ParseInt(parts[2], 10, 64)
	n := entryName{time.Unix(0, nanos), word, tries, size}
	return n, ok && cmp.Or(err, err2, err3) == nil && tries >= 0 && size >= 0 && n.String() == s
}
