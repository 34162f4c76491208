package history

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
)

// This file writes and reads records, as blocks of segments and frames of journals hold them. Numbers are unsigned varints,
// unless a comment says otherwise.

var (
	// ErrDamaged is the reason if a file is not what was written.
	ErrDamaged = errors.New("damaged")
	errRecord  = fmt.Errorf("%w: a record that is none", ErrDamaged)
)

// castagnoli returns the table of the checksum, which is made once, when it is first needed.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

func sum(data []byte) uint32 { return crc32.Checksum(data, castagnoli()) }

// Further bits of the first byte of a record, beside those of record.flags.
const (
	codeDigits = 1 << 6 // the id of the alert is two numbers with a dot between them, as Wazuh makes it
	codeMask   = flagItself | flagURLHost | flagMoreAgents
)

// appendRecord appends a record of a day that begins at a time in seconds.
func appendRecord(to []byte, r *record, day int64) []byte {
	flags := r.flags & codeMask
	seconds, number, digits := alertNumbers(r.alert.id)
	if digits {
		flags |= codeDigits
	}
	to = append(to, flags)
	to = binary.AppendVarint(to, r.first-day)
	to = binary.AppendUvarint(to, uint64(max(0, r.last-r.first)))
	to = binary.AppendUvarint(to, r.count)
	to = appendNumbers(to, r.agents)
	to = appendNumbers(to, r.mappings)
	if digits {
		to = binary.AppendVarint(to, seconds-r.last)
		to = binary.AppendUvarint(to, number)
	} else {
		to = appendText(to, r.alert.id)
	}
	for _, n := range []uint32{r.alert.rule, r.alert.level, r.alert.file, r.alert.agent} {
		to = binary.AppendUvarint(to, uint64(n))
	}
	return binary.AppendUvarint(to, uint64(max(0, r.alert.offset)))
}

func appendNumbers(to []byte, list []uint32) []byte {
	to = binary.AppendUvarint(to, uint64(len(list)))
	for _, n := range list {
		to = binary.AppendUvarint(to, uint64(n))
	}
	return to
}

func appendText(to []byte, text string) []byte {
	return append(binary.AppendUvarint(to, uint64(len(text))), text...)
}

// alertNumbers reads an id such as 1764063000.123456.
func alertNumbers(id string) (seconds int64, number uint64, ok bool) {
	first, second, ok := strings.Cut(id, ".")
	if !ok || !plain(first) || !plain(second) {
		return 0, 0, false
	}
	seconds, err := strconv.ParseInt(first, 10, 64)
	if err != nil {
		return 0, 0, false
	}
	number, err = strconv.ParseUint(second, 10, 64)
	return seconds, number, err == nil
}

// plain reports whether a text is a number as it is written again.
func plain(digits string) bool {
	for i := range len(digits) {
		if digits[i] < '0' || digits[i] > '9' {
			return false
		}
	}
	return digits != "" && (digits[0] != '0' || digits == "0")
}

func alertID(seconds int64, number uint64) string {
	return strconv.FormatInt(seconds, 10) + "." + strconv.FormatUint(number, 10)
}

// A reader takes numbers and texts off a text of bytes. After the first that is not there, all are zero.
type reader struct {
	data  []byte
	wrong bool
}

func (r *reader) number() uint64 {
	n, size := binary.Uvarint(r.data)
	if size <= 0 {
		r.fail()
		return 0
	}
	r.data = r.data[size:]
	return n
}

func (r *reader) signed() int64 {
	n, size := binary.Varint(r.data)
	if size <= 0 {
		r.fail()
		return 0
	}
	r.data = r.data[size:]
	return n
}

func (r *reader) word() uint32 {
	n := r.number()
	if n >= maxWords {
		r.fail()
		return 0
	}
	return uint32(n)
}

func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.data)) {
		r.fail()
		return nil
	}
	text := r.data[:n:n]
	r.data = r.data[n:]
	return text
}

func (r *reader) numbers(most int, to []uint32) []uint32 {
	n := r.number()
	if n > uint64(most) { //nolint:gosec // not negative
		r.fail()
		return to
	}
	for range n {
		to = append(to, r.word())
	}
	return to
}

func (r *reader) fail() { r.data, r.wrong = nil, true }

// readRecord reads what appendRecord wrote, into the memory of a record.
func (r *reader) readRecord(to *record, day int64) {
	agents, mappings := to.agents[:0], to.mappings[:0]
	*to = record{}
	flags := r.take(1)
	if r.wrong {
		return
	}
	to.flags = flags[0] & codeMask
	to.first = day + r.signed()
	to.last = to.first + int64(r.number()) //nolint:gosec // a damaged one is a wrong time
	to.count = r.number()
	to.agents = r.numbers(MaxAgents, agents)
	to.mappings = r.numbers(MaxMappings, mappings)
	if flags[0]&codeDigits != 0 {
		seconds := to.last + r.signed()
		to.alert.id = alertID(seconds, r.number())
	} else {
		to.alert.id = string(r.take(r.number()))
	}
	to.alert.rule, to.alert.level, to.alert.file, to.alert.agent = r.word(), uint32(r.number()), r.word(), r.word() //nolint:gosec // likewise
	to.alert.offset = int64(r.number())                                                                             //nolint:gosec // likewise
}

// appendWords appends a list of texts.
func appendWords(to []byte, list []string) []byte {
	to = binary.AppendUvarint(to, uint64(len(list)))
	for _, text := range list {
		to = appendText(to, text)
	}
	return to
}

// readWords reads what appendWords wrote.
func (r *reader) readWords() []string {
	n := r.number()
	if n >= maxWords || n > uint64(len(r.data)) {
		r.fail()
		return nil
	}
	list := make([]string, 0, n)
	for range n {
		list = append(list, string(r.take(r.number())))
	}
	return list
}
