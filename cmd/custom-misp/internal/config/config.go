// Package config is the configuration of the program: every key with its default, form and meaning, the layers that
// set it, and the typed [Config] that everything else reads. A key is looked up by its name in this package only.
//
// Start at [Load], which reads all layers, and at the table in options.go: a new key is one line there, one field of
// [Config], and one line in layers.config. Tests fail for a key that nothing reads, and for a path that is not watched.
//
// Layers, each over the one before: defaults, the file, the environment, <options> of ossec.conf, the other elements of
// its <integration> block, flags. Every value is checked where it is given (form.go), so that an error names the place,
// and all faults are reported at once; what is good counts all the same, so that an alert is queued where the
// configuration says. What depends on files or on several keys is checked when the chain is built, by package app.
package config

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/engine"
	"custom-misp/engine/atomicfile"
	"custom-misp/engine/history"
	"custom-misp/misp"
	"custom-misp/misp/api"
)

// DefaultHome is where Wazuh's packages install it.
const DefaultHome = "/var/ossec"

// A Config is the effective configuration. It is not changed once it is loaded. Paths are absolute if Home is.
type Config struct {
	Home    string // Wazuh's directory
	File    string // the configuration file; it may be absent
	Timeout time.Duration
	FeedDir string // directory in MISP feed format to look up in; empty for none

	MISP      MISP
	Lookup    Lookup
	Mirror    Mirror
	Serve     Serve
	Sightings Sightings
	Events    Events
	History   History
	Mappings  Mappings
	Sources   Sources
	Fallback  Fallback
	Ignore    Ignore
	MutesFile string // empty for none
	Queue     Queue
	StateDir  string
	Spool     Spool
	Log       Log
	// ErrorInterval is the least time between two error events of one kind.
	ErrorInterval time.Duration

	values *layers
}

// MISP says how to reach MISP, and with which key.
type MISP struct {
	URL                string // empty if it is not set
	Proxy              string // address of a proxy; empty for what the environment says
	NoProxy            []string
	Key                Key
	CAFile             string
	ClientCertFile     string
	ClientKeyFile      string
	Pins               [][sha256.Size]byte
	InsecureSkipVerify bool
	Timeout            time.Duration
	Retries            int
	Alone              bool // a flag names it: no other server is asked
}

// A Key is the authentication key for MISP, as it was given or in a file: the layer that comes later counts.
type Key struct {
	File string // empty if the key was given as it is
	From string // the layer that says so
	// Called is how errors call the file; empty for misp.key_file.
	Called string
	text   string
}

// Lookup says what is looked up where, and what counts as a match.
type Lookup struct {
	Policy       Policy
	Filter       engine.Filter
	WideNetworks bool
	Withhold     []string // tags; in events
	RememberHit  time.Duration
	RememberMiss time.Duration
}

// WithholdOutside returns the tags of attributes whose texts stay in MISP where others may read what is written: in exports, and
// as sightings.
func (l Lookup) WithholdOutside() []string {
	if len(l.Withhold) > 0 {
		return l.Withhold
	}
	return misp.Withhold()
}

// A Policy says where values are looked up.
type Policy string

// The values of lookup.policy.
const (
	PolicyLive           Policy = "live"
	PolicyMirror         Policy = "mirror"
	PolicyMirrorThenLive Policy = "mirror-then-live"
)

// Mirror says what the mirror holds, and how often it is synced.
type Mirror struct {
	MISP              bool
	Sightings         bool
	Feeds             []Source
	Lists             []Source
	Interval          time.Duration
	FeedInterval      time.Duration
	ReconcileInterval time.Duration
	FullInterval      time.Duration
	Timeout           time.Duration
}

// A Source is a feed or a list: its name, and the path or address that it is read from.
type Source struct{ Name, Place string }

// Serve says what the daemon follows, and where it answers.
type Serve struct {
	Alerts         []string // paths; see [Serve.Files]
	FromBeginning  bool
	Listen         string // empty for the unix socket alone
	ListenAnywhere bool
	StaleAfter     time.Duration
	Canary         time.Duration // between two; 0 for none
	Daily          bool
}

