package lookback

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"slices"

	"custom-misp/engine/atomicfile"
)

const (
	knownMagic   = "custom-misp known v1\n"
	maxKnown     = 20_000_000        // keys of a source; beyond it those of indicators that are gone are forgotten
	maxKnownFile = 8*maxKnown + 4096 // bytes
	knownSpare   = 100_000           // keys of indicators that are gone, which are kept whatever there is
)

// known are the keys of the indicators of a source that were looked up.
type known struct {
	knownHead
	keys []uint64 // sorted
}

// knownHead is the second line of the file.
type knownHead struct {
	Place   string `json:"place"`   // of the source
	Version string `json:"version"` // of the set whose indicators were looked up
	Keys    int    `json:"keys"`
	Sum     uint32 `json:"sum"` // CRC-32C of the keys
}

func crc(data []byte) uint32 { return crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)) }

// errNotKnown is a file that is damaged: the source counts as new.
var errNotKnown = errors.New("it is damaged")

// loadKnown reads the keys of a source; nil if there are none.
func loadKnown(name string) (*known, error) {
	data, err := atomicfile.ReadFile(name, maxKnownFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	k, err := parseKnown(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return k, nil
}

func parseKnown(data []byte) (*known, error) {
	if len(data) < len(knownMagic) || string(data[:len(knownMagic)]) != knownMagic {
		return nil, errNotKnown
	}
	data = data[len(knownMagic):]
	end := slices.Index(data, '\n')
	if end < 0 {
		return nil, errNotKnown
	}
	k := &known{}
	body := data[end+1:]
	if json.Unmarshal(data[:end], &k.knownHead) != nil || len(body) != 8*k.Keys || crc(body) != k.Sum {
		return nil, errNotKnown
	}
	k.keys = make([]uint64, k.Keys)
	for i := range k.keys {
		k.keys[i] = binary.LittleEndian.Uint64(body[8*i:])
	}
	return k, nil
}

// save writes the keys. The file is whole or as it was, also after a power cut.
func (k *known) save(name string) error {
	body := make([]byte, 0, 8*len(k.keys))
	for _, key := range k.keys {
		body = binary.LittleEndian.AppendUint64(body, key)
	}
	k.Keys, k.Sum = len(k.keys), crc(body)
	head, err := json.Marshal(k.knownHead)
	if err != nil {
		return err
	}
	return atomicfile.WriteFile(name, slices.Concat([]byte(knownMagic), head, []byte("\n"), body), atomicfile.Durable)
}

func (k *known) has(key uint64) bool {
	if k == nil {
		return false
	}
	_, found := slices.BinarySearch(k.keys, key)
	return found
}

// join adds keys. Those of indicators that are gone stay, for a source may bring them again; if they are too many, only those of
// present are kept. present is nil if not all of the set was read.
func (k *known) join(added, present []uint64) {
	all := slices.Concat(k.keys, added)
	slices.Sort(all)
	all = slices.Compact(all)
	if present != nil && (len(all) > 2*len(present)+knownSpare || len(all) > maxKnown) {
		all = present
		slices.Sort(all)
		all = slices.Compact(all)
	}
	k.keys = all[:min(len(all), maxKnown)]
}
