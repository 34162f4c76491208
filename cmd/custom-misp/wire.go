package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/engine/wazuh"
	"custom-misp/mappings"
	"custom-misp/misp"
	"custom-misp/misp/feed"
)

// mappingSources reads the mapping files that the settings ask for, and those that are named besides.
func mappingSources(s *settings, named []string) ([]engine.Source, error) {
	var sources []engine.Source
	if s.flag("mappings.builtin") {
		builtin, err := engine.ReadFS(mappings.FS, "mappings")
		if err != nil {
			return nil, err
		}
		for _, src := range engine.WithOutline(builtin, mappings.Outline) {
			src.Builtin = true
			sources = append(sources, src)
		}
	}
	for _, dir := range s.paths("mappings.dirs") {
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) && s.origin["mappings.dirs"] == "default" {
			continue
		}
		found, err := readMappings(dir)
		if err != nil {
			return nil, wrongUsef("mappings.dirs: %w", err)
		}
		sources = append(sources, found...)
	}
	for _, name := range named {
		found, err := readMappings(name)
		if err != nil {
			return nil, wrongUse{err}
		}
		sources = append(sources, found...)
	}
	return sources, nil
}

// forSite takes out of the mappings, and of what they pick, what the settings say. The engine is good even with an
// error.
func forSite(s *settings, e *engine.Engine) (*engine.Engine, error) {
	entries := s.texts("ignore.values")
	for _, name := range s.paths("ignore.files") {
		data, err := os.ReadFile(name)
		if err != nil {
			return e, wrongUsef("ignore.files: %w", err)
		}
		for n, line := range strings.Split(string(data), "\n") {
			if _, err := engine.NewIgnore([]string{line}); err != nil {
				return e, wrongUsef("%s:%d: %w", name, n+1, err)
			}
			entries = append(entries, line)
		}
	}
	site := engine.Site{Disable: s.texts("mappings.disable")}
	if len(entries) > 0 {
		var err error
		if site.Ignore, err = engine.NewIgnore(entries); err != nil {
			return e, wrongUsef("ignore.values: %w", err)
		}
	}
	if site.Ignore == nil && len(site.Disable) == 0 {
		return e, nil
	}
	e, err := e.For(site)
	if err != nil {
		return e, wrongUsef("mappings.disable: %w; see custom-misp mappings", err)
	}
	return e, nil
}

// readMappings reads a mapping file, or those of a directory.
func readMappings(name string) ([]engine.Source, error) {
	st, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if st.IsDir() {
		return engine.ReadFS(os.DirFS(name), filepath.ToSlash(name))
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return []engine.Source{{Name: filepath.ToSlash(name), Data: data}}, nil
}

// newLookup returns whom the settings say to ask.
func newLookup(s *settings, log *slog.Logger) (enrich.Lookup, error) {
	if s.text("lookup.policy") == policyLive {
		return newLive(s, log)
	}
	m, err := newMirror(s)
	if err != nil || s.text("lookup.policy") == policyMirror {
		return m, err
	}
	live, err := newLive(s, log)
	if err != nil {
		return nil, err
	}
	return &enrich.MirrorFirst{Mirror: m, Live: live, Missed: func(err error) {
		log.Warn("MISP was not asked for what the mirror does not know", "error", err.Error())
	}}, nil
}

// newLive returns the feed directory if one is configured, else the MISP server.
func newLive(s *settings, log *slog.Logger) (enrich.Lookup, error) {
	if dir := s.path("feed.dir"); dir != "" {
		f, err := feed.Open(os.DirFS(dir), s.filter())
		if err != nil {
			return nil, fmt.Errorf("feed %s: %w", dir, err)
		}
		return f, nil
	}
	client, err := newClient(s, s.duration("misp.timeout"), log)
	if err != nil {
		return nil, err
	}
	return client, nil
}

// newClient returns the client for the MISP server that the settings name, with a time for one try.
func newClient(s *settings, timeout time.Duration, log *slog.Logger) (*misp.Client, error) {
	if s.text("misp.url") == "" {
		return nil, wrongUsef("misp.url is not set; set it in %s, by <hook_url> in ossec.conf or by %s, or name a feed",
			filepath.Join(s.home, "etc", "custom-misp.yaml"), envName("misp.url"))
	}
	key, err := s.key()
	if err != nil {
		return nil, err
	}
	if key == "" {
		return nil, wrongUsef("no key for %s; name a file with misp.key_file, or set <api_key> in ossec.conf", s.text("misp.url"))
	}
	c := misp.Config{
		URL: s.text("misp.url"), Key: key, InsecureSkipVerify: s.flag("misp.insecure_skip_verify"),
		Timeout: timeout, Retries: s.count("misp.retries"),
		Filter: s.filter(), UserAgent: "custom-misp/" + version(), Logger: log,
	}
	if err := s.tls(&c); err != nil {
		return nil, err
	}
	client, err := misp.New(c)
	if err != nil {
		return nil, wrongUse{err}
	}
	return client, nil
}

// tls reads the files that secure the connection to MISP.
func (s *settings) tls(c *misp.Config) (err error) {
	if name := s.path("misp.ca_file"); name != "" {
		if c.CA, err = os.ReadFile(name); err != nil {
			return wrongUsef("misp.ca_file: %w", err)
		}
	}
	cert, key := s.path("misp.client_cert_file"), s.path("misp.client_key_file")
	if cert != "" || key != "" {
		if cert == "" || key == "" {
			return wrongUsef("a client certificate needs both misp.client_cert_file and misp.client_key_file")
		}
		if err := refuseReadable(key); err != nil {
			return wrongUse{err}
		}
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return wrongUsef("misp.client_cert_file, misp.client_key_file: %w", err)
		}
		c.Certificate = &pair
	}
	for _, p := range s.texts("misp.pins") {
		pin, err := misp.ParsePin(p)
		if err != nil {
			return wrongUsef("misp.pins: %w", err)
		}
		c.Pins = append(c.Pins, pin)
	}
	return nil
}

