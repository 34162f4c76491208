package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

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
		for _, src := range builtin {
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

// newLookup returns the feed directory if one is configured, else the MISP server.
func newLookup(s *settings, log *slog.Logger) (enrich.Lookup, error) {
	if dir := s.path("feed.dir"); dir != "" {
		f, err := feed.Open(os.DirFS(dir), s.filter())
		if err != nil {
			return nil, fmt.Errorf("feed %s: %w", dir, err)
		}
		return f, nil
	}
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
	var ca []byte
	if name := s.path("misp.ca_file"); name != "" {
		if ca, err = os.ReadFile(name); err != nil {
			return nil, wrongUsef("misp.ca_file: %w", err)
		}
	}
	client, err := misp.New(misp.Config{
		URL: s.text("misp.url"), Key: key, CA: ca,
		InsecureSkipVerify: s.flag("misp.insecure_skip_verify"),
		Timeout:            s.duration("misp.timeout"), Retries: s.count("misp.retries"),
		Filter: s.filter(), UserAgent: "custom-misp/" + version(), Logger: log,
	})
	if err != nil {
		return nil, wrongUse{err}
	}
	return client, nil
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
	return s, sources, e, nil
}
