// Package feed looks values up in a directory in MISP feed format: what PyMISP's feed generator writes, and what
// many providers publish. It serves sites without a MISP server, tests, and a first look at the program.
//
// manifest.json names the events by UUID; UUID.json holds each with its attributes, those of its objects too.
//
// # Limits
//
//   - A file has at most 256 MiB, and must be a regular one.
//   - manifest.json names at most 500,000 events, each by at most 100 bytes.
//   - An event has at most 500,000 attributes, and as many objects.
//   - A feed has at most 500,000 attributes that can be looked up: they are kept in memory. A mirror takes more.
//   - Of one value that is looked up, the 5,000 strongest matches are returned ([enrich.MaxMatches]).
//
// A feed with more is not opened.
package feed

import (
	"bytes"
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
	"custom-misp/misp/internal/jsonscan"
)

const (
	maxFile       = 256 << 20 // bytes of one file
	maxEvents     = 500_000   // in a manifest
	maxID         = 100       // bytes of the name of an event
	maxVersion    = 100       // bytes of the time of an event; a longer one counts as absent
	maxAttributes = 500_000   // that can be looked up, of all events
)

// Feed holds the indicators of a directory in memory. It is immutable, implements [enrich.Lookup] and is safe
// for concurrent use.
type Feed struct {
	byIndicator map[engine.Indicator][]misp.Attribute // without the tags of their events
	attributes  int
	filter      engine.Filter
}

// Open reads a whole feed. filter is what matches are filtered by where a mapping says nothing else. Errors are
// [enrich.Trouble] and name the file.
func Open(fsys fs.FS, filter engine.Filter) (*Feed, error) { return open(fsys, filter, maxAttributes) }

// open reads a feed of at most a number of attributes.
func open(fsys fs.FS, filter engine.Filter, most int) (*Feed, error) {
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
		_, attributes, err := api.DecodeEvent(context.Background(), data)
		if err != nil {
			return nil, trouble(name, err, remedyAgain)
		}
		for a := range attributes {
			if f.add(a); f.attributes > most {
				return nil, trouble(name, fmt.Errorf("the feed has more than %d attributes that can be looked up", most), "mirror it: name it in mirror.feeds")
			}
		}
	}
	return f, nil
}

// ParseManifest reads manifest.json: the UUIDs of the feed's events, and what each was last changed at, in seconds
// since 1970; empty if the manifest does not say. Errors are [enrich.Trouble].
func ParseManifest(data []byte) (map[string]string, error) {
	if !json.Valid(data) {
		var nothing struct{}
		return nil, trouble("manifest.json", json.Unmarshal(data, &nothing), remedyAgain)
	}
	if data = bytes.TrimSpace(data); data[0] != '{' { // a list, a text, null
		return nil, trouble("manifest.json", errors.New("not an object with an entry for each event"), "is this a directory in MISP feed format?")
	}
	manifest := map[string]string{}
	for key, entry := range jsonscan.Members(data) {
		uuid := string(key[:min(len(key), maxID)])
		switch {
		case len(manifest) >= maxEvents:
			return nil, trouble("manifest.json", fmt.Errorf("more than %d events", maxEvents), "split the feed, or have its owner split it")
		case len(uuid) < len(key):
			return nil, trouble("manifest.json", fmt.Errorf("%q… is not the UUID of an event", uuid), remedyAgain)
		case strings.ContainsAny(uuid, `/\`) || !fs.ValidPath(uuid+".json"):
			return nil, trouble("manifest.json", fmt.Errorf("%q is not the UUID of an event", uuid), remedyAgain)
		}
		version := jsonscan.Member(entry, "timestamp")
		if len(version) > maxVersion {
			version = nil
		}
		manifest[uuid] = gjson.ParseBytes(version).String()
	}
	return manifest, nil
}

func (f *Feed) add(a misp.Attribute) {
	all := engine.Indicators(engine.Type(a.Type), a.Value)
	if len(all) == 0 {
		return
	}
	a.Tags = a.OwnTags()
	f.attributes++
	for _, i := range all {
		f.byIndicator[i] = append(f.byIndicator[i], a)
	}
}

func read(fsys fs.FS, name string) ([]byte, error) {
	// It is looked at before it is opened: to open a pipe would wait for someone to write to it.
	if st, err := fs.Stat(fsys, name); err == nil && !st.Mode().IsRegular() {
		return nil, errNotRegular
	}
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

var errNotRegular = errors.New("not a regular file")

var errTooLong = fmt.Errorf("longer than %d bytes", maxFile)

const remedyAgain = "download the feed again"

// remedyFor says what to do about a file that cannot be read.
func remedyFor(err error) string {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return "let the user that this program runs as read the feed"
	case errors.Is(err, errNotRegular):
		return "is this a directory in MISP feed format?"
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

// Lookup implements [enrich.Lookup]. It fails only when the context is done.
func (f *Feed) Lookup(ctx context.Context, observables []engine.Observable) ([]enrich.Match, error) {
	found := enrich.NewAnswer(observables, f.filter, time.Now())
	for number, o := range observables {
		for _, r := range o.Related() {
			known := f.byIndicator[r.Indicator]
			if len(known) == 0 {
				continue
			}
			k := enrich.Key{Relation: r}
			if _, shared := found.Shared(number, k); shared {
				continue
			}
			finding := found.Finding(number, k)
			for _, a := range known {
				if err := ctx.Err(); err != nil {
					t := &enrich.Trouble{Code: enrich.CodeFeed, Err: fmt.Errorf("the feed has more of a value than could be read in time: %w", err)}
					t.Remedy, t.Answered = "timeout sets how long is looked", true
					return nil, t
				}
				a.Tags = misp.JoinTags(a.Tags, a.Event.Tags)
				found.Add(finding, &a)
			}
		}
	}
	return found.Matches(), nil
}
