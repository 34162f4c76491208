// Package feed looks values up in a directory in MISP feed format: what PyMISP's feed generator writes, and what
// many providers publish. It serves sites without a MISP server, tests, and a first look at the program.
//
// manifest.json names the events by UUID; UUID.json holds each with its attributes, those of its objects too.
package feed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/misp"
	"custom-misp/misp/api"
)

// maxFile is the longest file that is read, in bytes.
const maxFile = 256 << 20

// Feed holds the indicators of a directory in memory. It is immutable, implements [enrich.Lookup] and is safe
// for concurrent use.
type Feed struct {
	byIndicator map[engine.Indicator][]misp.Attribute
	filter      engine.Filter
}

// Open reads a whole feed. filter is what matches are filtered by where a mapping says nothing else. Errors are
// [enrich.Trouble] and name the file.
func Open(fsys fs.FS, filter engine.Filter) (*Feed, error) {
	f := &Feed{byIndicator: map[engine.Indicator][]misp.Attribute{}, filter: filter}
	data, err := read(fsys, "manifest.json")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, trouble("manifest.json", errors.New("not there"), "is this a directory in MISP feed format?")
	}
	if err != nil {
		return nil, trouble("manifest.json", err, remedyFor(err))
	}
	manifest, err := ParseManifest(data)
	if err != nil {
		return nil, err
	}
	for _, uuid := range slices.Sorted(maps.Keys(manifest)) {
		name := uuid + ".json"
		data, err := read(fsys, name)
		if err != nil {
			return nil, trouble(name, fmt.Errorf("named in manifest.json: %w", err), remedyFor(err))
		}
		attributes, err := api.DecodeEvent(data)
		if err != nil {
			return nil, trouble(name, err, remedyAgain)
		}
		f.add(attributes)
	}
	return f, nil
}

// ParseManifest reads manifest.json: the UUIDs of the feed's events, and what each was last changed at, in seconds
// since 1970; empty if the manifest does not say. Errors are [enrich.Trouble].
func ParseManifest(data []byte) (map[string]string, error) {
	var entries map[string]json.RawMessage
	if err := json.Unmarshal(data, &entries); err != nil {
		if _, ok := errors.AsType[*json.UnmarshalTypeError](err); !ok {
			return nil, trouble("manifest.json", err, remedyAgain)
		}
	}
	if entries == nil { // a list, a text, null
		return nil, trouble("manifest.json", errors.New("not an object with an entry for each event"), "is this a directory in MISP feed format?")
	}
	manifest := make(map[string]string, len(entries))
	for uuid, entry := range entries {
		if strings.ContainsAny(uuid, `/\`) || !fs.ValidPath(uuid+".json") {
			return nil, trouble("manifest.json", fmt.Errorf("%q is not the UUID of an event", uuid), remedyAgain)
		}
		manifest[uuid] = gjson.GetBytes(entry, "timestamp").String()
	}
	return manifest, nil
}

func (f *Feed) add(attributes []misp.Attribute) {
	for _, a := range attributes {
		for _, i := range engine.Indicators(engine.Type(a.Type), a.Value) {
			f.byIndicator[i] = append(f.byIndicator[i], a)
		}
	}
}

func read(fsys fs.FS, name string) ([]byte, error) {
	file, err := fsys.Open(name)
	if err != nil {
		if p, ok := errors.AsType[*fs.PathError](err); ok {
			err = p.Err
		}
		return nil, err
	}
	defer file.Close() //nolint:errcheck // only read
	// Its size is looked at first, so that a file that is too long costs no memory; it may still grow meanwhile.
	if st, err := file.Stat(); err == nil && st.Size() > maxFile {
		return nil, errTooLong
	}
	data, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = errTooLong
	}
	return data, err
}

var errTooLong = fmt.Errorf("longer than %d bytes", maxFile)

const remedyAgain = "download the feed again"

// remedyFor says what to do about a file that cannot be read.
func remedyFor(err error) string {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return "let the user that this program runs as read the feed"
	case errors.Is(err, errTooLong):
		return "no event is that large; remove it from the feed"
	}
	return remedyAgain
}

func trouble(name string, err error, remedy string) error {
	return &enrich.Trouble{Code: enrich.CodeFeed, Err: fmt.Errorf("%s: %w", name, err), Remedy: remedy}
}

// Len returns how many different indicators the feed holds.
func (f *Feed) Len() int { return len(f.byIndicator) }

// Lookup implements [enrich.Lookup]. It never fails.
func (f *Feed) Lookup(_ context.Context, observables []engine.Observable) ([]enrich.Match, error) {
	var matches []enrich.Match
	now := time.Now()
	for _, o := range observables {
		filter := o.Filter.Over(f.filter)
		for _, r := range o.Related() {
			for _, a := range f.byIndicator[r.Indicator] {
				if r.Fits(engine.Type(a.Type)) && enrich.Accepts(filter, r.Kind, a, now) {
					matches = append(matches, enrich.Match{Observable: o, Attribute: a, Kind: r.Kind})
				}
			}
		}
	}
	return matches, nil
}
