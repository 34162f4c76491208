package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"custom-misp/cmd/custom-misp/internal/config"
	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/misp/api"
	"custom-misp/misp/mirror"
	"custom-misp/misp/source"
)

// This file makes the look-up in several MISP servers: that at misp.url, and those that files of sources declare.

// A Server is a MISP server that the configuration names.
type Server struct {
	Name string // [mirror.ServerName] for the one at misp.url
	config.MISP
	Filter    engine.Filter // that of lookup, with what the server has of its own
	Budget    time.Duration // how long hits of other servers wait for it
	Mirrored  bool          // the mirror holds it
	Refresh   time.Duration // between two polls of the mirror
	Sightings bool          // they are reported to it, if they are at all
	place     string        // where it is declared; empty for the one at misp.url
	origin    string        // of what it knows: its name, or empty if it is the only one
}

// Key returns how messages call one of its settings: a key of the configuration, or of a declaration with its place.
func (s Server) Key(name string) string {
	if s.place == "" {
		return "misp." + name
	}
	return fmt.Sprintf("%s: server %q: %s", s.place, s.Name, name)
}

// TLSFiles returns the files that the connection needs, but for the key.
func (s Server) TLSFiles() (files []config.NamedFile) {
	for _, f := range []config.NamedFile{
		{Key: s.Key("ca_file"), Path: s.CAFile}, {Key: s.Key("client_cert_file"), Path: s.ClientCertFile}, {Key: s.Key("client_key_file"), Path: s.ClientKeyFile},
	} {
		if f.Path != "" {
			files = append(files, f)
		}
	}
	return files
}

// ServerFiles returns the files that declared servers name, whose change is a reason to load the configuration again; they may
// be absent.
func ServerFiles(c *config.Config) (names []string) {
	servers, err := Servers(c)
	if err != nil { // which Build says
		return nil
	}
	for _, s := range servers {
		if !s.Declared() {
			continue
		}
		names = append(names, s.MISP.Key.File)
		for _, f := range s.TLSFiles() {
			names = append(names, f.Path)
		}
	}
	return names
}

// declaredAs is how remedies name the declaration; empty for the server at misp.url.
func (s Server) declaredAs() string {
	if s.place == "" {
		return ""
	}
	return fmt.Sprintf("server %q in %s", s.Name, s.place)
}

// Place returns where a server is declared, as FILE:LINE; empty for the one at misp.url.
func (s Server) Place() string { return s.place }

// Declared reports whether a file of sources declares it, so that there may be others.
func (s Server) Declared() bool { return s.place != "" }

// Servers returns the MISP servers that the configuration names: the one at misp.url first, then those that are declared. None
// of these is asked where someone names a MISP or a feed for one look-up, or feed.dir takes the place of MISP. Errors are
// [cli.WrongUse].
func Servers(c *config.Config) ([]Server, error) {
	d, _, err := declarations(c)
	if err != nil {
		return nil, err
	}
	return serversOf(c, d.Servers), nil
}

func serversOf(c *config.Config, declared []*source.Server) []Server {
	var all []Server
	if c.MISP.URL != "" || len(declared) == 0 {
		all = append(all, Server{
			Name: mirror.ServerName, MISP: c.MISP, Filter: c.Lookup.Filter, Budget: c.MISP.Timeout, Mirrored: c.Mirror.MISP,
			Refresh: c.Mirror.Interval, Sightings: c.Sightings.Enabled,
		})
	}
	if c.FeedDir != "" || c.MISP.Alone {
		return all
	}
	for _, d := range declared {
		m := config.MISP{
			URL: d.URL, Key: config.Key{File: c.FromHome(d.KeyFile), From: d.File}, CAFile: fromHome(c, d.CAFile), ClientCertFile: fromHome(c, d.ClientCertFile),
			ClientKeyFile: fromHome(c, d.ClientKeyFile), InsecureSkipVerify: d.InsecureSkipVerify,
			Proxy: c.MISP.Proxy, NoProxy: c.MISP.NoProxy, Timeout: cmp.Or(d.Timeout, c.MISP.Timeout), Retries: c.MISP.Retries,
		}
		if d.Proxy != "" {
			m.Proxy, m.NoProxy = d.Proxy, nil
		}
		if d.Retries != nil {
			m.Retries = *d.Retries
		}
		for _, text := range d.Pins {
			if pin, err := api.ParsePin(text); err == nil { // it was checked where it was given
				m.Pins = append(m.Pins, pin)
			}
		}
		s := Server{
			Name: d.Name, MISP: m, Filter: d.Filter.Over(c.Lookup.Filter), Budget: cmp.Or(d.Budget, m.Timeout),
			Mirrored: orElse(d.Mirror, c.Mirror.MISP), Refresh: cmp.Or(d.Refresh, c.Mirror.Interval),
			Sightings: c.Sightings.Enabled && orElse(d.Sightings, true), place: fmt.Sprintf("%s:%d", d.File, d.Line),
		}
		s.MISP.Key.Called = s.Key("key_file")
		all = append(all, s)
	}
	if several(all) {
		for i := range all {
			all[i].origin = all[i].Name
		}
	}
	return all
}

// fromHome returns a path counted from Wazuh's directory; empty for none.
func fromHome(c *config.Config, path string) string {
	if path == "" {
		return ""
	}
	return c.FromHome(path)
}