// checkListen refuses an address that others can reach, unless that is what is wanted.
func (s Serve) checkListen() error {
	host, _, err := net.SplitHostPort(s.Listen)
	if err != nil || s.ListenAnywhere || host == "localhost" {
		return nil //nolint:nilerr // empty: any other was checked where it was given
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsLoopback() {
		return nil
	}
	return fmt.Errorf("serve.listen: others can reach %q; use 127.0.0.1, or set serve.listen_anywhere", s.Listen)
}

// Sightings says whether matches are reported back to MISP.
type Sightings struct {
	Enabled bool
	Source  string
	TLPRed  bool
}

// Events says how many events hits raise in serve.
type Events struct {
	RepeatWindow time.Duration // 0 for none
	Storm        int           // 0 for no bound
	Rate         int           // likewise
	Burst        int
}

// History says what is kept of what was seen, and for how long.
type History struct {
	Enabled bool
	Kinds   []history.Kind
	Names   bool // of agents; otherwise only how many
	Days    int  // 0 for all
	Bytes   int64
	MinFree float64 // part of the disk
	// FirstSync has what the first sync of a source brings looked up too.
	FirstSync bool
}

// Mappings says which mapping files are loaded.
type Mappings struct {
	Builtin bool
	Dirs    []string
	Disable []string
	// Sample are files and directories with alerts that lint holds mappings against.
	Sample []string
	// MayBeAbsent is set while Dirs is the default: a site without mappings of its own has no such directory.
	MayBeAbsent bool
}

// Sources says where sources are declared.
type Sources struct {
	Dirs []string
	// MayBeAbsent is set while Dirs is the default.
	MayBeAbsent bool
}

// Fallback says what is done with values that no mapping knows.
type Fallback struct {
	MaxValues int  // of an alert
	AskLive   bool // all of them, and not only those that may leave the site
}

// Ignore says what is never asked for.
type Ignore struct {
	Values []string
	Files  []string
	Alerts string // expression; empty for none
}

// Queue says how events reach analysisd.
type Queue struct {
	Path        string
	PlainHeader bool
	SendTimeout time.Duration
	// Default is set while Path is: managers before 4.2 have their queue elsewhere.
	Default bool
}

// Spool bounds what waits on disk.
type Spool struct {
	MaxEntries int
	MaxBytes   int64
	DrainTime  time.Duration
}

// Log says where the log goes.
type Log struct {
	File  string // empty for none
	JSON  bool
	Level slog.Level
}

// config reads the typed configuration out of the layers.
func (l *layers) config() *Config {
	c := &Config{
		Home: l.home, File: l.file, Timeout: l.duration("timeout"), FeedDir: l.path("feed.dir"), StateDir: l.path("state_dir"),
		ErrorInterval: l.duration("error_interval"), values: l,
		MISP: MISP{
			URL: l.text("misp.url"), Proxy: l.text("misp.proxy"), NoProxy: l.texts("misp.no_proxy"), Key: l.key(), CAFile: l.path("misp.ca_file"),
			ClientCertFile: l.path("misp.client_cert_file"), ClientKeyFile: l.path("misp.client_key_file"),
			Alone: l.from["misp.url"] == fromFlag, InsecureSkipVerify: l.flag("misp.insecure_skip_verify"), Timeout: l.duration("misp.timeout"), Retries: l.count("misp.retries"),
		},
		Lookup: Lookup{
			Policy: Policy(l.text("lookup.policy")), Filter: l.filter(), WideNetworks: l.flag("lookup.wide_networks"),
			Withhold:    l.texts("lookup.withhold"),
			RememberHit: l.duration("lookup.remember_hit"), RememberMiss: l.duration("lookup.remember_miss"),
		},
		Mirror: Mirror{
			MISP: l.flag("mirror.misp"), Feeds: l.sources("mirror.feeds"), Lists: l.sources("mirror.lists"),
			Interval: l.duration("mirror.interval"), FeedInterval: l.duration("mirror.feed_interval"),
			ReconcileInterval: l.duration("mirror.reconcile_interval"), FullInterval: l.duration("mirror.full_interval"),
			Timeout: l.duration("mirror.timeout"), Sightings: l.flag("mirror.sightings"),
		},
		Serve: Serve{
			Alerts: l.paths("serve.alerts"), FromBeginning: l.text("serve.start") == "beginning", Listen: l.text("serve.listen"),
			ListenAnywhere: l.flag("serve.listen_anywhere"), StaleAfter: l.duration("serve.stale_after"),
			Canary: l.duration("serve.canary"), Daily: l.flag("serve.daily"),
		},
		Sightings: Sightings{Enabled: l.flag("sightings.enabled"), Source: l.text("sightings.source"), TLPRed: l.flag("sightings.tlp_red")},
		Events: Events{
			RepeatWindow: l.duration("events.repeat_window"), Storm: l.count("events.storm"), Rate: l.count("events.rate"), Burst: l.count("events.burst"),
		},
		History: History{
			Enabled: l.flag("history.enabled"), Names: l.text("history.agents") == "names", Days: l.count("history.days"),
			Bytes: int64(l.count("history.max_mib")) << 20, MinFree: float64(l.count("history.min_free_percent")) / 100,
			FirstSync: l.flag("history.first_sync"),
		},
		Mappings: Mappings{
			Builtin: l.flag("mappings.builtin"), Dirs: l.paths("mappings.dirs"), Disable: l.texts("mappings.disable"),
			MayBeAbsent: l.from["mappings.dirs"] == fromDefault, Sample: l.paths("mappings.sample"),
		},
		Fallback:  Fallback{MaxValues: l.count("fallback.max_values"), AskLive: l.flag("fallback.ask_live")},
		Ignore:    Ignore{Values: l.texts("ignore.values"), Files: l.paths("ignore.files"), Alerts: l.text("ignore.alerts")},
		MutesFile: l.path("mutes.file"),
		Sources:   Sources{Dirs: l.paths("sources.dirs"), MayBeAbsent: l.from["sources.dirs"] == fromDefault},
		Queue: Queue{
			Path: l.path("wazuh.queue"), PlainHeader: l.flag("wazuh.plain_header"), SendTimeout: l.duration("wazuh.send_timeout"),
			Default: l.from["wazuh.queue"] == fromDefault,
		},
		Spool: Spool{
			MaxEntries: l.count("spool.max_entries"), MaxBytes: int64(l.count("spool.max_mib")) << 20, DrainTime: l.duration("spool.drain_time"),
		},
		Log: Log{File: l.path("log.file"), JSON: l.text("log.format") == "json"},
	}
	for _, k := range l.texts("history.types") {
		c.History.Kinds = append(c.History.Kinds, history.Kind(k))
	}
	for _, text := range l.texts("misp.pins") {
		if pin, err := api.ParsePin(text); err == nil { // it was checked where it was given
			c.MISP.Pins = append(c.MISP.Pins, pin)
		}
	}
	_ = c.Log.Level.UnmarshalText([]byte(l.text("log.level"))) // likewise; info otherwise
	return c
}

// filter returns the configured look-up filter.
func (l *layers) filter() engine.Filter {
	f := engine.Filter{
		ToIDs: new(l.flag("lookup.to_ids")), Published: new(l.flag("lookup.published")), Warninglists: new(l.flag("lookup.warninglists")),
		Tags: l.texts("lookup.tags"), ExcludeTags: l.texts("lookup.exclude_tags"),
		Orgs: l.texts("lookup.orgs"), ExcludeOrgs: l.texts("lookup.exclude_orgs"),
		MinThreatLevel: l.text("lookup.min_threat_level"), Expired: l.text("lookup.expired"),
		Missing: l.text("lookup.missing"),
	}
	if age, err := engine.ParseAge(l.text("lookup.max_age")); err == nil && age > 0 {
		f.MaxAge = &age
	}
	if score := l.count("lookup.min_decay_score"); score > 0 {
		f.MinDecayScore = &score
	}
	for _, k := range l.texts("lookup.match_kinds") {
		f.MatchKinds = append(f.MatchKinds, engine.MatchKind(k))
	}
	return f
}

// sources returns a list of NAME=PLACE; a place that is a path is counted from Wazuh's directory.
func (l *layers) sources(key string) []Source {
	var list []Source
	for _, item := range l.texts(key) {
		s, err := parseSource(item)
		if err != nil {
			continue // it was checked where it was given
		}
		if !isURL(s.Place) {
			s.Place = l.fromHome(s.Place)
		}
		list = append(list, s)
	}
	return list
}

// FromHome returns a path, counted from Wazuh's directory if it is relative.
func (c *Config) FromHome(path string) string { return c.values.fromHome(path) }

// MirrorsMISP reports whether the mirror holds the MISP server.
func (c *Config) MirrorsMISP() bool { return c.Mirror.MISP && c.MISP.URL != "" }

// AsksLive reports whether MISP is asked live for an observable. What it is not asked for, a mirror or a feed answers.
func (c *Config) AsksLive(o *engine.Observable) bool {
	return c.Fallback.AskLive || c.FeedDir != "" || c.Lookup.Policy == PolicyMirror || o.AskedLive()
}

// AsksMISP reports whether look-ups or syncs need MISP and its key.
func (c *Config) AsksMISP() bool {
	return c.FeedDir == "" && (c.Lookup.Policy != PolicyMirror || c.MirrorsMISP())
}

// InOssecConf reports whether the key is in ossec.conf, from which integratord puts it on command lines.
func (k Key) InOssecConf() bool { return k.From == fromBlock }

// Option returns the key of the configuration that gives it.
func (k Key) Option() string {
	if k.File != "" {
		return cmp.Or(k.Called, "misp.key_file")
	}
	return "misp.key"
}

// maxKeys is how many keys a file may have: the one in use, and the next one.
const maxKeys = 2

// Read returns the key, from its file or as it was given; empty if there is none. A file that others than its owner
// and group can read is refused. Errors are [cli.WrongUse].
func (k Key) Read() (string, error) {
	keys, err := k.ReadAll()
	if err != nil || len(keys) == 0 {
		return "", err
	}
	return keys[0], nil
}

// ReadAll returns the keys: the one in use, and the one that takes its place when MISP refuses it, if the file has two
// lines. See [Key.Read] for what is refused.
func (k Key) ReadAll() ([]string, error) {
	if k.File == "" {
		if k.text == "" {
			return nil, nil
		}
		return []string{k.text}, nil
	}
	data, err := atomicfile.ReadRegular(k.File, cli.MaxFile)
	if err != nil {
		return nil, cli.WrongUsef("%s: %w", k.Option(), err)
	}
	if err := RefuseReadable(k.File); err != nil {
		return nil, cli.WrongUsef("%s: %w", k.Option(), err)
	}
	var keys []string
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); line != "" {
			keys = append(keys, line)
		}
	}
	if len(keys) > maxKeys {
		return nil, cli.WrongUsef("%s: %s has %d lines with keys; leave the one in use and the next one", k.Option(), k.File, len(keys))
	}
	return keys, nil
}

// RefuseReadable returns an error for a file with a secret in it that others than its owner and group can read.
func RefuseReadable(name string) error {
	st, err := os.Stat(name) //nolint:gosec // the file that the administrator names
	if err != nil {
		return err
	}
	if st.Mode().Perm()&0o007 != 0 {
		return fmt.Errorf("%s holds a key and is open to everybody (mode %04o); chmod o= %s", name, st.Mode().Perm(), name)
	}
	return nil
}

// DefaultStateDir is the state directory of an installation whose configuration does not name another.
func DefaultStateDir(home string) string {
	o, _ := find("state_dir")
	return filepath.Join(home, o.def.(string))
}

// StateDirFromEnvironment reports whether the environment names a state directory.
func StateDirFromEnvironment() bool { return os.Getenv(EnvName("state_dir")) != "" }
