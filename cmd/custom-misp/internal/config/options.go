package config

import (
	"strings"
	"time"
)

// An option is one key of the configuration.
type option struct {
	key     string
	def     any // the default, of the type that the form reads
	form    form
	secret  bool
	watched bool // a path; serve reloads when what is there changes
	restart bool // serve reads it only when it starts
	help    string
}

// options is the whole configuration: the reference in README.md, `config`, the environment variables and the check for
// unknown keys come from here.
var options = []option{
	{key: "misp.url", def: "", form: address, help: "address of MISP, like https://misp.example.org"},
	{key: "misp.key", def: "", form: text, secret: true, help: "authentication key; better put it into a file"},
	{key: "misp.key_file", def: "", form: path, watched: true, help: "file that holds the authentication key, and below it, while keys are exchanged, the next one"},
	{key: "misp.proxy", def: "", form: address, help: "proxy on the way to MISP, like http://proxy.example.org:3128; empty for what HTTPS_PROXY and NO_PROXY in the environment say, which integratord does not pass on"},
	{key: "misp.no_proxy", def: []string{}, form: texts, help: "hosts, domains (.corp.example) and networks that misp.proxy is not used for"},
	{key: "misp.ca_file", def: "", form: path, watched: true, help: "certificates (PEM) to trust instead of the system's"},
	{key: "misp.client_cert_file", def: "", form: path, watched: true, help: "client certificate (PEM) to show to MISP, or to the proxy before it"},
	{key: "misp.client_key_file", def: "", form: path, watched: true, help: "its private key (PEM)"},
	{key: "misp.pins", def: []string{}, form: pins, help: "SHA-256 sums of the public keys that MISP's certificate, or an authority of it, may have: sha256/BASE64"},
	{key: "misp.insecure_skip_verify", def: false, form: flag, help: "do not check MISP's certificate; for a laboratory only"},
	{key: "misp.timeout", def: 5 * time.Second, form: duration, help: "for one try to reach MISP"},
	{key: "misp.retries", def: 3, form: countTo(100), help: "further tries after the first, within the time of the call; from Wazuh 4.8 on, <retries> (3) overrides it"},
	{key: "timeout", def: 10 * time.Second, form: duration, help: "for a whole call by integratord; from Wazuh 4.8 on, <timeout> in ossec.conf (10) overrides it"},
	{key: "feed.dir", def: "", form: path, watched: true, help: "directory in MISP feed format to look up in, instead of asking MISP"},
	{key: "lookup.to_ids", def: false, form: flag, help: "accept only attributes that are flagged to_ids"},
	{key: "lookup.tags", def: []string{}, form: texts, help: "accept only attributes with one of these tags"},
	{key: "lookup.exclude_tags", def: []string{}, form: texts, help: "reject attributes with one of these tags"},
	{key: "lookup.warninglists", def: false, form: flag, help: "reject attributes that are on a warninglist: one that is enabled in MISP, or one of a source of warninglists"},
	{key: "lookup.published", def: false, form: flag, help: "accept only attributes of published events; any edit un-publishes an event"},
	{key: "lookup.min_threat_level", def: "", form: threatLevel, help: "accept only events of this threat level or a higher one: high, medium, low; empty for any"},
	{key: "lookup.max_age", def: "", form: age, help: "accept only attributes that were changed or last seen within this time, like 90d; empty for any"},
	{key: "lookup.min_decay_score", def: 0, form: countTo(100), help: "accept only attributes whose best score by MISP's enabled decaying models is this or more, of 100; those that no model scores are accepted"},
	{key: "lookup.orgs", def: []string{}, form: texts, help: "accept only events that one of these organisations created, by name or UUID"},
	{key: "lookup.exclude_orgs", def: []string{}, form: texts, help: "reject events that one of these organisations created"},
	{key: "lookup.expired", def: "report", form: oneOf("report", "ignore", "match"), help: "attributes that were last seen in the past, or that have an expiration sighting: report (a hit that says so, misp.expired), ignore (no hit), match (a hit like others)"},
	{key: "lookup.missing", def: "reject", form: oneOf("reject", "accept"), help: "what an attribute is that does not have what lookup.min_threat_level, max_age, tags and orgs judge by: reject (no hit), accept (a hit as far as they are concerned); the key missing of a declared source says it for that source"},
	{key: "lookup.match_kinds", def: []string{"exact", "half", "url-host", "parent-domain", "network"}, form: matchKinds, help: "what counts as a hit besides the value itself: one half of a known pair of registry key and value, the host of a URL, a domain above a name, a network around an address"},
	{key: "lookup.wide_networks", def: false, form: flag, help: "let networks wider than /16, or /32 of IPv6, count as a hit on an address in them"},
	{key: "lookup.withhold", def: []string{}, form: texts, help: "tags of attributes whose texts and tags stay in MISP: events have id, type and link; empty withholds nothing in events, and tlp:red and tlp:amber+strict in exports and sightings"},
	{key: "lookup.policy", def: "live", form: oneOf("live", "mirror", "mirror-then-live"), help: "where to look up: live (MISP), mirror (the mirror, never MISP), mirror-then-live (MISP for what the mirror does not know)"},
	{key: "lookup.remember_hit", def: 10 * time.Minute, form: duration, help: "how long serve remembers what MISP answered about a value that it knows"},
	{key: "lookup.remember_miss", def: 10 * time.Minute, form: duration, help: "how long serve remembers that MISP does not know a value"},
	{key: "mirror.misp", def: true, form: flag, help: "mirror the MISP at misp.url"},
	{key: "mirror.sightings", def: false, form: flag, help: "ask MISP for sightings in walks, to know of expirations by sighting; costs MISP a query for each attribute"},
	{key: "mirror.feeds", def: []string{}, form: sources, help: "feeds in MISP format to mirror, each as NAME=DIRECTORY or NAME=https://…"},
	{key: "mirror.lists", def: []string{}, form: sources, help: "plain lists (one value a line, or CSV) to mirror, each as NAME=FILE or NAME=https://…"},
	{key: "sources.dirs", def: []string{"etc/custom-misp/sources"}, form: paths, watched: true, help: "directories with declared sources, *.yaml; the default one may be absent"},
	{key: "mirror.interval", def: time.Minute, form: duration, help: "time between two polls of MISP for what is new"},
	{key: "mirror.feed_interval", def: 15 * time.Minute, form: duration, help: "the same for feeds and lists"},
	{key: "mirror.reconcile_interval", def: 10 * time.Minute, form: duration, help: "time between two comparisons with MISP's list of events, which find deleted and unpublished ones"},
	{key: "mirror.full_interval", def: 24 * time.Hour, form: duration, help: "time between two walks over all of MISP, which find attributes that were deleted for good"},
	{key: "mirror.timeout", def: time.Minute, form: duration, help: "for one page of a walk over MISP"},
	{key: "serve.alerts", def: []string{"logs/alerts/alerts.json"}, form: pathOrPaths, restart: true, help: "the alerts that serve follows: one file or a list, logs/archives/archives.json among them for events that raise no alert; empty to take only what integratord passes on"},
	{key: "serve.start", def: "end", form: oneOf("end", "beginning"), help: "where serve begins the first time: end or beginning of the file"},
	{key: "serve.listen", def: "", form: listenAddress, restart: true, help: "address like 127.0.0.1:9464 for metrics and health, besides the socket serve.sock in state_dir"},
	{key: "serve.listen_anywhere", def: false, form: flag, restart: true, help: "let serve.listen be an address that others can reach; nothing there is secret, and nothing is protected"},
	{key: "serve.stale_after", def: time.Hour, form: duration, help: "age of the mirror from which an error event reports it"},
	{key: "serve.canary", def: time.Hour, form: durationOrOff, help: "how often serve sends a test event through Wazuh's queue and waits for its alert; 0 for never"},
	{key: "serve.daily", def: true, form: flag, help: "send an event a day that says what was read, looked up, sent, queued, cut and lost"},
	{key: "sightings.enabled", def: false, form: flag, help: "report exact hits back to MISP as sightings, each attribute once a day; the key's role needs perm_sighting"},
	{key: "sightings.source", def: "wazuh", form: text, help: "the name under which MISP shows them"},
	{key: "sightings.tlp_red", def: false, form: flag, help: "also for attributes marked tlp:red"},
	{key: "events.repeat_window", def: time.Hour, form: durationOrOff, restart: true, help: "serve sends a hit of the same agent, value, event, kind of match, flag and threat level once in this time, and then how many more there were; 0 sends each"},
	{key: "events.storm", def: 100, form: countTo(1_000_000), restart: true, help: "events about one value in this window, on whatever agents; more than these become one summary; 0 for no bound"},
	{key: "events.rate", def: 50, form: countTo(1_000_000), restart: true, help: "events about hits that serve sends in a second; further ones wait, in their order; 0 for no bound"},
	{key: "events.burst", def: 500, form: countTo(1_000_000), restart: true, help: "events that may be sent at once after a pause"},
	{key: "history.enabled", def: false, form: flag, restart: true, help: "let serve record which values were seen, when, how often and on which agents; see History in examples/README.md"},
	{key: "history.types", def: []string{"address", "name", "url-host", "hash"}, form: historyTypes, restart: true, help: "what is recorded: address, name, url-host, hash, and if named url, email, filename, other"},
	{key: "history.agents", def: "names", form: oneOf("names", "count"), restart: true, help: "names keeps which agents saw a value; count keeps only how many"},
	{key: "history.days", def: 90, form: countTo(3650), restart: true, help: "days that are kept; 0 for all"},
	{key: "history.max_mib", def: 10_240, form: countTo(10_000_000), restart: true, help: "MiB on disk; beyond that the oldest days go; 0 for no bound"},
	{key: "history.first_sync", def: false, form: flag, restart: true, help: "look up in the history also what the first sync of a source brings; without it, only what comes later"},
	{key: "history.min_free_percent", def: 15, form: countTo(99), restart: true, help: "free space of the disk, in per cent, below which nothing is recorded; 0 for no bound"},
	{key: "mappings.builtin", def: true, form: flag, help: "load the built-in mappings"},
	{key: "mappings.dirs", def: []string{"etc/custom-misp/mappings"}, form: paths, watched: true, help: "directories with mappings of your own; the default one may be absent"},
	{key: "mappings.disable", def: []string{}, form: texts, help: "ids of mappings to leave out"},
	{key: "mappings.sample", def: []string{}, form: paths, help: "files or directories with alerts that lint holds mappings against"},
	{key: "fallback.max_values", def: 20, form: countTo(1000), help: "values of an alert that no mapping knows, and that mappings with fallback pick; more than these are left out; 0 for none"},
	{key: "fallback.ask_live", def: false, form: flag, help: "ask MISP live for all of these values; otherwise only for public addresses, names, URLs and hashes, and not for file names, user agents, senders and CVE ids"},
	{key: "ignore.values", def: []string{}, form: ignored, help: "what is never asked for: your own domains (with all names below), your networks, hashes that are known to be good, any other value"},
	{key: "ignore.files", def: []string{}, form: paths, watched: true, help: "files with such values, one a line; a line that begins with # is a comment"},
	{key: "ignore.alerts", def: "", form: text, help: "alerts that nothing is looked up of: an expression like match in a mapping, such as field(\"agent.name\") startsWith \"lab-\""},
	{key: "mutes.file", def: "etc/custom-misp/mutes.yaml", form: path, watched: true, help: "hits that are not reported, with reason, author and end; custom-misp mute writes it, and people may edit it"},
	{key: "wazuh.queue", def: "queue/sockets/queue", form: path, restart: true, help: "socket of wazuh-analysisd"},
	{key: "wazuh.plain_header", def: false, form: flag, restart: true, help: "do not escape colons in the event header, for managers before 4.4"},
	{key: "wazuh.send_timeout", def: 2 * time.Second, form: duration, help: "wait for a place in a full queue"},
	{key: "state_dir", def: "logs/custom-misp", form: path, restart: true, help: "what has to be remembered: queued alerts and events, outages, sightings; the user wazuh must be able to write it"},
	{key: "spool.max_entries", def: 20_000, form: countTo(10_000_000), help: "queued alerts and events, together; more than these, and the oldest is dropped"},
	{key: "spool.max_mib", def: 256, form: countTo(1_000_000), help: "the same, in MiB"},
	{key: "spool.drain_time", def: 2 * time.Second, form: duration, help: "how much of a call is spent on what earlier ones queued"},
	{key: "error_interval", def: 3600 * time.Second, form: duration, help: "an error event about the installation, of one kind, is sent once in this time; one about an outage once an outage"},
	{key: "log.file", def: "logs/integrations.log", form: path, restart: true, help: "log of calls by integratord; empty for none"},
	{key: "log.format", def: "text", form: oneOf("text", "json"), restart: true, help: "text or json"},
	{key: "log.level", def: "info", form: oneOf("debug", "info", "warn", "error"), restart: true, help: "debug, info, warn or error"},
}

// EnvName is the environment variable of a key.
func EnvName(key string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

const envPrefix = "CUSTOM_MISP_"

func keys() []string {
	list := make([]string, len(options))
	for i, o := range options {
		list[i] = o.key
	}
	return list
}

func find(key string) (option, bool) {
	for _, o := range options {
		if o.key == key {
			return o, true
		}
	}
	return option{}, false
}

// isSection reports whether keys begin with this name and a dot.
func isSection(name string) bool {
	for _, o := range options {
		if strings.HasPrefix(o.key, name+".") {
			return true
		}
	}
	return false
}
