package app

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpproxy"

	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/cmd/custom-misp/internal/config"
	"custom-misp/engine"
	"custom-misp/engine/atomicfile"
	"custom-misp/engine/enrich"
	"custom-misp/misp/api"
	"custom-misp/misp/feed"
	"custom-misp/misp/mirror"
	"custom-misp/misp/source"
)

// newLive returns the feed directory if one is configured, else the client of the MISP server.
func newLive(c *config.Config, h Hooks) (enrich.Lookup, error) {
	if c.FeedDir == "" {
		client, err := newClient(c, c.MISP.Timeout, h)
		if err != nil {
			return nil, err // and not a client that is nil
		}
		return client, nil
	}
	f, err := feed.Open(atomicfile.DirFS(c.FeedDir), c.Lookup.Filter)
	if err != nil {
		return nil, cli.WrongUsef("feed.dir: %s: %w", c.FeedDir, err)
	}
	return f, nil
}

// Client returns the client of the MISP server that the configuration names, with a time for one try. Errors are
// [cli.WrongUse].
func Client(c *config.Config, timeout time.Duration, log *slog.Logger) (*api.Client, error) {
	return newClient(c, timeout, Hooks{Log: log})
}

// ClientWithKey returns the client of a server with one key alone, whatever others the configuration has.
func ClientWithKey(s Server, key string) (*api.Client, error) {
	return clientWith(s, []string{key}, nil, s.Timeout, Hooks{})
}

// newClient returns the client of the MISP at misp.url.
func newClient(c *config.Config, timeout time.Duration, h Hooks) (*api.Client, error) {
	return clientOf(c, serversOf(c, nil)[0], timeout, h)
}

func clientOf(c *config.Config, s Server, timeout time.Duration, h Hooks) (*api.Client, error) {
	if s.URL == "" {
		return nil, cli.WrongUsef("misp.url is not set; set it in %s, by <hook_url> in ossec.conf or by %s, or name a feed",
			c.FromHome("etc/custom-misp.yaml"), config.EnvName("misp.url"))
	}
	keys, err := s.MISP.Key.ReadAll()
	if err != nil {
		return nil, err
	}
	return clientWith(s, keys, keysOf(s.MISP.Key), timeout, h)
}

func clientWith(s Server, keys []string, others func() []string, timeout time.Duration, h Hooks) (*api.Client, error) {
	key := ""
	if len(keys) > 0 {
		key = keys[0]
	}
	switch {
	case key == "" && s.MISP.Key.File != "":
		return nil, cli.WrongUsef("%s: %s is empty; write the key into it", s.Key("key_file"), s.MISP.Key.File)
	case key == "":
		return nil, cli.WrongUsef("no key for %s; name a file with misp.key_file, or set <api_key> in ossec.conf", s.URL)
	}
	settings := api.Config{
		URL: s.URL, Key: key, Keys: others, Proxy: Proxy(s.MISP), InsecureSkipVerify: s.InsecureSkipVerify, Pins: s.Pins,
		Timeout: timeout, Retries: s.Retries, MaxValues: h.maxValues(),
		Filter: s.Filter, UserAgent: userAgent(), Logger: h.Log, Now: h.Now, Origin: s.origin, Declared: s.declaredAs(),
	}
	var err error
	if s.CAFile != "" {
		if settings.CA, err = readRegular(s.CAFile); err != nil {
			return nil, cli.WrongUsef("%s: %w", s.Key("ca_file"), err)
		}
		if !x509.NewCertPool().AppendCertsFromPEM(settings.CA) {
			return nil, cli.WrongUsef("%s: %s holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)", s.Key("ca_file"), s.CAFile)
		}
	}
	if settings.Certificate, err = clientCertificate(s); err != nil {
		return nil, err
	}
	client, err := api.New(settings)
	if err != nil { // about the key: everything else has been checked
		return nil, cli.WrongUsef("%s: %w", s.MISP.Key.Option(), err)
	}
	return client, nil
}

