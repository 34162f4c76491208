package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

// A Value is one key of the configuration, for people.
type Value struct {
	Key   string `json:"key"`
	Value any    `json:"value"`
	From  string `json:"origin"` // the layer that the value comes from
}

// Values returns every key with its value; secrets are masked, paths absolute.
func (c *Config) Values() []Value {
	list := []Value{{"home", c.Home, ""}}
	for _, o := range options {
		v := c.values.Get(o.key)
		switch {
		case o.secret && v != "":
			v = "********"
		case o.form.lone:
			if list := c.values.paths(o.key); len(list) > 1 {
				v = list
			} else {
				v = strings.Join(list, "")
			}
		case o.form.path && o.form.list:
			v = c.values.paths(o.key)
		case o.form.path:
			v = c.values.path(o.key)
		}
		if d, ok := v.(time.Duration); ok {
			v = d.String()
		}
		list = append(list, Value{o.key, v, c.values.from[o.key]})
	}
	return list
}

// NeedRestart returns the keys that differ in another configuration and that serve reads only when it starts.
func (c *Config) NeedRestart(other *Config) []string {
	var list []string
	for _, o := range options {
		if o.restart && !reflect.DeepEqual(c.values.Get(o.key), other.values.Get(o.key)) {
			list = append(list, o.key)
		}
	}
	return list
}

// Watched returns the files and directories that the configuration is made of or names, whose change is a reason to
// load it again; they may be absent.
func (c *Config) Watched() []string {
	names := []string{c.File, c.FromHome("etc/ossec.conf")}
	for _, o := range options {
		switch {
		case !o.watched:
		case o.form.list:
			names = append(names, c.values.paths(o.key)...)
		case c.values.path(o.key) != "":
			names = append(names, c.values.path(o.key))
		}
	}
	return names
}

// A NamedFile is a file that a key of the configuration names.
type NamedFile struct{ Key, Path string }

// TLSFiles returns the files that the connection to MISP needs, but for the key.
func (c *Config) TLSFiles() []NamedFile {
	all := []NamedFile{
		{"misp.ca_file", c.MISP.CAFile}, {"misp.client_cert_file", c.MISP.ClientCertFile}, {"misp.client_key_file", c.MISP.ClientKeyFile},
	}
	return slices.DeleteFunc(all, func(f NamedFile) bool { return f.Path == "" })
}

// A Described is a key of the configuration as documents show it: its default is empty if it has none.
type Described struct{ Key, Default, Help string }

// Describe returns all keys.
func Describe() []Described {
	var all []Described
	for _, o := range options {
		def := fmt.Sprint(o.def)
		if list, ok := o.def.([]string); ok {
			def = strings.Join(list, " ")
		}
		all = append(all, Described{o.key, def, o.help})
	}
	return all
}

// Reference returns the table of all keys in Markdown, for README.md.
func Reference() string {
	var b strings.Builder
	b.WriteString("| key | default | meaning |\n|---|---|---|\n")
	for _, d := range Describe() {
		if d.Default != "" {
			d.Default = "`" + d.Default + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", d.Key, d.Default, d.Help)
	}
	return b.String()
}
