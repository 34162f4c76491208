package atomicfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
)

// ErrDamaged is the reason if a state file is not what was written: cut short, empty, or with another checksum.
var ErrDamaged = errors.New("damaged")

// A NewerError says that a state file has a version which this program does not know. Such a file is left untouched.
type NewerError struct {
	File    string
	Version int // of the file
	Known   int // the last one that this program knows
}

// Error names file, version and remedy.
func (e *NewerError) Error() string {
	return fmt.Sprintf("%s has version %d, and this program knows up to %d; it is left untouched: run the custom-misp that wrote it, or move it away",
		e.File, e.Version, e.Known)
}

// The last member of a file that WriteJSON writes is the checksum: CRC-32C, in hex, of all that is before it.
const (
	sumBefore = ",\n  \"sum\": \""
	sumPrefix = "crc32c-"
	sumAfter  = "\"\n}\n"
)

// Sum returns the checksum of state files, CRC-32C, in eight hex digits.
func Sum(data []byte) string { return fmt.Sprintf("%08x", crc32.Checksum(data, castagnoli())) }

// castagnoli returns the table of the checksum, which is made once, when it is first needed.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// WriteJSON replaces a state file by a value that is an object in JSON, as [WriteFile] does, with two members more:
//
//	{
//	  "version": 1,
//	  "offset": 774,
//	  "sum": "crc32c-1a2b3c4d"
//	}
//
// Programs that know neither read the rest as before. The sum has the same form and meaning in all versions.
func WriteJSON(name string, version int, v any, d Durability) error {
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	members, ok := bytes.CutPrefix(bytes.TrimSuffix(body, []byte("}")), []byte("{"))
	if !ok {
		return fmt.Errorf("%s: a %T is no object", name, v)
	}
	data := fmt.Appendf(nil, "{\n  \"version\": %d", version)
	if members = bytes.TrimSpace(members); len(members) > 0 {
		data = append(append(data, ",\n  "...), members...)
	}
	data = append(data, sumBefore+sumPrefix+Sum(data)+sumAfter...)
	return WriteFile(name, data, d)
}

// ReadJSON reads what [WriteJSON] wrote, or an object without version and sum, as earlier programs and people write it. Its
// errors are those of [ReadFile], [ErrDamaged], and a [NewerError].
func ReadJSON(name string, version int, most int64, v any) error {
	data, err := ReadFile(name, most)
	if err != nil {
		return err
	}
	damaged := func(why error) error { return fmt.Errorf("%s is %w: %w", name, ErrDamaged, why) }
	var head struct {
		Version *int    `json:"version"`
		Sum     *string `json:"sum"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return damaged(err)
	}
	if head.Version != nil || head.Sum != nil {
		intact := hasSum(data)
		switch {
		// With a sum of the known form that is not right, the version itself may be what is damaged.
		case head.Version != nil && *head.Version > version && (intact || head.Sum == nil || len(*head.Sum) != len(sumPrefix)+8):
			return &NewerError{name, *head.Version, version}
		case !intact:
			return damaged(errors.New("its checksum is wrong or absent; without both version and sum it would count as written by hand"))
		}
	}
	if err := json.Unmarshal(data, v); err != nil {
		return damaged(err)
	}
	return nil
}

// hasSum reports whether a file ends in its checksum.
func hasSum(data []byte) bool {
	at := len(data) - len(sumBefore+sumPrefix+"12345678"+sumAfter)
	return at > 0 && string(data[at:]) == sumBefore+sumPrefix+Sum(data[:at])+sumAfter
}