func orElse(given *bool, otherwise bool) bool {
	if given != nil {
		return *given
	}
	return otherwise
}

// Several reports whether servers are declared, so that events, records and metrics have to name the one they are about.
func Several(servers []Server) bool {
	return len(servers) > 1 || len(servers) == 1 && servers[0].Declared()
}

func several(servers []Server) bool { return Several(servers) }

// Several reports whether servers are declared, so that whatever is said of MISP has to name the server.
func (a *App) Several() bool { return several(a.Servers) && a.Config.FeedDir == "" }

// serverNames returns the names of servers.
func serverNames(servers []Server) []string {
	names := make([]string, 0, len(servers))
	for _, s := range servers {
		names = append(names, s.Name)
	}
	return names
}

// openServers opens the clients of several servers. One that cannot be made, since its key is not there, fails alone: what it
// would know is asked for when that is corrected. The error is nil if at least one can be made; others are in faults.
func (a *App) openServers(h Hooks) (faults []error, err error) {
	var live enrich.Servers
	for _, s := range a.Servers {
		client, err := clientOf(a.Config, s, s.Timeout, h)
		if err != nil {
			faults = append(faults, err)
			live = append(live, enrich.Server{Name: s.Name, Lookup: failing{asTrouble(err)}})
			continue
		}
		a.closers = append(a.closers, client.Close)
		live = append(live, enrich.Server{Name: s.Name, Lookup: client})
	}
	a.Live = live
	if len(faults) == len(live) {
		return nil, errors.Join(faults...)
	}
	return faults, nil
}

// each returns the servers that are asked live, each with another look-up.
func (a *App) each(with func(s Server, asked enrich.Lookup) enrich.Lookup) enrich.Servers {
	var all enrich.Servers
	for i, s := range a.Live.(enrich.Servers) {
		all = append(all, enrich.Server{Name: s.Name, Lookup: with(a.Servers[i], s.Lookup)})
	}
	return all
}

// patient returns the servers as a chain asks them: each with a record of its outages, a budget, and in serve with its own batches.
// The circuit is inside of the batch: while a server is unreachable, all who wait for it wait no longer than one question takes.
func (a *App) patient(h Hooks) enrich.Servers {
	all := a.each(func(s Server, asked enrich.Lookup) enrich.Lookup {
		if h.Daemon != nil {
			asked = timed{asked, meterOf{h.Daemon.Meter, s.Name}, "misp", 0}
		}
		asked = &enrich.Circuit{Asked: asked, Outage: a.recordOf(h, s.Name)}
		if h.Daemon == nil {
			return asked
		}
		batch := a.batchOf(h.Daemon.Context, asked, liveWait, s)
		a.Batches = append(a.Batches, batch)
		return remembered{batch, batch, h.Daemon.Meter}
	})
	for i := range all {
		all[i].Budget = a.Servers[i].Budget
	}
	return all
}

// recordOf returns the record of outages of one of several servers; its log names the server.
func (a *App) recordOf(h Hooks, name string) enrich.OutageFile {
	f := a.recorded(h, func(s State) enrich.OutageFile { return s.ServerOutage(name) })
	if h.Log != nil {
		f.Log = h.Log.With("server", name)
	}
	return f
}

// outages returns the records of several servers; nil if there is one.
func (a *App) outages(h Hooks) []enrich.ServerOutage {
	if !a.Several() {
		return nil
	}
	var all []enrich.ServerOutage
	for _, s := range a.Servers {
		all = append(all, enrich.ServerOutage{Name: s.Name, Outage: a.recordOf(h, s.Name)})
	}
	return all
}

// links returns the addresses of several servers by their names; nil if there is one.
func links(servers []Server) map[string]string {
	if !several(servers) {
		return nil
	}
	all := map[string]string{}
	for _, s := range servers {
		all[s.Name] = s.URL
	}
	return all
}

// filters returns the filters of several servers by their names; nil if there is one.
func filters(servers []Server) map[string]engine.Filter {
	if !several(servers) {
		return nil
	}
	all := map[string]engine.Filter{}
	for _, s := range servers {
		all[s.Name] = s.Filter
	}
	return all
}

// meterOf counts look-ups in one of several servers.
type meterOf struct {
	Meter
	server string
}

// Asked implements Meter.
func (m meterOf) Asked(_ string, values, known int, took time.Duration) {
	m.AskedServer(m.server, values, known, took)
}

// ClientOf returns the client of a server, with a time for one try. Errors are [cli.WrongUse].
func ClientOf(c *config.Config, s Server, timeout time.Duration, log *slog.Logger) (*api.Client, error) {
	return clientOf(c, s, timeout, Hooks{Log: log})
}

// sightersOf opens the clients that report sightings to several servers.
func (a *App) sightersOf(h Hooks) (map[string]enrich.Sighter, error) {
	all := map[string]enrich.Sighter{}
	var errs []error
	for _, s := range a.Servers {
		if !s.Sightings {
			continue
		}
		client, err := clientOf(a.Config, s, s.Timeout, h)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		all[s.Name], a.closers = client, append(a.closers, client.Close)
	}
	return all, errors.Join(errs...)
}

// batchOf joins the questions to a server.
func (a *App) batchOf(ctx context.Context, asked enrich.Lookup, wait time.Duration, s Server) *enrich.Batch {
	return enrich.NewBatch(ctx, asked, a.batchLimits(s.MISP, wait))
}
