package main

import "custom-misp/misp/misptest"

// wrongValues has for each key with a form a value that is not of it.
var wrongValues = map[string]string{
	"misp.url": "misp.example.org", "misp.proxy": "proxy.example.org", "misp.pins": "[sha256/x]", "misp.insecure_skip_verify": "perhaps", "misp.timeout": "soon", "misp.retries": "many",
	"timeout": "soon", "lookup.to_ids": "perhaps", "lookup.warninglists": "perhaps", "lookup.published": "perhaps", "lookup.min_threat_level": "huge",
	"lookup.max_age": "old", "lookup.expired": "perhaps", "mirror.sightings": "perhaps", "lookup.min_decay_score": "101", "lookup.match_kinds": "[nearly]", "lookup.policy": "both", "lookup.wide_networks": "perhaps", "lookup.remember_hit": "long",
	"lookup.remember_miss": "long", "mirror.misp": "perhaps", "mirror.feeds": "[etc/feed]", "mirror.lists": "[etc/list]", "mirror.interval": "often",
	"mirror.feed_interval": "often", "mirror.reconcile_interval": "often", "mirror.full_interval": "often", "mirror.timeout": "long",
	"serve.start": "middle", "serve.listen": "127.0.0.1", "serve.listen_anywhere": "perhaps", "serve.stale_after": "soon", "serve.canary": "often", "serve.daily": "perhaps", "sightings.enabled": "perhaps",
	"sightings.tlp_red": "perhaps", "mappings.builtin": "perhaps", "ignore.values": "[10.0.0.0/99]", "fallback.max_values": "many", "fallback.ask_live": "perhaps", "wazuh.plain_header": "perhaps",
	"wazuh.send_timeout": "long", "spool.max_entries": "many", "spool.max_mib": "many", "spool.drain_time": "long", "error_interval": "often",
	"events.repeat_window": "2d", "events.storm": "many", "events.rate": "fast", "events.burst": "-1",
	"log.format": "xml", "log.level": "loud", "lookup.missing": "perhaps",
	"history.enabled": "perhaps", "history.types": "[colour]", "history.agents": "some", "history.days": "many", "history.max_mib": "many",
	"history.min_free_percent": "101", "history.first_sync": "perhaps",
}

// A breakage is a configuration that cannot be used, for another reason than the form of a value.
type breakage struct {
	key   string            // that every verb has to name
	name  string            // of the test
	keys  map[string]string // set over the base, an empty text takes one away
	files map[string]string // to be written, by name; a name with a slash at its end is a directory
	open  string            // a file that everyone may read
	fault string            // part of what every verb has to say
	done  bool              // a call does its work all the same: only serve cannot
}

const mirrored = "[one=etc/one]"