// keysOf returns what reads the keys of a file anew; nil for a key that is not in a file.
func keysOf(k config.Key) func() []string {
	if k.File == "" {
		return nil
	}
	return func() []string {
		keys, _ := k.ReadAll() // without them, the refusal of the key in use is the error
		return keys
	}
}

// Proxy returns what names the proxy for a request to MISP; nil for what the environment says.
func Proxy(m config.MISP) func(*http.Request) (*url.URL, error) {
	if m.Proxy == "" {
		return nil
	}
	of := (&httpproxy.Config{HTTPProxy: m.Proxy, HTTPSProxy: m.Proxy, NoProxy: strings.Join(m.NoProxy, ",")}).ProxyFunc()
	return func(r *http.Request) (*url.URL, error) { return of(r.URL) }
}

// clientCertificate reads the certificate that is shown to MISP; nil for none.
func clientCertificate(s Server) (*tls.Certificate, error) {
	cert, key := s.ClientCertFile, s.ClientKeyFile
	if cert == "" && key == "" {
		return nil, nil
	}
	if cert == "" || key == "" {
		return nil, cli.WrongUsef("a client certificate needs both misp.client_cert_file and misp.client_key_file")
	}
	if err := config.RefuseReadable(key); err != nil {
		return nil, cli.WrongUsef("%s: %w", s.Key("client_key_file"), err)
	}
	certPEM, certErr := readRegular(cert)
	keyPEM, err := readRegular(key)
	var pair tls.Certificate
	if err = errors.Join(certErr, err); err == nil {
		pair, err = tls.X509KeyPair(certPEM, keyPEM)
	}
	if err != nil {
		return nil, cli.WrongUsef("%s, %s: %w", s.Key("client_cert_file"), s.Key("client_key_file"), err)
	}
	return &pair, nil
}

func userAgent() string { return "custom-misp/" + cli.Version() }

// mirroredList is what one key of the configuration has the mirror hold.
type mirroredList struct {
	key     string
	sources []config.Source
}

func mirrored(c *config.Config) []mirroredList {
	return []mirroredList{{"mirror.feeds", c.Mirror.Feeds}, {"mirror.lists", c.Mirror.Lists}}
}

// sourceNames returns the names of everything in the mirror, MISP first. Under the policy live that is what is declared.
func sourceNames(c *config.Config, declared source.Declared) ([]string, error) {
	if c.Lookup.Policy == config.PolicyLive && len(declared.Sources) > 0 {
		return declaredNames(declared.Sources), nil
	}
	names := serverNames(mirroredServers(serversOf(c, declared.Servers)))
	for _, in := range mirrored(c) {
		for _, s := range in.sources {
			if slices.Contains(names, s.Name) {
				return nil, cli.WrongUsef("%s: the name %q stands twice; each source of the mirror needs its own", in.key, s.Name)
			}
			names = append(names, s.Name)
		}
	}
	indicators := len(names) > 0 || slices.ContainsFunc(declared.Sources, func(s *source.Source) bool { return !s.IsWarninglist() })
	if names = append(names, declaredNames(declared.Sources)...); !indicators {
		return nil, cli.WrongUsef("there is nothing to mirror; set misp.url, mirror.feeds or mirror.lists, or declare sources in %s", strings.Join(c.Sources.Dirs, ", "))
	}
	return names, nil
}

// mirroredServers returns the servers that the mirror holds.
func mirroredServers(servers []Server) (held []Server) {
	for _, s := range servers {
		if s.Mirrored && s.URL != "" {
			held = append(held, s)
		}
	}
	return held
}

// declaredNames returns the names of declared sources.
func declaredNames(declared []*source.Source) []string {
	names := make([]string, 0, len(declared))
	for _, s := range declared {
		names = append(names, s.Name)
	}
	return names
}

// UsesMirror reports whether anything is looked up in the mirror: under the policy live, declared sources alone.
func UsesMirror(c *config.Config) bool {
	if c.Lookup.Policy != config.PolicyLive {
		return true
	}
	declared, _, err := Sources(c)
	return err != nil || usesMirror(c, declared)
}

