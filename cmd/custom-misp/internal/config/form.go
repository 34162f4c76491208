package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"custom-misp/engine"
	"custom-misp/engine/history"
	"custom-misp/misp/api"
	"custom-misp/misp/mirror"
)

// A form says how the value of an option is written. An error says what would be right; it never repeats the value of a
// secret.
type form struct {
	list bool // of texts
	path bool // counted from Wazuh's directory if it is relative
	// lone says that a list of one is shown as its item, and that only commas divide the list in the environment.
	lone bool
	// read reads one text, or checks one item of a list; nil for any text.
	read func(text string) (any, error)
}

var (
	text  = form{}
	texts = form{list: true}
	path  = form{path: true}
	paths = form{path: true, list: true}
	// pathOrPaths is one path, which may have blanks in it, or several.
	pathOrPaths = form{path: true, list: true, lone: true}
	flag        = form{read: readFlag}
	duration    = form{read: readDuration}
	address     = form{read: readAddress}
	// durationOrOff is a time, or 0.
	durationOrOff = form{read: readDurationOrOff}
	age           = form{read: emptyOr(func(s string) error { _, err := engine.ParseAge(s); return err })}

	// listenAddress is one that serve can listen at: a host, which may be left out, and a number of a port.
	listenAddress = form{read: emptyOr(checkListenAddress)}

	threatLevel  = form{read: emptyOr(isOneOf(engine.ThreatLevels))}
	matchKinds   = form{list: true, read: oneOf("exact", "half", "url-host", "parent-domain", "network").read}
	historyTypes = form{list: true, read: checked(isOneOf(historyKinds()))}
	pins         = form{list: true, read: checked(func(s string) error { _, err := api.ParsePin(s); return err })}
	sources      = form{list: true, read: checked(func(s string) error { _, err := parseSource(s); return err })}
	ignored      = form{list: true, read: checked(func(s string) error { _, err := engine.NewIgnore([]string{s}); return err })}
)

// historyKinds are the values of history.types.
func historyKinds() []string {
	var names []string
	for _, k := range history.Kinds() {
		names = append(names, string(k))
	}
	return names
}

// parse reads the texts that a layer gives to an option: one, or for a list any number. It returns a bool, an int, a
// time.Duration, a string or a []string.
func (f form) parse(given []string) (any, error) {
	if f.list {
		for _, item := range given {
			if f.read == nil {
				break
			}
			if _, err := f.read(item); err != nil {
				return nil, err
			}
		}
		return given, nil
	}
	if len(given) != 1 {
		return nil, errors.New("takes one value, not a list")
	}
	v := strings.TrimSpace(given[0])
	if f.read == nil {
		return v, nil
	}
	return f.read(v)
}

// checked returns a reader of texts for which check returns no error.
func checked(check func(string) error) func(string) (any, error) {
	return func(s string) (any, error) { return s, check(s) }
}

// emptyOr is a text that is empty or that a function accepts.
func emptyOr(check func(string) error) func(string) (any, error) {
	return checked(func(s string) error {
		if s == "" {
			return nil
		}
		return check(s)
	})
}

// oneOf is one of some words.
func oneOf(words ...string) form { return form{read: checked(isOneOf(words))} }

func isOneOf(words []string) func(string) error {
	return func(s string) error {
		if !slices.Contains(words, s) {
			return fmt.Errorf("%q is not one of %s", s, strings.Join(words, ", "))
		}
		return nil
	}
}

func readFlag(s string) (any, error) {
	switch strings.ToLower(s) {
	case "true", "yes", "on", "1":
		return true, nil
	case "false", "no", "off", "0":
		return false, nil
	}
	return nil, fmt.Errorf("%q is neither true nor false", s)
}

func countTo(most int) form {
	return form{read: func(s string) (any, error) {
		n, err := strconv.Atoi(s)
		if err != nil || n < 0 || n > most {
			return nil, fmt.Errorf("%q is not a number from 0 to %d", s, most)
		}
		return n, nil
	}}
}

func readDuration(s string) (any, error) {
	d, err := time.ParseDuration(s)
	if seconds, serr := strconv.Atoi(s); serr == nil {
		d, err = time.Duration(seconds)*time.Second, nil
	}
	if err != nil || d <= 0 || d > 24*time.Hour {
		return nil, fmt.Errorf("%q is not a time like 10s or 500ms", s)
	}
	return d, nil
}

func readDurationOrOff(s string) (any, error) {
	if d, err := time.ParseDuration(s); err == nil && d == 0 {
		return d, nil
	}
	d, err := readDuration(s)
	if err != nil {
		return nil, fmt.Errorf("%q is neither 0 nor a time like 10s or 500ms, at most 24h", s)
	}
	return d, nil
}

// readAddress reads the address of a MISP: host and path alone. An error shows nothing of it that may be a password.
func readAddress(s string) (any, error) {
	if s == "" {
		return s, nil
	}
	u, err := url.Parse(s)
	if err == nil && u.Port() != "" {
		_, err = strconv.ParseUint(u.Port(), 10, 16)
	}
	switch {
	case err == nil && u.User != nil:
		return nil, errors.New("an address must not hold a user or password")
	case err == nil && (u.RawQuery != "" || u.ForceQuery || u.Fragment != ""):
		return nil, errors.New("an address must be host and path alone, without query and fragment")
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		if strings.ContainsAny(s, "@?#") {
			return nil, errors.New("this is not an address like https://misp.example.org")
		}
		return nil, fmt.Errorf("%q is not an address like https://misp.example.org", s)
	}
	return s, nil
}

func checkListenAddress(s string) error {
	_, port, err := net.SplitHostPort(s)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return fmt.Errorf("%q is not an address like 127.0.0.1:9464", s)
	}
	return nil
}

// parseSource reads NAME=PLACE.
func parseSource(item string) (Source, error) {
	name, place, ok := strings.Cut(item, "=")
	switch {
	case !ok || place == "":
		return Source{}, fmt.Errorf("%q is not NAME=PLACE, like circl=https://feed.example.org/misp", item)
	case strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" || name == "":
		return Source{}, fmt.Errorf("%q is not a name of small letters, digits, - and _", name)
	case name == mirror.ServerName:
		return Source{}, fmt.Errorf("the name %q means the MISP at misp.url; choose another", name)
	case strings.Contains(place, "://") && !isURL(place):
		return Source{}, fmt.Errorf("%q is not an address that begins with https:// or http://", place)
	}
	return Source{name, place}, nil
}

func isURL(place string) bool { return mirror.IsURL(place) }
