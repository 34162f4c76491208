package mirror

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"custom-misp/engine/atomicfile"
)

const (
	fileMode  = 0o640 // as Wazuh has it: for its group
	dirMode   = 0o750
	stateFile = "state.json"
	lockFile  = "lock"
)

// A State describes the set of one source. It is a file beside the set's segments, which it names: replacing it is what
// makes other segments the set.
type State struct {
	Origin string `json:"origin"` // the name that its matches have
	Kind   Kind   `json:"kind"`
	Place  string `json:"place"` // address or path, without secrets
	// Base is the segment of the last complete walk, Changes what has changed since; names of files.
	Base    string `json:"base,omitempty"`
	Changes string `json:"changes,omitempty"`

	Attributes int       `json:"attributes"`
	Events     int       `json:"events"`
	Networks   int       `json:"networks"`
	Bytes      int64     `json:"bytes"`              // on disk
	FullAt     time.Time `json:"full_at,omitzero"`   // when the last complete walk began
	SyncedAt   time.Time `json:"synced_at,omitzero"` // when the last successful sync began: what the source knew then is in the set
	// Watermark is the source's own clock at the begin of the last sync.
	Watermark time.Time `json:"watermark,omitzero"`
	// Reconciled is when the events were last compared with MISP's own list of them.
	Reconciled time.Time `json:"reconciled,omitzero"`
	// Forms is the version of the forms of values that the last complete walk was read with, see [engine.FormsVersion].
	Forms int `json:"forms,omitempty"`
	// Recent is what polls have read of the events that they will be answered with again: id → version.
	Recent map[string]string `json:"recent,omitempty"`
	// Walk is how far a walk over MISP is that was interrupted; zero for none.
	Walk Walk `json:"walk,omitzero"`
	// Tag identifies the version of the file that was read: an HTTP entity tag, or size and time.
	Tag string `json:"tag,omitempty"`
	// Modified is when that file was changed last, as the server wrote it (Last-Modified).
	Modified string `json:"modified,omitempty"`

	// The last failure; FailedAt is zero if the last sync succeeded.
	FailedAt time.Time `json:"failed_at,omitzero"`
	Failure  string    `json:"failure,omitempty"`
	// Failures is how many syncs failed since the last that succeeded, and RetryAt when it is tried again, by the program
	// that syncs by itself.
	Failures int       `json:"failures,omitempty"`
	RetryAt  time.Time `json:"retry_at,omitzero"`
	// NotBefore is until when the server wants no further request (Retry-After).
	NotBefore time.Time `json:"not_before,omitzero"`
	Serial    uint64    `json:"serial"` // of the last file that was written

	// Of a declared source: the declaration that the set was read with, how many indicators it has, what of the file yields
	// none, and how many indicators, plus one, the copy has that was refused last.
	Form       string `json:"declaration,omitempty"`
	Indicators int    `json:"indicators,omitempty"`
	Partial    string `json:"partial,omitempty"`
	Refused    int    `json:"refused,omitempty"`
}

// A Walk is one that was interrupted. It goes on with the next sync.
type Walk struct {
	Began      time.Time `json:"began"`               // by our clock
	Events     int       `json:"events"`              // that there are
	Read       int       `json:"events_read"`         // of them
	Attributes int       `json:"attributes"`          // that were read
	NotBefore  time.Time `json:"not_before,omitzero"` // it waits until then, as MISP asked for
}

// A Kind says what a source is.
type Kind string

// The kinds of sources.
const (
	KindMISP Kind = "misp" // a MISP server
	KindFeed Kind = "feed" // events in MISP feed format
	KindCSV  Kind = "csv"  // a plain list of values

	KindSource Kind = "source" // a declared source
)

// ErrNever is a set that was never completed.
var ErrNever = errors.New("not synced yet")

// stateVersion is the version of state.json. A file that does not name one is of version 1, which has no checksum.
const stateVersion = 2

// versionedState is the content of state.json, but for the checksum.
type versionedState struct {
	Version int `json:"version"`
	State
}

// loadState reads the state of a set; ErrNever if there is none.
func loadState(dir string) (State, error) {
	name := filepath.Join(dir, stateFile)
	data, err := atomicfile.ReadFile(name, maxState)
	if errors.Is(err, fs.ErrNotExist) {
		return State{}, ErrNever
	}
	if err != nil {
		return State{}, fmt.Errorf("%s: %w; remove the directory, and the next sync rebuilds it", name, err)
	}
	s, err := decodeState(data)
	if err != nil {
		return State{}, fmt.Errorf("%s: %w", name, err)
	}
	return s, nil
}

func (s State) save(dir string) error {
	if len(s.Failure) > maxFailure {
		s.Failure = strings.ToValidUTF8(s.Failure[:maxFailure], "") + "…"
	}
	data, err := encodeState(s)
	if err != nil {
		return err
	}
	return atomicfile.WriteFile(filepath.Join(dir, stateFile), data, atomicfile.Durable)
}

// The last line of state.json but one is its checksum, over all lines before. It holds in every version, so that a
// damaged file is not taken for one of another version.
const (
	sumLine = "  \"sum\": \"%08x\"\n}\n"
	sumKey  = "\n  \"sum\": \""
)

func encodeState(s State) ([]byte, error) {
	data, err := json.MarshalIndent(versionedState{stateVersion, s}, "", "  ")
	if err != nil {
		return nil, err
	}
	data = append(bytes.TrimSuffix(data, []byte("\n}")), ",\n"...)
	return fmt.Appendf(data, sumLine, crc32.Checksum(data, crcTable())), nil
}

func decodeState(data []byte) (State, error) {
	at := bytes.LastIndex(data, []byte(sumKey))
	if at >= 0 {
		covered := data[:at+1]
		if string(data[at+1:]) != fmt.Sprintf(sumLine, crc32.Checksum(covered, crcTable())) {
			return State{}, fmt.Errorf("%w: wrong checksum", errDamaged)
		}
	}
	var v versionedState
	if err := json.Unmarshal(data, &v); err != nil {
		return State{}, fmt.Errorf("%w: %w", errDamaged, err)
	}
	switch {
	case at < 0 && v.Version > 1:
		return State{}, fmt.Errorf("%w: no checksum", errDamaged)
	case v.Version > stateVersion:
		return State{}, newer(v.Version, stateVersion)
	}
	return v.State, nil
}

// identity tells the files of a set from those of other sets of the source.
func (s State) identity() string {
	return strings.Join([]string{s.Base, s.Changes, s.FullAt.UTC().Format(time.RFC3339)}, " ")
}

// identityOf is the identity of the set in a directory; that of a state that cannot be read is stateFile.
func identityOf(dir string) string {
	state, err := loadState(dir)
	if err != nil {
		return stateFile
	}
	return state.identity()
}

// Age returns how old the set is: the time since the last sync that was complete.
func (s State) Age(now time.Time) time.Duration {
	if s.SyncedAt.IsZero() {
		return 0
	}
	return max(0, now.Sub(s.SyncedAt))
}
