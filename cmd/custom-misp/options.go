package main

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"custom-misp/engine"
	"custom-misp/misp/api"
)

// An option is one key of the configuration.
type option struct {
	key    string
	def    any // the default, of the kind's type
	kind   kind
	secret bool
	help   string
	most   int // the highest count; 0 for 100
}

// A kind is the form of an option's value.
type kind int

const (
	kindText     kind = iota // string
	kindPath                 // string; relative paths count from Wazuh's home directory
	kindPaths                // []string
	kindTexts                // []string
	kindFlag                 // bool
	kindCount                // int
	kindDuration             // time.Duration
	kindURL                  // string
	kindAge                  // string; days allowed, empty for any
)

// options is the whole configuration: the reference in README.md, `config`, the environment variables and the
// check for unknown keys come from here.
var options = []option{
	{key: "misp.url", def: "", kind: kindURL, help: "address of MISP, like https://misp.example.org"},
	{key: "misp.key", def: "", kind: kindText, secret: true, help: "authentication key; better put it into a file"},
	{key: "misp.key_file", def: "", kind: kindPath, help: "file that holds the authentication key and nothing else"},
	{key: "misp.ca_file", def: "", kind: kindPath, help: "certificates (PEM) to trust instead of the system's"},
	{key: "misp.client_cert_file", def: "", kind: kindPath, help: "client certificate (PEM) to show to MISP, or to the proxy before it"},
	{key: "misp.client_key_file", def: "", kind: kindPath, help: "its private key (PEM)"},
	{key: "misp.pins", def: []string{}, kind: kindTexts, help: "SHA-256 sums of the public keys that MISP's certificate, or an authority of it, may have: sha256/BASE64"},
	{key: "misp.insecure_skip_verify", def: false, kind: kindFlag, help: "do not check MISP's certificate; for a laboratory only"},
	{key: "misp.timeout", def: 5 * time.Second, kind: kindDuration, help: "for one try to reach MISP"},
	{key: "misp.retries", def: 3, kind: kindCount, help: "further tries after the first, within the time of the call; from Wazuh 4.8 on, <retries> (3) goes before it"},
	{key: "timeout", def: 10 * time.Second, kind: kindDuration, help: "for a whole call by integratord; from Wazuh 4.8 on, <timeout> in ossec.conf (10) goes before it"},
	{key: "feed.dir", def: "", kind: kindPath, help: "directory in MISP feed format to look up in, instead of asking MISP"},
	{key: "lookup.to_ids", def: false, kind: kindFlag, help: "accept only attributes that are flagged to_ids"},
	{key: "lookup.tags", def: []string{}, kind: kindTexts, help: "accept only attributes with one of these tags"},
	{key: "lookup.exclude_tags", def: []string{}, kind: kindTexts, help: "reject attributes with one of these tags"},
	{key: "lookup.warninglists", def: false, kind: kindFlag, help: "reject attributes that are on an enabled MISP warninglist"},
	{key: "lookup.published", def: false, kind: kindFlag, help: "accept only attributes of published events; any edit un-publishes an event"},
	{key: "lookup.min_threat_level", def: "", kind: kindText, help: "accept only events of this threat level or a higher one: high, medium, low; empty for any"},
	{key: "lookup.max_age", def: "", kind: kindAge, help: "accept only attributes that were changed or last seen within this time, like 90d; empty for any"},
	{key: "lookup.min_decay_score", def: 0, kind: kindCount, help: "accept only attributes whose best score by MISP's enabled decaying models is this or more, of 100; those that no model scores are accepted"},
	{key: "lookup.orgs", def: []string{}, kind: kindTexts, help: "accept only events that one of these organisations created, by name or UUID"},
	{key: "lookup.exclude_orgs", def: []string{}, kind: kindTexts, help: "reject events that one of these organisations created"},
	{key: "lookup.match_kinds", def: []string{"exact", "url-host", "parent-domain", "network"}, kind: kindTexts, help: "what counts as a hit besides the value itself: the host of a URL, a domain above a name, a network around an address"},
	{key: "lookup.policy", def: "live", kind: kindText, help: "whom to ask: live (MISP), mirror (the local copy, never MISP), mirror-then-live (MISP for what the copy does not know)"},
	{key: "lookup.remember_hit", def: 10 * time.Minute, kind: kindDuration, help: "how long serve remembers what MISP said of a value that it knows"},
	{key: "lookup.remember_miss", def: 10 * time.Minute, kind: kindDuration, help: "how long serve remembers that MISP does not know a value"},
	{key: "mirror.misp", def: true, kind: kindFlag, help: "keep a copy of the MISP at misp.url"},
	{key: "mirror.feeds", def: []string{}, kind: kindTexts, help: "feeds in MISP format to keep a copy of, each as NAME=DIRECTORY or NAME=https://…"},
	{key: "mirror.lists", def: []string{}, kind: kindTexts, help: "plain lists (one value a line, or CSV) to keep a copy of, each as NAME=FILE or NAME=https://…"},
	{key: "mirror.interval", def: time.Minute, kind: kindDuration, help: "time between two polls of MISP for what is new"},
	{key: "mirror.feed_interval", def: 15 * time.Minute, kind: kindDuration, help: "the same for feeds and lists"},
	{key: "mirror.reconcile_interval", def: 10 * time.Minute, kind: kindDuration, help: "time between two comparisons with MISP's list of events, which find deleted and unpublished ones"},
	{key: "mirror.full_interval", def: 24 * time.Hour, kind: kindDuration, help: "time between two walks over all of MISP, which find attributes that were deleted for good"},
	{key: "mirror.timeout", def: time.Minute, kind: kindDuration, help: "for one page of a walk over MISP"},
	{key: "serve.alerts", def: "logs/alerts/alerts.json", kind: kindPath, help: "the alerts that serve follows; empty to take only what integratord hands over"},
	{key: "serve.start", def: "end", kind: kindText, help: "where serve begins the first time: end or beginning of the file"},
	{key: "serve.listen", def: "", kind: kindText, help: "address like 127.0.0.1:9464 for metrics and health, besides the socket serve.sock in state_dir"},
	{key: "serve.listen_anywhere", def: false, kind: kindFlag, help: "let serve.listen be an address that others can reach; nothing there is secret, and nothing is protected"},
	{key: "serve.stale_after", def: time.Hour, kind: kindDuration, help: "age of a copy from which on an error event tells of it"},
	{key: "sightings.enabled", def: false, kind: kindFlag, help: "report exact hits back to MISP as sightings, each attribute once a day; the key's role needs perm_sighting"},
	{key: "sightings.source", def: "wazuh", kind: kindText, help: "the name under which MISP shows them"},
	{key: "sightings.tlp_red", def: false, kind: kindFlag, help: "also for attributes marked tlp:red"},
	{key: "mappings.builtin", def: true, kind: kindFlag, help: "load the mappings that the program brings along"},
	{key: "mappings.dirs", def: []string{"etc/custom-misp/mappings"}, kind: kindPaths, help: "directories with mappings of your own; the default one may be absent"},
	{key: "mappings.disable", def: []string{}, kind: kindTexts, help: "ids of mappings to leave out"},
	{key: "ignore.values", def: []string{}, kind: kindTexts, help: "what is never asked for: your own domains (with all names below), your networks, hashes that are known to be good, any other value"},
	{key: "ignore.files", def: []string{}, kind: kindPaths, help: "files with such values, one a line; a line that begins with # is a comment"},
	{key: "wazuh.queue", def: "queue/sockets/queue", kind: kindPath, help: "socket of wazuh-analysisd"},
	{key: "wazuh.plain_header", def: false, kind: kindFlag, help: "do not escape colons in the event header, for managers before 4.4"},
	{key: "wazuh.send_timeout", def: 2 * time.Second, kind: kindDuration, help: "wait for a place in a full queue"},
	{key: "state_dir", def: "var/run/custom-misp", kind: kindPath, help: "what has to be remembered: held alerts and events, outages, sightings; the user wazuh must be able to write it"},
	{key: "spool.max_entries", def: 20_000, kind: kindCount, most: 10_000_000, help: "held alerts and events, together; more than these, and the oldest is dropped"},
	{key: "spool.max_mib", def: 256, kind: kindCount, most: 1_000_000, help: "the same, in MiB"},
	{key: "spool.drain_time", def: 2 * time.Second, kind: kindDuration, help: "how much of a call is spent on what earlier ones held"},
	{key: "error_interval", def: 3600 * time.Second, kind: kindDuration, help: "an error event about the installation, of one kind, is sent once in this time; one about an outage once an outage"},
	{key: "log.file", def: "logs/integrations.log", kind: kindPath, help: "log of calls by integratord; empty for none"},
	{key: "log.format", def: "text", kind: kindText, help: "text or json"},
	{key: "log.level", def: "info", kind: kindText, help: "debug, info, warn or error"},
}

