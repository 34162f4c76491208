package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/v2"
	"go.yaml.in/yaml/v4"

	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/engine/atomicfile"
	"custom-misp/engine/wazuh"
	"custom-misp/engine/yamlfile"
)

// A Request lists what the configuration is read from, in addition to the defaults and the environment.
type Request struct {
	Home    string      // Wazuh's directory
	File    string      // the configuration file; empty for etc/custom-misp.yaml in Home, which may be absent
	Options []byte      // the text of <options> in ossec.conf
	Call    *wazuh.Call // what integratord passes besides; nil for a verb
	Flags   Flags
}

// Flags are settings on a command line. Empty ones do not count.
type Flags struct{ FeedDir, URL, KeyFile, CAFile string }

// Where values come from, besides files and variables.
const (
	fromDefault = "default"
	fromOptions = "<options>"
	fromBlock   = "ossec.conf"
	fromFlag    = "flag"
)

// layers is the configuration as koanf has it: the values by key, each with the layer that it comes from.
type layers struct {
	*koanf.Koanf
	from map[string]string
	home string
	file string
}

// Load reads all layers. The error is a [cli.WrongUse] with the faults of all; the configuration then holds what is good,
// the defaults at least.
func Load(r Request) (*Config, error) {
	l := emptyLayers(r)
	err := l.load(r)
	c := l.config()
	if err = errors.Join(err, c.Serve.checkListen(), c.Serve.checkAlerts()); err != nil {
		err = cli.WrongUse{Err: err}
	}
	return c, err
}

// emptyLayers returns none yet.
func emptyLayers(r Request) *layers {
	l := &layers{Koanf: koanf.New("."), from: map[string]string{}, home: r.Home, file: r.File}
	if l.file == "" {
		l.file = filepath.Join(r.Home, "etc", "custom-misp.yaml")
	}
	return l
}

func (l *layers) load(r Request) error {
	defaults := map[string]any{}
	for _, o := range options {
		defaults[o.key] = o.def
	}
	errs := []error{l.lay(fromDefault, defaults), l.layFile(r.File == ""), l.layEnvironment(), l.layOptions(r.Options)}
	if r.Call != nil {
		errs = append(errs, l.layCall(*r.Call))
	}
	return errors.Join(append(errs, l.layFlags(r.Flags))...)
}

// lay puts values, already of the right types, over what is there.
func (l *layers) lay(from string, values map[string]any) error {
	if err := l.Load(confmap.Provider(values, "."), nil); err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	for key := range values {
		l.from[key] = from
	}
	return nil
}

// layFile reads the configuration file.
func (l *layers) layFile(mayBeAbsent bool) error {
	read := cli.ReadNamed
	if mayBeAbsent { // no one has named it
		read = func(name string) ([]byte, error) { return atomicfile.ReadRegular(name, cli.MaxFile) }
	}
	data, err := read(l.file)
	if mayBeAbsent && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	r := yamlfile.NewReader(l.file, data)
	values := map[string]any{}
	if top := r.Document(); top != nil {
		readSection(r, top, "", values)
	}
	if faults := r.Faults(); len(faults) > 0 {
		_ = l.lay(l.file, values) // what is good: an alert is queued where the configuration says
		return faults
	}
	var open error
	if key := values["misp.key"]; key != nil && key != "" {
		if open = RefuseReadable(l.file); open != nil {
			open = fmt.Errorf("misp.key: %w", open)
		}
	}
	return errors.Join(open, l.lay(l.file, values))
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
		fields[rest] = func(n *yaml.Node) { readValue(r, n, o, values) }
	}
	r.Object(n, what, fields)
}

// readValue reads the value of one option in the configuration file.
func readValue(r *yamlfile.Reader, n *yaml.Node, o option, values map[string]any) {
	given := []string{}
	n = r.Resolve(n)
	switch n.Kind {
	case yaml.SequenceNode:
		for _, c := range n.Content {
			given = append(given, r.Resolve(c).Value)
		}
	case yaml.ScalarNode:
		given = append(given, n.Value)
	default:
		r.Fault(n, "", "%s takes a value, not %s", o.key, yamlfile.KindOf(n))
		return
	}
	v, err := o.form.parse(given)
	if err != nil {
		r.Fault(n, "", "%s: %v", o.key, err)
		return
	}
	values[o.key] = v
}

func (l *layers) layEnvironment() error {
	byName := map[string]option{}
	names := make([]string, 0, len(options))
	for _, o := range options {
		byName[EnvName(o.key)] = o
		names = append(names, EnvName(o.key))
	}
	var errs []error
	provider := env.Provider(".", env.Opt{Prefix: envPrefix, TransformFunc: func(name, value string) (string, any) {
		if value == "" {
			return "", nil // as good as not set
		}
		o, ok := byName[name]
		if !ok {
			errs = append(errs, unknown("environment: unknown variable %s", name, names))
			return "", nil
		}
		given := []string{value}
		if o.form.list {
			given = strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' && !o.form.lone })
		}
		v, err := o.form.parse(given)
		if err != nil {
			errs = append(errs, fmt.Errorf("environment: %s: %w", name, err))
			return "", nil
		}
		l.from[o.key] = "environment " + name
		return o.key, v
	}})
	if err := l.Load(provider, nil); err != nil {
		return fmt.Errorf("environment: %w", err)
	}
	return errors.Join(errs...)
}

