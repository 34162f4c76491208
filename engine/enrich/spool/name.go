package spool

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"custom-misp/engine/atomicfile"
)

// Versions of entries. Those without a version, of earlier programs, are taken out as well.
const (
	versionWhole = 1 // the content is the alert or event, and nothing else
	versionFor   = 2 // the name says for whom the entry is, see [Dir.PutFor]; an entry for all has version 1, which earlier programs read
	version      = versionFor
)

// entryName is what the name of an entry's file says.
type entryName struct {
	since time.Time
	word  string // random, so that two entries of one moment have two names
	tries int
	size  int64
	sum   string // of the content, [atomicfile.Sum]; empty in an entry without a version
	who   string // for whom it is, with + between; empty for all
}

// isFor reports whether an entry is for someone; empty stands for those that are for all.
func (n entryName) isFor(who string) bool {
	if who == "" || n.who == "" {
		return who == n.who
	}
	for name := range strings.SplitSeq(n.who, "+") {
		if name == who {
			return true
		}
	}
	return false
}

// validNames reports whether names can stand in the name of a file.
func validNames(names []string) bool {
	length := 0
	for _, name := range names {
		if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
		length += len(name) + 1
	}
	return length > 0 && length <= maxNames
}

// maxNames is how long the names of an entry may be together, so that its file can have them in its name.
const maxNames = 180

// String returns the name. Names sort by time.
func (n entryName) String() string { return string(n.append(nil)) }

func (n entryName) append(b []byte) []byte {
	var digits [20]byte
	nanos := strconv.AppendInt(digits[:0], n.since.UnixNano(), 10)
	for range 20 - len(nanos) {
		b = append(b, '0')
	}
	b = append(append(append(append(b, nanos...), '-'), n.word...), '.')
	b = append(strconv.AppendInt(b, int64(n.tries), 10), '.')
	b = strconv.AppendInt(b, n.size, 10)
	if n.sum != "" {
		v := int64(versionWhole)
		if n.who != "" {
			v = versionFor
		}
		b = append(strconv.AppendInt(append(b, ".v"...), v, 10), '.')
		b = append(b, n.sum...)
		if n.who != "" {
			b = append(append(b, '.'), n.who...)
		}
	}
	return append(b, ".json"...)
}

// parseEntryName reads a name; false for files that are not entries of a known version.
func parseEntryName(s string) (entryName, bool) {
	var parts [7]string
	rest, count := s, 0
	for more := true; more; count++ {
		if count == len(parts) {
			return entryName{}, false
		}
		parts[count], rest, more = strings.Cut(rest, ".")
	}
	at, word, ok := strings.Cut(parts[0], "-")
	nanos, err := strconv.ParseInt(at, 10, 64)
	tries, err2 := strconv.Atoi(parts[1])
	size, err3 := strconv.ParseInt(parts[2], 10, 64)
	if !ok || cmp.Or(err, err2, err3) != nil || tries < 0 || size < 0 || count != 4 && (count < 6 || len(parts[4]) != 8) {
		return entryName{}, false
	}
	n := entryName{time.Unix(0, nanos), word, tries, size, parts[4], ""}
	switch count {
	case 4:
		n.sum = ""
	case 7:
		if n.who = parts[5]; !validNames(strings.Split(n.who, "+")) {
			return entryName{}, false
		}
	}
	var same [80 + maxNames]byte
	return n, string(n.append(same[:0])) == s
}

// newerVersion returns the version in the name of an entry that a later program has put in; 0 for any other file. Whatever
// else is in the name, it is like ….v2.….json.
func newerVersion(s string) int {
	rest, ok := strings.CutSuffix(s, ".json")
	if !ok || !strings.Contains(rest, ".v") || strings.HasPrefix(s, ".") {
		return 0
	}
	for part := range strings.SplitSeq(rest, ".") {
		if digits, ok := strings.CutPrefix(part, "v"); ok {
			if v, err := strconv.Atoi(digits); err == nil && v > version {
				return v
			}
		}
	}
	return 0
}

// verify returns why data is not what was put in under this name.
func (n entryName) verify(data []byte) error {
	if int64(len(data)) != n.size {
		return fmt.Errorf("%d bytes where %d were put in", len(data), n.size)
	}
	if sum := atomicfile.Sum(data); n.sum != "" && sum != n.sum {
		return fmt.Errorf("damaged on disk: its checksum is %s where %s was put in", sum, n.sum)
	}
	return nil
}