// newSpool returns the spool, whose place other parts of the state lie beside.
func newSpool(s *settings) *enrich.Spool {
	return &enrich.Spool{
		Dir: filepath.Join(s.path("state_dir"), spoolDir), MaxEntries: s.count("spool.max_entries"),
		MaxBytes: int64(s.count("spool.max_mib")) << 20, Now: time.Now,
	}
}

// outageFiles returns where outages of MISP and of Wazuh's queue are kept.
func outageFiles(s *settings) (ofMISP, ofQueue enrich.OutageFile) {
	dir := s.path("state_dir")
	return enrich.OutageFile{Path: filepath.Join(dir, "misp.json"), Now: time.Now},
		enrich.OutageFile{Path: filepath.Join(dir, "queue.json"), Now: time.Now}
}

// newDurable returns the way of an alert with all that keeps it from being lost.
func newDurable(s *settings, e *engine.Engine, lookup enrich.Lookup, log *slog.Logger) *enrich.Durable {
	queue := newQueue(s)
	d := &enrich.Durable{
		Pipeline: enrich.Pipeline{Engine: e, Lookup: lookup, Sink: queue, Link: s.text("misp.url"), Filter: s.filter(), Unlimited: s.text("lookup.policy") == policyMirror},
		Spool:    newSpool(s), Log: log, Now: time.Now,
		Reserve: s.duration("wazuh.send_timeout"), DrainTime: s.duration("spool.drain_time"),
		Faults: &enrich.Throttle{Sink: queue, Dir: s.path("state_dir"), Interval: s.duration("error_interval"), Now: time.Now},
	}
	d.MISP, d.Queue = outageFiles(s)
	if sighter, ok := lookup.(enrich.Sighter); ok && s.flag("sightings.enabled") {
		d.Sightings = &enrich.Sightings{
			Sighter: sighter, Source: s.text("sightings.source"), TLPRed: s.flag("sightings.tlp_red"),
			Dir: filepath.Join(s.path("state_dir"), "sightings"), Now: time.Now,
		}
	}
	return d
}

// unusable is a look-up that cannot be made.
type unusable struct{ trouble *enrich.Trouble }

// Lookup implements enrich.Lookup.
func (u unusable) Lookup(context.Context, []engine.Observable) ([]enrich.Match, error) {
	return nil, u.trouble
}

// newQueue returns Wazuh's queue. The default place is where 4.2 and later have it; 4.0 and 4.1 have another.
func newQueue(s *settings) *wazuh.Queue {
	q := &wazuh.Queue{
		Path: s.path("wazuh.queue"), PlainHeader: s.flag("wazuh.plain_header"), Timeout: s.duration("wazuh.send_timeout"),
	}
	if s.origin["wazuh.queue"] != "default" {
		return q
	}
	if _, err := os.Stat(q.Path); errors.Is(err, fs.ErrNotExist) {
		old := filepath.Join(s.home, wazuh.OldQueuePath)
		if _, err := os.Stat(old); err == nil {
			q.Path, q.PlainHeader = old, true
		}
	}
	return q
}

// loadEngine loads the settings, and the mappings for a verb: those that are configured, and those that are named.
// Unlike a call by integratord, a verb stops at a fault in any of them, after telling of all.
func loadEngine(g globalFlags, flags map[string]any, named []string, st streams) (*settings, []engine.Source, *engine.Engine, error) {
	s, err := loadSettings(g, nil, flags)
	if err != nil {
		return nil, nil, nil, err
	}
	sources, err := mappingSources(s, named)
	if err != nil {
		return nil, nil, nil, err
	}
	e, err := engine.Load(sources...)
	if err != nil {
		printFaults(st.err, err)
		return nil, nil, nil, errSilent
	}
	if e, err = forSite(s, e); err != nil {
		return nil, nil, nil, err
	}
	return s, sources, e, nil
}
