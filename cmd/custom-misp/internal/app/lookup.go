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

// ClientWithKey returns a client with one key alone, whatever others the configuration has.
func ClientWithKey(c *config.Config, key string) (*api.Client, error) {
	return clientWith(c, []string{key}, nil, c.MISP.Timeout, Hooks{})
}

func newClient(c *config.Config, timeout time.Duration, h Hooks) (*api.Client, error) {
	if c.MISP.URL == "" {
		return nil, cli.WrongUsef("misp.url is not set; set it in %s, by <hook_url> in ossec.conf or by %s, or name a feed",
			c.FromHome("etc/custom-misp.yaml"), config.EnvName("misp.url"))
	}
	keys, err := c.MISP.Key.ReadAll()
	if err != nil {
		return nil, err
	}
	return clientWith(c, keys, keysOf(c.MISP.Key), timeout, h)
}

func clientWith(c *config.Config, keys []string, others func() []string, timeout time.Duration, h Hooks) (*api.Client, error) {
	key := ""
	if len(keys) > 0 {
		key = keys[0]
	}
	switch {
	case key == "" && c.MISP.Key.File != "":
		return nil, cli.WrongUsef("misp.key_file: %s is empty; write the key into it", c.MISP.Key.File)
	case key == "":
		return nil, cli.WrongUsef("no key for %s; name a file with misp.key_file, or set <api_key> in ossec.conf", c.MISP.URL)
	}
	settings := api.Config{
		URL: c.MISP.URL, Key: key, Keys: others, Proxy: Proxy(c.MISP), InsecureSkipVerify: c.MISP.InsecureSkipVerify, Pins: c.MISP.Pins,
		Timeout: timeout, Retries: c.MISP.Retries, MaxValues: h.maxValues(),
		Filter: c.Lookup.Filter, UserAgent: userAgent(), Logger: h.Log, Now: h.Now,
	}
	var err error
	if c.MISP.CAFile != "" {
		if settings.CA, err = readRegular(c.MISP.CAFile); err != nil {
			return nil, cli.WrongUsef("misp.ca_file: %w", err)
		}
		if !x509.NewCertPool().AppendCertsFromPEM(settings.CA) {
			return nil, cli.WrongUsef("misp.ca_file: %s holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)", c.MISP.CAFile)
		}
	}
	if settings.Certificate, err = clientCertificate(c.MISP); err != nil {
		return nil, err
	}
	client, err := api.New(settings)
	if err != nil { // about the key: everything else has been checked
		return nil, cli.WrongUsef("%s: %w", c.MISP.Key.Option(), err)
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
func clientCertificate(m config.MISP) (*tls.Certificate, error) {
	cert, key := m.ClientCertFile, m.ClientKeyFile
	if cert == "" && key == "" {
		return nil, nil
	}
	if cert == "" || key == "" {
		return nil, cli.WrongUsef("a client certificate needs both misp.client_cert_file and misp.client_key_file")
	}
	if err := config.RefuseReadable(key); err != nil {
		return nil, cli.WrongUsef("misp.client_key_file: %w", err)
	}
	certPEM, certErr := readRegular(cert)
	keyPEM, err := readRegular(key)
	var pair tls.Certificate
	if err = errors.Join(certErr, err); err == nil {
		pair, err = tls.X509KeyPair(certPEM, keyPEM)
	}
	if err != nil {
		return nil, cli.WrongUsef("misp.client_cert_file, misp.client_key_file: %w", err)
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
func sourceNames(c *config.Config, declared []*source.Source) ([]string, error) {
	if c.Lookup.Policy == config.PolicyLive && len(declared) > 0 {
		return declaredNames(declared), nil
	}
	var names []string
	if c.MirrorsMISP() {
		names = append(names, mirror.ServerName)
	}
	for _, in := range mirrored(c) {
		for _, s := range in.sources {
			if slices.Contains(names, s.Name) {
				return nil, cli.WrongUsef("%s: the name %q stands twice; each source of the mirror needs its own", in.key, s.Name)
			}
			names = append(names, s.Name)
		}
	}
	indicators := len(names) > 0 || slices.ContainsFunc(declared, func(s *source.Source) bool { return !s.IsWarninglist() })
	if names = append(names, declaredNames(declared)...); !indicators {
		return nil, cli.WrongUsef("there is nothing to mirror; set misp.url, mirror.feeds or mirror.lists, or declare sources in %s", strings.Join(c.Sources.Dirs, ", "))
	}
	return names, nil
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
	declared, _, err := Sources(c)
	if err != nil {
		return nil, err
	}
	return openMirror(c, declared)
}

func openMirror(c *config.Config, declared []*source.Source) (*mirror.Mirror, error) {
	names, err := sourceNames(c, declared)
	if err != nil {
		return nil, err
	}
	if c.Lookup.Filter.MinDecayScore != nil && c.Lookup.Policy != config.PolicyLive {
		return nil, cli.WrongUsef("lookup.min_decay_score needs MISP's own scores, which change by the hour; set lookup.policy to live, or leave it out")
	}
	m := mirror.Open(StateOf(c).Mirror(), names, filterOf(c, declared))
	for _, s := range declared {
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
	declared, _, err := Sources(c)
	if err != nil {
		return nil, nil, err
	}
	if _, err := sourceNames(c, declared); err != nil {
		return nil, nil, err
	}
	return newSyncs(c, declared, Hooks{Log: log, Now: time.Now})
}

// newSyncs returns what can be synced also beside an error.
func newSyncs(c *config.Config, declared []*source.Source, h Hooks) (list []Sync, closeAll func(), err error) {
	syncer := &mirror.Syncer{
		Dir: StateOf(c).Mirror(), Full: c.Mirror.FullInterval, Reconcile: c.Mirror.ReconcileInterval,
		Overlap: mirror.UsualOverlap, Log: h.Log, Now: h.Now,
	}
	closeAll = syncer.Close
	list, wrong := declaredSyncs(c, declared, syncer)
	defer func() {
		syncer.Every = map[string]time.Duration{}
		for _, s := range list {
			syncer.Every[s.Name()] = s.Interval
		}
	}()
	if c.Lookup.Policy == config.PolicyLive && len(declared) > 0 {
		return list, closeAll, wrong // what MISP knows is asked there
	}
	if c.MirrorsMISP() {
		client, err := newClient(c, c.Mirror.Timeout, h)
		if err != nil {
			return nil, nil, err
		}
		closeAll = func() {
			syncer.Close()
			client.Close()
		}
		server := &mirror.Server{Client: client, URL: c.MISP.URL, Warninglists: true, Sightings: c.Mirror.Sightings}
		list = slices.Insert(list, 0, Sync{server, c.Mirror.Interval, syncer})
	}
	for _, s := range c.Mirror.Feeds {
		list = append(list, Sync{mirror.NewFeed(s.Name, s.Place, userAgent()), c.Mirror.FeedInterval, syncer})
	}
	for _, s := range c.Mirror.Lists {
		o := source.List(s.Name).Origin(mirror.Access{Place: s.Place, Shown: source.MaskURL(s.Place), UserAgent: userAgent()})
		list = append(list, Sync{o, c.Mirror.FeedInterval, syncer})
	}
	return list, closeAll, wrong
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