func usesMirror(c *config.Config, declared []*source.Source) bool {
	return c.Lookup.Policy != config.PolicyLive || len(declared) > 0
}

// Mirror opens the mirror for look-ups. Errors are [cli.WrongUse].
func Mirror(c *config.Config) (*mirror.Mirror, error) {
	declared, _, err := declarations(c)
	if err != nil {
		return nil, err
	}
	return openMirror(c, declared)
}

func openMirror(c *config.Config, declared source.Declared) (*mirror.Mirror, error) {
	names, err := sourceNames(c, declared)
	if err != nil {
		return nil, err
	}
	servers := serversOf(c, declared.Servers)
	for _, s := range servers {
		if s.Filter.MinDecayScore != nil && c.Lookup.Policy != config.PolicyLive {
			key := "lookup.min_decay_score"
			if c.Lookup.Filter.MinDecayScore == nil {
				key = s.Key(key)
			}
			return nil, cli.WrongUsef("%s needs MISP's own scores, which change by the hour; set lookup.policy to live, or leave it out", key)
		}
	}
	m := mirror.Open(StateOf(c).Mirror(), names, filterOf(c, declared.Sources))
	if several(servers) {
		m.Servers, m.Filters = serverNames(servers), filters(servers)
	}
	for _, s := range declared.Sources {
		if s.IsWarninglist() {
			m.Warninglists = append(m.Warninglists, s.Name)
		}
	}
	return m, nil
}

// filterOf returns the filter of look-ups, with what the declared sources say of it.
func filterOf(c *config.Config, declared []*source.Source) engine.Filter {
	f := c.Lookup.Filter
	for _, s := range declared {
		if s.Missing == "" {
			continue
		}
		if f.MissingOf == nil {
			f.MissingOf = map[string]string{}
		}
		f.MissingOf[s.Name] = s.Missing
	}
	return f
}

// A Sync is one source of the mirror, how often it is synced, and what syncs it.
type Sync struct {
	mirror.Origin
	Interval time.Duration
	syncer   *mirror.Syncer
}

// Accept brings a declared source up to date, also if its copy is much smaller than the one before.
func (s Sync) Accept(ctx context.Context) (mirror.State, error) {
	accepting := &mirror.Syncer{Dir: s.syncer.Dir, Log: s.syncer.Log, Now: s.syncer.Now, Accept: true}
	defer accepting.Close()
	return accepting.Sync(ctx, s.Origin, true)
}

// Run brings the source up to date, once.
func (s Sync) Run(ctx context.Context, full bool) (mirror.State, error) {
	return s.syncer.Sync(ctx, s.Origin, full)
}

// Syncs returns what is to be synced, and what ends the connections and unmaps the files for it. Errors are [cli.WrongUse].
func Syncs(c *config.Config, log *slog.Logger) (list []Sync, closeAll func(), err error) {
	declared, _, err := declarations(c)
	if err != nil {
		return nil, nil, err
	}
	if _, err := sourceNames(c, declared); err != nil {
		return nil, nil, err
	}
	return newSyncs(c, declared, Hooks{Log: log, Now: time.Now})
}

