package engine

import (
	"cmp"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
)

// An Ignore is what a site never asks for: its own domains and networks, files that are known to be good. It is
// immutable and safe for concurrent use. The zero Ignore, like nil, ignores nothing.
type Ignore struct {
	names    map[string]bool // domains; the names below one are ignored too
	networks []netip.Prefix
	values   map[string]bool // in normal form and lower case, of any type
	count    atomic.Uint64   // values that were not picked because of it
}

// NewIgnore reads entries. The form of each decides what it is: a network (10.0.0.0/8), an address, a domain (with all
// names below it; *.corp.example means the same), or any other value, as it is picked. Blanks around an entry do not
// matter. Empty entries and those that begin with # are left out. The error names the first entry that is wrong; then
// there is no Ignore.
func NewIgnore(entries []string) (*Ignore, error) {
	ig := &Ignore{names: map[string]bool{}, values: map[string]bool{}}
	for _, entry := range entries {
		entry = strings.TrimSpace(entry)
		if entry == "" || strings.HasPrefix(entry, "#") {
			continue
		}
		if err := ig.add(entry); err != nil {
			return nil, err
		}
	}
	return ig, nil
}

func (ig *Ignore) add(entry string) error {
	if host, err := normalHost(strings.TrimPrefix(entry, "*.")); err == nil {
		ig.names[host] = true
		return nil
	}
	if a, err := netip.ParseAddr(entry); err == nil {
		ig.networks = append(ig.networks, netip.PrefixFrom(a.Unmap().WithZone(""), a.Unmap().BitLen()))
		return nil
	}
	if strings.Count(entry, "/") == 1 && strings.Trim(entry, "0123456789abcdefABCDEF.:/") == "" {
		p, err := parsePrefix(entry)
		if err != nil {
			return fmt.Errorf("%q is not a network like 10.0.0.0/8", entry)
		}
		ig.networks = append(ig.networks, p)
		return nil
	}
	if len(entry) > MaxValue {
		return fmt.Errorf("%.40q… is longer than a value can be (%d bytes)", entry, MaxValue)
	}
	t, value, err := decide(entry)
	if err == nil {
		entry = value
	}
	ig.values[strings.ToLower(entry)] = true
	// In whatever form it is written.
	switch {
	case t.Family() == familyURL:
		ig.values[urlKey(entry)] = true
	case strings.Contains(entry, `\`):
		ig.values[registryForm(entry).key], ig.values[pathForm(entry).key] = true, true
	}
	return nil
}

// errIgnored is the reason why a value that the site ignores is dropped.
type errIgnored struct{ by string }

// Error implements error.
func (e errIgnored) Error() string { return "ignored by this site: " + e.by }

// check returns why a value in normal form is ignored; nil if it is not.
func (ig *Ignore) check(t Type, value string) error {
	if ig == nil {
		return nil
	}
	lower := strings.ToLower(value)
	if ig.values[lower] {
		return errIgnored{lower}
	}
	if err := ig.checkForms(t.Family(), value); err != nil {
		return err
	}
	host := ""
	switch t.Family() {
	case familyIP, familyHost:
		host = lower
	case familyEmail:
		_, host, _ = strings.Cut(lower, "@")
	case familyURL:
		if u, err := url.Parse(value); err == nil {
			host = strings.ToLower(u.Hostname())
		}
	}
	if host == "" {
		return nil
	}
	if a, err := netip.ParseAddr(host); err == nil {
		if i := slices.IndexFunc(ig.networks, func(p netip.Prefix) bool { return p.Contains(a) }); i >= 0 {
			return errIgnored{ig.networks[i].String()}
		}
		return nil
	}
	for name, more := host, true; more; _, name, more = strings.Cut(name, ".") {
		if ig.names[name] {
			return errIgnored{name}
		}
	}
	return nil
}

// checkForms checks the other ways to write a value, and the halves of a pair.
func (ig *Ignore) checkForms(f Family, value string) error {
	if len(ig.values) == 0 {
		return nil
	}
	switch f {
	case familyRegistryPair:
		key, data, _ := strings.Cut(value, pairMark)
		for _, half := range []comparison{registryForm(key), registryDataForm(data)} {
			if err := ig.checkKeys(half); err != nil {
				return err
			}
		}
	case familyFilename, familyRegistryKey, familyURL:
		return ig.checkKeys(compared(f, value))
	}
	return nil
}

func (ig *Ignore) checkKeys(c comparison) error {
	if ig.values[c.key] {
		return errIgnored{c.key}
	}
	for _, w := range c.wider {
		if ig.values[w] {
			return errIgnored{w}
		}
	}
	return nil
}

// Site is what a site changes about the mappings that are loaded. The zero Site changes nothing.
type Site struct {
	Disable []string // ids of mappings that are left out
	Ignore  *Ignore  // values that are not picked, instead of those that the engine ignores; nil for the same
	// MaxFallback is how many values of an alert mappings with fallback pick at most; 0 for as many as the engine
	// has, -1 for none.
	MaxFallback int
}

// For returns a copy of the engine with the changes of a site. The error names ids to disable that no mapping has; the
// engine is good even so, and the other ids are disabled.
func (e *Engine) For(s Site) (*Engine, error) {
	var unknown []string
	for _, id := range s.Disable {
		if e.byID[id] == nil {
			unknown = append(unknown, id)
		}
	}
	if len(s.Disable) == 0 && e.paths != nil {
		of := &Engine{
			mappings: e.mappings, byID: e.byID, paths: e.paths, index: e.index, data: e.data, groups: e.groups, decoder: e.decoder, location: e.location,
			byName: e.byName, ignore: cmp.Or(s.Ignore, e.ignore), most: cmp.Or(s.MaxFallback, e.most),
		}
		of.runs.New = func() any { return newRun(of) }
		return of, nil
	}
	of := &Engine{byID: map[string]*mapping{}, paths: e.paths, ignore: cmp.Or(s.Ignore, e.ignore), most: cmp.Or(s.MaxFallback, e.most)}
	if of.paths == nil { // of the zero Engine
		of.paths = newPaths()
	}
	for _, m := range e.mappings {
		if !slices.Contains(s.Disable, m.id) {
			of.mappings = append(of.mappings, m)
			of.byID[m.id] = m
		}
	}
	of.seal()
	if len(unknown) > 0 {
		return of, fmt.Errorf("no mapping has the id %s", strings.Join(unknown, ", "))
	}
	return of, nil
}