// envName is the environment variable of a key.
func envName(key string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

const envPrefix = "CUSTOM_MISP_"

func optionKeys() []string {
	keys := make([]string, len(options))
	for i, o := range options {
		keys[i] = o.key
	}
	return keys
}

func findOption(key string) (option, bool) {
	for _, o := range options {
		if o.key == key {
			return o, true
		}
	}
	return option{}, false
}

// parse reads the values that a layer gives to the option; more than one only for lists. The error says what
// would be right; it never repeats the value of a secret.
func (o option) parse(values []string) (any, error) {
	if o.kind == kindPaths || o.kind == kindTexts {
		return values, o.checkItems(values)
	}
	if len(values) != 1 {
		return nil, errors.New("takes one value, not a list")
	}
	v := strings.TrimSpace(values[0])
	switch o.kind {
	case kindFlag:
		switch strings.ToLower(v) {
		case "true", "yes", "on", "1":
			return true, nil
		case "false", "no", "off", "0":
			return false, nil
		}
		return nil, fmt.Errorf("%q is neither true nor false", v)
	case kindCount:
		n, err := strconv.Atoi(v)
		if most := cmp.Or(o.most, 100); err != nil || n < 0 || n > most {
			return nil, fmt.Errorf("%q is not a number from 0 to %d", v, most)
		}
		return n, nil
	case kindDuration:
		d, err := time.ParseDuration(v)
		if seconds, serr := strconv.Atoi(v); serr == nil {
			d, err = time.Duration(seconds)*time.Second, nil
		}
		if err != nil || d <= 0 || d > 24*time.Hour {
			return nil, fmt.Errorf("%q is not a time like 10s or 500ms", v)
		}
		return d, nil
	case kindURL:
		u, err := url.Parse(v)
		if v != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
			return nil, fmt.Errorf("%q is not an address like https://misp.example.org", v)
		}
		if v != "" && u.User != nil {
			return nil, errors.New("an address must not hold a user or password")
		}
		return v, nil
	}
	if o.kind == kindAge && v != "" {
		if _, err := engine.ParseAge(v); err != nil {
			return nil, err
		}
	}
	if allowed := words[o.key]; allowed != nil && v != "" && !slices.Contains(allowed, v) {
		return nil, fmt.Errorf("%q is none of %s", v, strings.Join(allowed, ", "))
	}
	return v, nil
}

// words are the values that an option can have, besides the empty one.
var words = map[string][]string{
	"log.format": {"text", "json"}, "log.level": {"debug", "info", "warn", "error"},
	"lookup.policy": {policyLive, policyMirror, policyMirrorThenLive}, "serve.start": {"end", "beginning"},
	"lookup.min_threat_level": engine.ThreatLevels, "lookup.match_kinds": {"exact", "url-host", "parent-domain", "network"},
}

// checkItems checks the items of a list.
func (o option) checkItems(items []string) error {
	for _, item := range items {
		if allowed := words[o.key]; allowed != nil && !slices.Contains(allowed, item) {
			return fmt.Errorf("%q is none of %s", item, strings.Join(allowed, ", "))
		}
		var err error
		switch o.key {
		case "misp.pins":
			_, err = api.ParsePin(item)
		case "mirror.feeds", "mirror.lists":
			_, _, err = parseOrigin(item)
		case "ignore.values":
			_, err = engine.NewIgnore([]string{item})
		}
		if err != nil {
			return err
		}
	}
	return nil
}