// newSyncs returns what can be synced also beside an error.
func newSyncs(c *config.Config, declared source.Declared, h Hooks) (list []Sync, closeAll func(), err error) {
	syncer := &mirror.Syncer{
		Dir: StateOf(c).Mirror(), Full: c.Mirror.FullInterval, Reconcile: c.Mirror.ReconcileInterval,
		Overlap: mirror.UsualOverlap, Log: h.Log, Now: h.Now,
	}
	closeAll = syncer.Close
	list, wrong := declaredSyncs(c, declared.Sources, syncer)
	defer func() {
		syncer.Every = map[string]time.Duration{}
		for _, s := range list {
			syncer.Every[s.Name()] = s.Interval
		}
	}()
	if c.Lookup.Policy == config.PolicyLive && len(declared.Sources) > 0 {
		return list, closeAll, wrong // what MISP knows is asked there
	}
	var ofServers []Sync
	servers := serversOf(c, declared.Servers)
	for _, s := range mirroredServers(servers) {
		client, err := clientOf(c, s, c.Mirror.Timeout, h)
		if err != nil && !several(servers) {
			return nil, nil, err
		}
		if err != nil {
			wrong = errors.Join(wrong, err) // the others are synced all the same
			continue
		}
		end := closeAll
		closeAll = func() {
			end()
			client.Close()
		}
		server := &mirror.Server{Origin: s.Name, Client: client, URL: s.URL, Warninglists: true, Sightings: c.Mirror.Sightings}
		ofServers = append(ofServers, Sync{server, s.Refresh, syncer})
	}
	list = append(ofServers, list...)
	for _, s := range c.Mirror.Feeds {
		list = append(list, Sync{mirror.NewFeed(s.Name, s.Place, userAgent()), c.Mirror.FeedInterval, syncer})
	}
	for _, s := range c.Mirror.Lists {
		o := source.List(s.Name).Origin(mirror.Access{Place: s.Place, Shown: source.MaskURL(s.Place), UserAgent: userAgent()})
		list = append(list, Sync{o, c.Mirror.FeedInterval, syncer})
	}
	return list, closeAll, wrong
}

// StaleAfter is the age from which a source of the mirror counts as stale: serve.stale_after, but no sooner than after two
// intervals of the source, which a file that is fetched once a day reaches all the time.
func (s Sync) StaleAfter(c *config.Config) time.Duration {
	return max(c.Serve.StaleAfter, 2*s.Interval)
}

// StaleAfter returns the age from which each declared source counts as stale, see [Sync.StaleAfter].
func StaleAfter(c *config.Config) map[string]time.Duration {
	after := map[string]time.Duration{}
	declared, _, _ := Sources(c) // of one with a fault nothing is known
	for _, s := range declared {
		after[s.Name] = Sync{Interval: cmp.Or(s.Refresh, c.Mirror.FeedInterval)}.StaleAfter(c)
	}
	return after
}

// Due is how long it is until the source has to be synced, for who begins to sync it again and again, see
// [mirror.Syncer.Due].
func (s Sync) Due() time.Duration { return s.syncer.Due(s.Origin) }

// declaredSyncs returns the declared sources to be synced. The error names those that lack a secret.
func declaredSyncs(c *config.Config, declared []*source.Source, syncer *mirror.Syncer) (list []Sync, err error) {
	var errs []error
	for _, s := range declared {
		o, err := origin(c, s)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		list = append(list, Sync{o, cmp.Or(s.Refresh, c.Mirror.FeedInterval), syncer})
	}
	return list, errors.Join(errs...)
}

// UnusedMirror says what of the mirror is configured without effect; empty if all is used.
func UnusedMirror(c *config.Config) string {
	if c.Lookup.Policy != config.PolicyLive {
		return ""
	}
	for _, in := range mirrored(c) {
		if len(in.sources) > 0 {
			return in.key + " is set, but nothing is looked up there while lookup.policy is live"
		}
	}
	return ""
}

// withheld asks for the observables that may leave the site, see [engine.Observable.AskedLive].
type withheld struct{ asked enrich.Lookup }

// Lookup implements enrich.Lookup.
func (w withheld) Lookup(ctx context.Context, observables []engine.Observable) ([]enrich.Match, error) {
	asked := make([]engine.Observable, 0, len(observables))
	for _, o := range observables {
		if o.AskedLive() {
			asked = append(asked, o)
		}
	}
	if len(asked) == 0 {
		return nil, nil
	}
	return w.asked.Lookup(ctx, asked)
}

// failing is a look-up that cannot be made.
type failing struct{ trouble *enrich.Trouble }

// Lookup implements enrich.Lookup.
func (f failing) Lookup(context.Context, []engine.Observable) ([]enrich.Match, error) {
	return nil, f.trouble
}
