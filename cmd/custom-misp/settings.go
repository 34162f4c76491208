package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/v2"
	"go.yaml.in/yaml/v4"

	"custom-misp/engine"
	"custom-misp/engine/wazuh"
	"custom-misp/engine/yamlfile"
)

// defaultHome is where Wazuh's packages install it.
const defaultHome = "/var/ossec"

// settings is the effective configuration. Layers are laid over each other in this order: defaults, file,
// environment, integratord's <options>, integratord's arguments, flags.
type settings struct {
	k      *koanf.Koanf
	origin map[string]string // key → the layer that its value comes from
	home   string
}

// loadSettings reads all layers. call is nil for a verb. flags holds the values that flags gave, by key. Every
// error is a wrongUse; the settings then hold what was good before it, the defaults at least.
func loadSettings(g globalFlags, call *wazuh.Call, flags map[string]any) (*settings, error) {
	s := &settings{k: koanf.New("."), origin: map[string]string{}, home: findHome(g.home)}
	defaults := map[string]any{}
	for _, o := range options {
		defaults[o.key] = o.def
	}
	if err := s.lay("default", defaults); err != nil {
		return s, err
	}
	if err := s.layFile(g.config); err != nil {
		return s, wrongUse{err}
	}
	if err := s.layEnvironment(); err != nil {
		return s, wrongUse{err}
	}
	if call != nil {
		if err := s.layCall(*call); err != nil {
			return s, wrongUse{err}
		}
	}
	return s, s.lay("flag", flags)
}

// findHome returns Wazuh's directory: as told, else the one whose integrations/ the program lies in.
func findHome(told string) string {
	if told != "" {
		if abs, err := filepath.Abs(told); err == nil {
			return abs
		}
		return told
	}
	if exe, err := os.Executable(); err == nil {
		if dir := filepath.Dir(exe); filepath.Base(dir) == wazuh.ProgramName {
			return filepath.Dir(dir)
		}
	}
	return defaultHome
}

// lay puts values, already of the right types, over what is there.
func (s *settings) lay(origin string, values map[string]any) error {
	if err := s.k.Load(confmap.Provider(values, "."), nil); err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	for key := range values {
		s.origin[key] = origin
	}
	return nil
}

// layFile reads the configuration file. The default one may be absent.
func (s *settings) layFile(told string) error {
	name := told
	if name == "" {
		name = filepath.Join(s.home, "etc", "custom-misp.yaml")
	}
	data, err := os.ReadFile(name)
	if told == "" && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	r := yamlfile.NewReader(name, data)
	values := map[string]any{}
	if top := r.Document(); top != nil {
		readSection(r, top, "", values)
	}
	if faults := r.Faults(); len(faults) > 0 {
		_ = s.lay(name, values) // what is good: an alert is held where the configuration says
		return faults
	}
	if key := values["misp.key"]; key != nil && key != "" {
		if err := refuseReadable(name); err != nil {
			return err
		}
	}
	return s.lay(name, values)
}

// readSection flattens a section of the configuration file into values.
func readSection(r *yamlfile.Reader, n *yaml.Node, prefix string, values map[string]any) {
	what := "the configuration"
	if prefix != "" {
		what = "section " + strings.TrimSuffix(prefix, ".")
	}
	fields := map[string]yamlfile.Field{}
	for _, o := range options {
		rest, ok := strings.CutPrefix(o.key, prefix)
		if !ok {
			continue
		}
		if section, _, nested := strings.Cut(rest, "."); nested {
			fields[section] = func(n *yaml.Node) { readSection(r, n, prefix+section+".", values) }
			continue
		}
		fields[rest] = func(n *yaml.Node) {
			var given []string
			n = r.Resolve(n)
			switch n.Kind {
			case yaml.SequenceNode:
				given = []string{}
				for _, c := range n.Content {
					given = append(given, r.Resolve(c).Value)
				}
			case yaml.ScalarNode:
				given = []string{n.Value}
			default:
				r.Fault(n, "", "%s takes a value, not %s", o.key, yamlfile.KindOf(n))
				return
			}
			v, err := o.parse(given)
			if err != nil {
				r.Fault(n, "", "%s: %v", o.key, err)
				return
			}
			values[o.key] = v
		}
	}
	r.Object(n, what, fields)
}

func (s *settings) layEnvironment() error {
	byName := map[string]option{}
	names := make([]string, 0, len(options))
	for _, o := range options {
		byName[envName(o.key)] = o
		names = append(names, envName(o.key))
	}
	var errs []error
	provider := env.Provider(".", env.Opt{Prefix: envPrefix, TransformFunc: func(name, value string) (string, any) {
		o, ok := byName[name]
		if !ok {
			errs = append(errs, unknown("environment: unknown variable %s", name, names))
			return "", nil
		}
		if value == "" {
			return "", nil // as good as not set
		}
		given := []string{value}
		if o.kind == kindPaths || o.kind == kindTexts {
			given = strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' })
		}
		v, err := o.parse(given)
		if err != nil {
			errs = append(errs, fmt.Errorf("environment: %s: %w", name, err))
			return "", nil
		}
		s.origin[o.key] = "environment " + name
		return o.key, v
	}})
	if err := s.k.Load(provider, nil); err != nil {
		return fmt.Errorf("environment: %w", err)
	}
	return errors.Join(errs...)
}

// layCall lays integratord's <options> and arguments.
func (s *settings) layCall(c wazuh.Call) error {
	if err := s.layOptions(c.OptionsFile); err != nil {
		return err
	}
	given := map[string]any{}
	if c.APIKey != "" {
		given["misp.key"] = c.APIKey
	}
	if c.Timeout > 0 {
		given["timeout"] = c.Timeout
	}
	if c.Retries >= 0 {
		given["misp.retries"] = c.Retries
	}
	if c.Debug {
		given["log.level"] = "debug"
	}
	if c.HookURL != "" {
		o, _ := findOption("misp.url")
		v, err := o.parse([]string{c.HookURL})
		if err != nil {
			return fmt.Errorf("hook_url: %w", err)
		}
		given["misp.url"] = v
	}
	return s.lay("ossec.conf", given)
}

