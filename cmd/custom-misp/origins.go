package main

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"custom-misp/misp/mirror"
)

// The values of lookup.policy.
const (
	policyLive           = "live"
	policyMirror         = "mirror"
	policyMirrorThenLive = "mirror-then-live"
)

// parseOrigin reads NAME=PLACE.
func parseOrigin(item string) (name, place string, err error) {
	name, place, ok := strings.Cut(item, "=")
	switch {
	case !ok || place == "":
		return "", "", fmt.Errorf("%q is not NAME=PLACE, like circl=https://feed.example.org/misp", item)
	case strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" || name == "":
		return "", "", fmt.Errorf("%q is not a name of small letters, digits, - and _", name)
	case name == mirror.ServerName:
		return "", "", fmt.Errorf("the name %q stands for the MISP at misp.url; choose another", name)
	case strings.Contains(place, "://") && !mirror.IsURL(place):
		return "", "", fmt.Errorf("%q is not an address that begins with https:// or http://", place)
	}
	return name, place, nil
}

// mirrorDir is where the mirror lies.
func (s *settings) mirrorDir() string { return filepath.Join(s.path("state_dir"), "mirror") }

// mirrorsMISP reports whether the MISP server is one of the origins.
func (s *settings) mirrorsMISP() bool { return s.flag("mirror.misp") && s.text("misp.url") != "" }

// originNames returns the names of all origins of the mirror, MISP first.
func originNames(s *settings) ([]string, error) {
	var names []string
	if s.mirrorsMISP() {
		names = append(names, mirror.ServerName)
	}
	for _, key := range []string{"mirror.feeds", "mirror.lists"} {
		for _, item := range s.texts(key) {
			name, _, err := parseOrigin(item)
			if err != nil {
				return nil, wrongUsef("%s: %w", key, err)
			}
			if slices.Contains(names, name) {
				return nil, wrongUsef("%s: the name %q is taken twice", key, name)
			}
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil, wrongUsef("there is nothing to mirror; set misp.url, mirror.feeds or mirror.lists")
	}
	return names, nil
}

// newMirror opens the mirror.
func newMirror(s *settings) (*mirror.Mirror, error) {
	names, err := originNames(s)
	if err != nil {
		return nil, err
	}
	if f := s.filter(); f.MinDecayScore != nil {
		return nil, wrongUsef("lookup.min_decay_score needs MISP's own scores, which change by the hour; set lookup.policy to live, or leave it out")
	}
	return mirror.Open(s.mirrorDir(), names, s.filter()), nil
}

// newOrigins returns the origins of the mirror, as they are synced.
func newOrigins(s *settings, log *slog.Logger) ([]mirror.Origin, error) {
	if _, err := originNames(s); err != nil {
		return nil, err
	}
	var origins []mirror.Origin
	if s.mirrorsMISP() {
		client, err := newClient(s, s.duration("mirror.timeout"), log)
		if err != nil {
			return nil, err
		}
		origins = append(origins, &mirror.Server{Client: client, URL: s.text("misp.url"), Warninglists: s.flag("lookup.warninglists")})
	}
	agent := "custom-misp/" + version()
	for _, key := range []string{"mirror.feeds", "mirror.lists"} {
		for _, item := range s.texts(key) {
			name, place, _ := parseOrigin(item)
			if !mirror.IsURL(place) {
				place = s.fromHome(place)
			}
			if key == "mirror.feeds" {
				origins = append(origins, mirror.NewFeed(name, place, agent))
			} else {
				origins = append(origins, mirror.NewList(name, place, agent))
			}
		}
	}
	return origins, nil
}

// unusedCopies says what of the mirror is configured for nothing; empty if all is used.
func (s *settings) unusedCopies() string {
	for _, key := range []string{"mirror.feeds", "mirror.lists"} {
		if s.text("lookup.policy") == policyLive && len(s.texts(key)) > 0 {
			return key + " is set, but nothing is looked up there while lookup.policy is live"
		}
	}
	return ""
}

func newSyncer(s *settings, log *slog.Logger) *mirror.Syncer {
	return &mirror.Syncer{
		Dir: s.mirrorDir(), Full: s.duration("mirror.full_interval"), Reconcile: s.duration("mirror.reconcile_interval"),
		Overlap: mirror.UsualOverlap, Log: log, Now: time.Now,
	}
}

// originInterval is the time between two syncs of an origin.
func (s *settings) originInterval(o mirror.Origin) time.Duration {
	if o.Name() == mirror.ServerName {
		return s.duration("mirror.interval")
	}
	return s.duration("mirror.feed_interval")
}