// breakages are all of them; %H is the home.
var breakages = []breakage{
	{key: "misp.url", name: "not set", keys: map[string]string{"misp.url": ""}, fault: "misp.url is not set"},
	{key: "misp.key", name: "in an open file", keys: map[string]string{"misp.key": misptest.Key}, open: "etc/custom-misp.yaml", fault: "open to everybody"},
	{key: "misp.url", name: "with a query", keys: map[string]string{"misp.url": "'https://misp.example.org/?a=b'"}, fault: "host and path alone"},
	{key: "misp.key", name: "not a key", keys: map[string]string{"misp.key_file": "", "misp.key": "'a b'"}, fault: "characters that no key has"},
	{key: "misp.key_file", name: "not a key", files: map[string]string{"etc/key": "a b"}, fault: "characters that no key has"},
	{key: "misp.key_file", name: "neither it nor a key", keys: map[string]string{"misp.key_file": ""}, fault: "no key for"},
	{key: "misp.key_file", name: "absent", keys: map[string]string{"misp.key_file": "etc/gone"}, fault: "%H/etc/gone"},
	{key: "misp.key_file", name: "unreadable", keys: map[string]string{"misp.key_file": "etc"}, fault: "is a directory"},
	{key: "misp.key_file", name: "open", open: "etc/key", fault: "open to everybody"},
	{key: "misp.key_file", name: "empty", files: map[string]string{"etc/key": "\n"}, fault: "etc/key"},
	{key: "misp.ca_file", name: "absent", keys: map[string]string{"misp.ca_file": "etc/gone"}, fault: "%H/etc/gone"},
	{key: "misp.ca_file", name: "unreadable", keys: map[string]string{"misp.ca_file": "etc"}, fault: "is a directory"},
	{key: "misp.ca_file", name: "without a certificate", keys: map[string]string{"misp.ca_file": "etc/key"}, fault: "no certificate"},
	{key: "misp.ca_file", name: "empty", keys: map[string]string{"misp.ca_file": "etc/empty"}, files: map[string]string{"etc/empty": ""}, fault: "no certificate"},
	{key: "misp.client_cert_file", name: "without a key", keys: map[string]string{"misp.client_cert_file": "etc/key"}, fault: "needs both"},
	{key: "misp.client_key_file", name: "without a certificate", keys: map[string]string{"misp.client_key_file": "etc/key"}, fault: "needs both"},
	{
		key: "misp.client_cert_file", name: "absent", keys: map[string]string{"misp.client_cert_file": "etc/gone", "misp.client_key_file": "etc/key"},
		fault: "%H/etc/gone",
	},
	{
		key: "misp.client_key_file", name: "absent", keys: map[string]string{"misp.client_cert_file": "etc/key", "misp.client_key_file": "etc/gone"},
		fault: "%H/etc/gone",
	},
	{
		key: "misp.client_key_file", name: "open", keys: map[string]string{"misp.client_cert_file": "etc/key", "misp.client_key_file": "etc/own"},
		files: map[string]string{"etc/own": "x"}, open: "etc/own", fault: "open to everybody",
	},
	{
		key: "misp.client_cert_file", name: "not PEM", keys: map[string]string{"misp.client_cert_file": "etc/key", "misp.client_key_file": "etc/key"},
		fault: "PEM",
	},
	{key: "feed.dir", name: "absent", keys: map[string]string{"feed.dir": "etc/gone"}, fault: "%H/etc/gone"},
	{key: "feed.dir", name: "without a manifest", keys: map[string]string{"feed.dir": "etc"}, fault: "manifest.json"},
	{key: "feed.dir", name: "bad manifest", keys: map[string]string{"feed.dir": "feed"}, files: map[string]string{"feed/manifest.json": "["}, fault: "manifest.json"},
	{
		key: "misp.url", name: "nothing to mirror", keys: map[string]string{"lookup.policy": "mirror", "misp.url": ""},
		fault: "nothing to mirror",
	},
	{
		key: "mirror.feeds", name: "nothing to mirror", keys: map[string]string{"lookup.policy": "mirror", "mirror.misp": "false"},
		fault: "nothing to mirror",
	},
	{
		key: "lookup.min_decay_score", name: "under the policy mirror",
		keys: map[string]string{"lookup.policy": "mirror", "mirror.misp": "false", "mirror.lists": mirrored, "lookup.min_decay_score": "50"}, fault: "needs MISP's own scores",
	},
	{
		key: "misp.key_file", name: "absent, to mirror MISP", keys: map[string]string{"lookup.policy": "mirror", "misp.key_file": "etc/gone"},
		fault: "%H/etc/gone",
	},
	{
		key: "misp.ca_file", name: "absent, to mirror MISP and ask it", keys: map[string]string{"lookup.policy": "mirror-then-live", "misp.ca_file": "etc/gone"},
		fault: "%H/etc/gone",
	},
	{
		key: "mirror.feeds", name: "a name twice", keys: map[string]string{"lookup.policy": "mirror", "mirror.feeds": "[one=a, one=b]"},
		fault: `the name "one" stands twice`,
	},
	{
		key: "mirror.lists", name: "the name of a feed", keys: map[string]string{"lookup.policy": "mirror", "mirror.feeds": mirrored, "mirror.lists": mirrored},
		fault: `the name "one" stands twice`,
	},
	{
		key: "misp.key_file", name: "absent, to report sightings under the policy mirror", fault: "%H/etc/gone",
		keys: map[string]string{"lookup.policy": "mirror", "mirror.misp": "false", "mirror.lists": mirrored, "sightings.enabled": "true", "misp.key_file": "etc/gone"},
	},
	{key: "serve.listen", name: "where others can reach it", keys: map[string]string{"serve.listen": "0.0.0.0:9464"}, fault: "others can reach"},
	{key: "serve.alerts", name: "a directory", keys: map[string]string{"serve.alerts": "logs"}, fault: "is a directory", done: true},
	{key: "state_dir", name: "a file", keys: map[string]string{"state_dir": "etc/key"}, fault: "%H/etc/key is not a directory", done: true},
	{key: "state_dir", name: "below a file", keys: map[string]string{"state_dir": "etc/key/state"}, fault: "%H/etc/key is not a directory", done: true},
	{key: "mappings.dirs", name: "absent", keys: map[string]string{"mappings.dirs": "[etc/gone]"}, fault: "%H/etc/gone"},
	{key: "mappings.disable", name: "unknown id", keys: map[string]string{"mappings.disable": "[nothing]"}, fault: "nothing"},
	{key: "ignore.alerts", name: "broken", keys: map[string]string{"ignore.alerts": `'field("a" =='`}, fault: "ignore.alerts: "},
	{
		key: "mutes.file", name: "without a reason", keys: map[string]string{"mutes.file": "etc/m.yaml"}, done: true,
		files: map[string]string{"etc/m.yaml": "version: 1\nmutes:\n  - value: a.example\n"}, fault: "etc/m.yaml:3:5",
	},
	{key: "sources.dirs", name: "absent", keys: map[string]string{"sources.dirs": "[etc/gone]"}, fault: "%H/etc/gone"},
	{key: "ignore.files", name: "absent", keys: map[string]string{"ignore.files": "[etc/gone]"}, fault: "%H/etc/gone"},
	{key: "ignore.files", name: "unreadable", keys: map[string]string{"ignore.files": "[etc]"}, fault: "is a directory"},
	{
		key: "ignore.files", name: "bad line", keys: map[string]string{"ignore.files": "[etc/ignore]"},
		files: map[string]string{"etc/ignore": "# ours\nexample.org\n10.0.0.0/99\n"}, fault: "%H/etc/ignore:3: ",
	},
}

// unbreakable are the keys that take any value of their form, each with the reason.
var unbreakable = map[string]string{
	"misp.no_proxy":       "any text can be a host",
	"lookup.tags":         "any text can be a tag",
	"lookup.exclude_tags": "any text can be a tag",
	"lookup.withhold":     "any text can be a tag",
	"lookup.orgs":         "any text can be an organisation",
	"lookup.exclude_orgs": "any text can be an organisation",
	"sightings.source":    "any text can be a name",
	"mappings.sample":     "lint alone reads it, and says then what it cannot read",
	"wazuh.queue":         "a queue that is not there is an outage: events wait for it in the spool",
	"log.file":            "a log that cannot be opened must not cost an alert",
}