// layOptions reads the file with the text of <options>, which has to be a JSON object with the keys of the
// configuration, nested or joined by dots.
func (s *settings) layOptions(name string) error {
	if name == "" {
		return nil
	}
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("options: %w", err)
	}
	return s.layOptionsText(data)
}

// layOptionsText lays the text of <options>.
func (s *settings) layOptionsText(data []byte) error {
	if strings.TrimSpace(string(data)) == "" {
		return nil
	}
	var tree map[string]any
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := dec.Decode(&tree); err != nil {
		return fmt.Errorf("<options> is not a JSON object: %w", err)
	}
	values := map[string]any{}
	if err := flattenOptions(tree, "", values); err != nil {
		return err
	}
	return s.lay("<options>", values)
}

func flattenOptions(tree map[string]any, prefix string, values map[string]any) error {
	for key, v := range tree {
		key = prefix + key
		if section, ok := v.(map[string]any); ok && isSection(key) {
			if err := flattenOptions(section, key+".", values); err != nil {
				return err
			}
			continue
		}
		o, ok := findOption(key)
		switch {
		case !ok && isSection(key):
			return fmt.Errorf("<options>: %s is a section; write {%q: {...}}", key, key)
		case !ok:
			return unknown("<options>: unknown key %q", key, optionKeys())
		}
		items, isList := v.([]any)
		if !isList {
			items = []any{v}
		}
		given := []string{}
		for _, item := range items {
			switch item := item.(type) {
			case string:
				given = append(given, item)
			case json.Number:
				given = append(given, item.String())
			case bool:
				given = append(given, strconv.FormatBool(item))
			default:
				return fmt.Errorf("<options>: %s takes a value; leave the key out for none", key)
			}
		}
		parsed, err := o.parse(given)
		if err != nil {
			return fmt.Errorf("<options>: %s: %w", key, err)
		}
		values[key] = parsed
	}
	return nil
}

// unknown returns an error about a word that is none of words, with the nearest one.
func unknown(format, word string, words []string) error {
	err := fmt.Errorf(format, word)
	if hint := yamlfile.DidYouMean(word, words); hint != "" {
		return fmt.Errorf("%w; %s", err, hint)
	}
	return err
}

func isSection(key string) bool {
	return slices.ContainsFunc(options, func(o option) bool { return strings.HasPrefix(o.key, key+".") })
}

// refuseReadable refuses a file with a secret in it that others than its owner and group can read.
func refuseReadable(name string) error {
	st, err := os.Stat(name)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	if st.Mode().Perm()&0o007 != 0 {
		return fmt.Errorf("%s holds a key and is open to everybody (mode %04o); chmod o= %s", name, st.Mode().Perm(), name)
	}
	return nil
}

func (s *settings) text(key string) string            { return s.k.String(key) }
func (s *settings) flag(key string) bool              { return s.k.Bool(key) }
func (s *settings) count(key string) int              { return s.k.Int(key) }
func (s *settings) duration(key string) time.Duration { return s.k.Duration(key) }
func (s *settings) texts(key string) []string         { return s.k.Strings(key) }

// path returns a path, counted from Wazuh's directory if it is relative; empty if it is not set.
func (s *settings) path(key string) string { return s.fromHome(s.k.String(key)) }

func (s *settings) paths(key string) []string {
	list := s.k.Strings(key)
	for i := range list {
		list[i] = s.fromHome(list[i])
	}
	return list
}

func (s *settings) fromHome(p string) string {
	if p == "" || filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(s.home, p)
}

// key returns MISP's authentication key, from its file or as it was given.
func (s *settings) key() (string, error) {
	name := s.path("misp.key_file")
	if name == "" || s.origin["misp.key"] != "default" && rank(s.origin["misp.key"]) > rank(s.origin["misp.key_file"]) {
		return s.text("misp.key"), nil
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return "", wrongUsef("misp.key_file: %w", err)
	}
	if err := refuseReadable(name); err != nil {
		return "", wrongUse{err}
	}
	return strings.TrimSpace(string(data)), nil
}

// rank orders the layers, so that of two ways to give the key the later layer wins.
func rank(origin string) int {
	switch {
	case origin == "default":
		return 0
	case strings.HasPrefix(origin, "environment"):
		return 2
	case origin == "<options>":
		return 3
	case origin == "ossec.conf":
		return 4
	case origin == "flag":
		return 5
	}
	return 1 // a file
}

// filter returns the configured look-up filter.
func (s *settings) filter() engine.Filter {
	f := engine.Filter{
		ToIDs: new(s.flag("lookup.to_ids")), Published: new(s.flag("lookup.published")), Warninglists: new(s.flag("lookup.warninglists")),
		Tags: s.texts("lookup.tags"), ExcludeTags: s.texts("lookup.exclude_tags"),
		Orgs: s.texts("lookup.orgs"), ExcludeOrgs: s.texts("lookup.exclude_orgs"),
		MinThreatLevel: s.text("lookup.min_threat_level"),
	}
	if age, err := engine.ParseAge(s.text("lookup.max_age")); err == nil && age > 0 {
		f.MaxAge = &age
	}
	if score := s.count("lookup.min_decay_score"); score > 0 {
		f.MinDecayScore = &score
	}
	for _, k := range s.texts("lookup.match_kinds") {
		f.MatchKinds = append(f.MatchKinds, engine.MatchKind(k))
	}
	return f
}
