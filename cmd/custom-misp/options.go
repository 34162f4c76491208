package main

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// An option is one key of the configuration.
type option struct {
	key    string
	def    any // the default, of the kind's type
	kind   kind
	secret bool
	help   string
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
)

// options is the whole configuration: the reference in README.md, `config`, the environment variables and the
// check for unknown keys come from here.
var options = []option{
	{key: "misp.url", def: "", kind: kindURL, help: "address of MISP, like https://misp.example.org"},
	{key: "misp.key", def: "", kind: kindText, secret: true, help: "authentication key; better put it into a file"},
	{key: "misp.key_file", def: "", kind: kindPath, help: "file that holds the authentication key and nothing else"},
	{key: "misp.ca_file", def: "", kind: kindPath, help: "certificates (PEM) to trust instead of the system's"},
	{key: "misp.insecure_skip_verify", def: false, kind: kindFlag, help: "do not check MISP's certificate; for a laboratory only"},
	{key: "misp.timeout", def: 5 * time.Second, kind: kindDuration, help: "for one try to reach MISP"},
	{key: "misp.retries", def: 3, kind: kindCount, help: "further tries after the first, within the time of the call; from Wazuh 4.8 on, <retries> (3) goes before it"},
	{key: "timeout", def: 10 * time.Second, kind: kindDuration, help: "for a whole call by integratord; from Wazuh 4.8 on, <timeout> in ossec.conf (10) goes before it"},
	{key: "feed.dir", def: "", kind: kindPath, help: "directory in MISP feed format to look up in, instead of asking MISP"},
	{key: "lookup.to_ids", def: false, kind: kindFlag, help: "accept only attributes that are flagged to_ids"},
	{key: "lookup.tags", def: []string{}, kind: kindTexts, help: "accept only attributes with one of these tags"},
	{key: "lookup.exclude_tags", def: []string{}, kind: kindTexts, help: "reject attributes with one of these tags"},
	{key: "lookup.warninglists", def: false, kind: kindFlag, help: "reject attributes that are on an enabled MISP warninglist"},
	{key: "mappings.builtin", def: true, kind: kindFlag, help: "load the mappings that the program brings along"},
	{key: "mappings.dirs", def: []string{"etc/custom-misp/mappings"}, kind: kindPaths, help: "directories with mappings of your own; the default one may be absent"},
	{key: "wazuh.queue", def: "queue/sockets/queue", kind: kindPath, help: "socket of wazuh-analysisd"},
	{key: "wazuh.plain_header", def: false, kind: kindFlag, help: "do not escape colons in the event header, for managers before 4.4"},
	{key: "wazuh.send_timeout", def: 2 * time.Second, kind: kindDuration, help: "wait for a place in a full queue"},
	{key: "error_interval", def: 3600 * time.Second, kind: kindDuration, help: "an error event of one kind is sent once in this time"},
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
		return values, nil
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
		if err != nil || n < 0 || n > 100 {
			return nil, fmt.Errorf("%q is not a number from 0 to 100", v)
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
	allowed := map[string][]string{"log.format": {"text", "json"}, "log.level": {"debug", "info", "warn", "error"}}[o.key]
	if allowed != nil && !slices.Contains(allowed, v) {
		return nil, fmt.Errorf("%q is none of %s", v, strings.Join(allowed, ", "))
	}
	return v, nil
}
