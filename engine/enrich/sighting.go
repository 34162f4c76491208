package enrich

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"

	"custom-misp/engine"
	"custom-misp/engine/atomicfile"
	"custom-misp/misp"
)

// A Sighting reports to MISP that the value of an attribute was seen.
type Sighting struct {
	UUID   string    // of the attribute
	Source string    // who saw it
	Time   time.Time // of the alert
	// FalsePositive says that the attribute is a false positive, instead.
	FalsePositive bool
}

// A Sighter takes sightings.
type Sighter interface {
	Sight(ctx context.Context, s Sighting) error
}

// Sightings reports matches back to MISP, each attribute once a day (UTC), when everything else of an alert is
// done. What was reported is remembered in a directory that all calls share, so two at once do not report the same.
type Sightings struct {
	Sighter Sighter // nil reports nothing
	// Sighters are those of several MISP servers by their names, instead of Sighter: each gets what it knows.
	Sighters map[string]Sighter
	Source   string // the name under which MISP shows them
	// Withhold are tags of attributes that are not reported.
	Withhold []string
	TLPRed   bool             // also for attributes marked tlp:red, whose sighting may show others what they must not know
	Dir      string           // remembers what was reported, in a directory for each day; empty to report each time
	Now      func() time.Time // nil for the machine's clock
}

// maxSightings is how many attributes of one alert are reported: each costs MISP some 60 ms.
const maxSightings = 10

// Report reports the exact matches of an alert to MISP. A sighting that fails is not repeated: the next match of the
// attribute reports it. The error is the first one; the rest is not tried then, for it would meet the same.
func (s *Sightings) Report(ctx context.Context, a Alert, matches []Match) (reported int, err error) {
	if s.Sighter == nil && len(s.Sighters) == 0 {
		return 0, nil
	}
	at, terr := time.Parse("2006-01-02T15:04:05.999-0700", a.Source.Timestamp)
	if terr != nil {
		at = clock(s.Now)
	}
	var done []string
	for _, m := range slices.SortedStableFunc(slices.Values(matches), compareStrength) {
		if reported >= maxSightings {
			break
		}
		uuid := m.Attribute.UUID
		sighter, what := s.sighterOf(m.Attribute)
		if sighter == nil || !s.wants(m) || slices.Contains(done, what) {
			continue
		}
		done = append(done, what)
		mark, err := s.claim(what)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return reported, fmt.Errorf("sightings: %w", err)
		}
		if err := sighter.Sight(ctx, Sighting{UUID: uuid, Source: s.Source, Time: at}); err != nil {
			_ = os.Remove(mark) // if there is one
			return reported, fmt.Errorf("sighting not reported: %w", err)
		}
		reported++
	}
	return reported, nil
}

// sighterOf returns who gets the sighting of an attribute, and what marks that it was reported there; nil for no one.
func (s *Sightings) sighterOf(a *misp.Attribute) (Sighter, string) {
	if len(s.Sighters) == 0 {
		return s.Sighter, a.UUID
	}
	return s.Sighters[a.Origin], a.UUID + "." + a.Origin
}

// wants reports whether a match is reported: only the very value was seen, not what it is a part of.
func (s *Sightings) wants(m Match) bool {
	return m.Kind == engine.MatchExact && isUUID(m.Attribute.UUID) && (s.TLPRed || misp.TLP(m.Attribute.Tags) != "red") &&
		!misp.AnyTag(s.Withhold, m.Attribute.Tags)
}

// isUUID keeps anything else from becoming the name of a file.
func isUUID(s string) bool {
	return len(s) == 36 && strings.Count(s, "-") == 4 && !strings.ContainsFunc(s, func(r rune) bool {
		return r != '-' && !unicode.Is(unicode.ASCII_Hex_Digit, r)
	})
}

// claim marks an attribute as reported today; fs.ErrExist if it is already. It forgets the days before.
func (s *Sightings) claim(uuid string) (mark string, err error) {
	if s.Dir == "" {
		return "", nil
	}
	today := filepath.Join(s.Dir, clock(s.Now).UTC().Format(time.DateOnly))
	if _, err := os.Stat(today); errors.Is(err, fs.ErrNotExist) {
		if err := atomicfile.MkdirAll(today, dirMode); err != nil {
			return "", err
		}
		s.forget(filepath.Base(today))
	}
	mark = filepath.Join(today, strings.ToLower(uuid))
	f, err := os.OpenFile(mark, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o640) //nolint:gosec // as Wazuh has it: for its group
	if err != nil {
		return "", err
	}
	return mark, f.Close()
}

// forget removes the directories of other days than today and the day before, which a call over midnight may use.
func (s *Sightings) forget(today string) {
	days, err := atomicfile.ReadDir(s.Dir)
	if err != nil {
		return
	}
	slices.SortFunc(days, func(a, b fs.DirEntry) int { return cmp.Compare(b.Name(), a.Name()) })
	for i, d := range days {
		if i > 1 && d.Name() < today {
			_ = os.RemoveAll(filepath.Join(s.Dir, d.Name()))
		}
	}
}