// maxOptions is the longest text of <options>, in bytes.
const maxOptions = 1 << 20

// layCall lays the file with <options> that integratord passes, and its arguments.
func (l *layers) layCall(c wazuh.Call) error {
	var errs []error
	if c.OptionsFile != "" {
		data, err := atomicfile.ReadRegular(c.OptionsFile, maxOptions)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("options: %w", err))
		}
		if err := l.layOptions(data); err != nil {
			errs = append(errs, err)
		}
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
		v, err := readAddress(c.HookURL)
		if err != nil {
			errs = append(errs, fmt.Errorf("hook_url: %w", err))
		} else {
			given["misp.url"] = v
		}
	}
	return errors.Join(append(errs, l.lay(fromBlock, given))...)
}

// layOptions lays the text of <options>, which has to be a JSON object with the keys of the configuration, nested or
// joined by dots.
func (l *layers) layOptions(data []byte) error {
	if strings.TrimSpace(string(data)) == "" {
		return nil
	}
	var tree map[string]any
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := dec.Decode(&tree); err != nil {
		return fmt.Errorf("<options> is not a JSON object: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("<options> has something after its JSON object; take it out")
	}
	values := map[string]any{}
	err := flattenOptions(tree, "", values)
	return errors.Join(err, l.lay(fromOptions, values)) // what is good: an alert is queued where the configuration says
}

// flattenOptions flattens a section of <options> into values. The error has the faults of all keys, in their order.
func flattenOptions(tree map[string]any, prefix string, values map[string]any) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(tree)) {
		key, v := prefix+name, tree[name]
		if section, ok := v.(map[string]any); ok && isSection(key) {
			errs = append(errs, flattenOptions(section, key+".", values))
			continue
		}
		parsed, err := readOption(key, v)
		if err != nil {
			errs = append(errs, fmt.Errorf("<options>: %w", err))
			continue
		}
		values[key] = parsed
	}
	return errors.Join(errs...)
}

// readOption reads the value of one key in <options>.
func readOption(key string, v any) (any, error) {
	o, ok := find(key)
	switch {
	case !ok && isSection(key):
		return nil, fmt.Errorf("%s is a section; write {%q: {...}}", key, key)
	case !ok:
		return nil, unknown("unknown key %q", key, keys())
	}
	given, err := optionTexts(key, v)
	if err != nil {
		return nil, err
	}
	parsed, err := o.form.parse(given)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return parsed, nil
}

// optionTexts returns a JSON value, or the items of a list, as texts.
func optionTexts(key string, v any) ([]string, error) {
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
			return nil, fmt.Errorf("%s takes a value; leave the key out for none", key)
		}
	}
	return given, nil
}

// layFlags lays what a command line says. Paths on it are counted from where the user is. Whoever names a feed or a
// MISP wants the answer of that one.
func (l *layers) layFlags(f Flags) error {
	if f.URL != "" && f.FeedDir != "" {
		return errors.New("--feed and --url exclude each other")
	}
	given := map[string]any{}
	for key, name := range map[string]string{"feed.dir": f.FeedDir, "misp.key_file": f.KeyFile, "misp.ca_file": f.CAFile} {
		if name == "" {
			continue
		}
		abs, err := filepath.Abs(name)
		if err != nil {
			return err
		}
		given[key] = abs
	}
	if f.URL != "" {
		v, err := readAddress(f.URL)
		if err != nil {
			return fmt.Errorf("misp.url: %w", err)
		}
		given["misp.url"], given["feed.dir"] = v, ""
	}
	if f.URL != "" || f.FeedDir != "" {
		given["lookup.policy"] = string(PolicyLive)
	}
	return l.lay(fromFlag, given)
}

// unknown returns an error about a word that is not one of words, with the nearest one.
func unknown(format, word string, words []string) error {
	err := fmt.Errorf(format, word)
	if hint := yamlfile.DidYouMean(word, words); hint != "" {
		return fmt.Errorf("%w; %s", err, hint)
	}
	return err
}

func (l *layers) text(key string) string            { return l.String(key) }
func (l *layers) flag(key string) bool              { return l.Bool(key) }
func (l *layers) count(key string) int              { return l.Int(key) }
func (l *layers) duration(key string) time.Duration { return l.Duration(key) }
func (l *layers) texts(key string) []string         { return l.Strings(key) }

// path returns a path, counted from Wazuh's directory if it is relative; empty if it is not set.
func (l *layers) path(key string) string { return l.fromHome(l.String(key)) }

func (l *layers) paths(key string) []string {
	list := l.Strings(key)
	for i := range list {
		list[i] = l.fromHome(list[i])
	}
	return list
}

func (l *layers) fromHome(p string) string {
	if p == "" || filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(l.home, p)
}

// key returns MISP's key, or its file: of two, the one of the later layer.
func (l *layers) key() Key {
	given, file := l.from["misp.key"], l.path("misp.key_file")
	if file == "" || given != fromDefault && rank(given) > rank(l.from["misp.key_file"]) {
		return Key{From: given, text: l.text("misp.key")}
	}
	return Key{From: l.from["misp.key_file"], File: file}
}

// rank orders the layers.
func rank(from string) int {
	switch {
	case from == fromDefault:
		return 0
	case strings.HasPrefix(from, "environment"):
		return 2
	case from == fromOptions:
		return 3
	case from == fromBlock:
		return 4
	case from == fromFlag:
		return 5
	}
	return 1 // a file
}
