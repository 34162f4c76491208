package engine

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"strings"

	"github.com/expr-lang/expr"
)

// matchNames are the names that a match expression can use. The values here only give the types; a run fills in those of
// the alert.
var matchNames = map[string]any{
	"groups":   []string(nil),
	"rule":     ruleNames{},
	"agent":    agentNames{},
	"decoder":  decoderNames{},
	"location": "",
	"field":    func(string) string { return "" },
	"has":      func(string) bool { return false },
}

// keepNames are the names that a keep expression can use: those of match and two more.
var keepNames = func() map[string]any {
	m := map[string]any{"value": "", "type": ""}
	maps.Copy(m, matchNames)
	return m
}()

type ruleNames struct {
	ID          string   `expr:"id"`
	Level       int      `expr:"level"`
	Description string   `expr:"description"`
	Groups      []string `expr:"groups"`
}

type agentNames struct {
	ID   string `expr:"id"`
	Name string `expr:"name"`
	IP   string `expr:"ip"`
}

type decoderNames struct {
	Name   string `expr:"name"`
	Parent string `expr:"parent"`
}

// A Name is a name or function that expressions can use, described for authors.
type Name struct{ Name, Doc string }

// Names lists the names and functions of the mapping language, besides expr-lang's own.
func Names() []Name {
	list := []Name{
		{"groups", "rule.groups of the alert: a list of texts, blanks around them taken off"},
		{"rule", "the rule: `rule.id`, `rule.level` (a number), `rule.description`, `rule.groups`"},
		{"agent", "the agent: `agent.id`, `agent.name`, `agent.ip`"},
		{"decoder", "the decoder: `decoder.name`, `decoder.parent`"},
		{"location", "where the event came from"},
		{"field(path)", "the text at a gjson path of the alert, empty if there is none"},
		{"has(path)", "whether there is something at a gjson path, other than null"},
		{"value, type", "in keep: the value in its normal form, and its type"},
	}
	for _, f := range functions {
		list = append(list, Name{f.usage, f.doc})
	}
	return list
}

// A function is one of the pure functions that expressions may call besides those of expr-lang.
type function struct {
	name  string
	usage string
	call  func(params ...any) (any, error)
	typ   any
	list  any // the type with a list for the arguments behind the first; nil for none
	doc   string
}

var functions = []function{
	{
		name: "is_ip", usage: "is_ip(value)", typ: new(func(string) bool), doc: "the value is an IP address, with or without port",
		call: ofOne(func(s string) bool { _, err := parseIP(s); return err == nil }),
	},
	{
		name: "is_public_ip", usage: "is_public_ip(value)", typ: new(func(string) bool), doc: "the value is a globally routable unicast address",
		call: ofOne(func(s string) bool { a, err := parseIP(s); return err == nil && isPublic(a) }),
	},
	{
		name: "is_domain", usage: "is_domain(value)", typ: new(func(string) bool), doc: "the value is a domain or host name of two labels or more",
		call: ofOne(func(s string) bool { _, err := normalHost(s); return err == nil }),
	},
	{
		name: "is_url", usage: "is_url(value)", typ: new(func(string) bool), doc: "the value is a URL with scheme and host",
		call: ofOne(func(s string) bool { _, err := normalURL(s); return err == nil }),
	},
	{
		name: "is_hash", usage: "is_hash(value)", typ: new(func(string) bool), doc: "the value is hexadecimal of the length of MD5, SHA-1 or SHA-2",
		call: ofOne(func(s string) bool {
			_, err := normalHash(s, len(s))
			return autoHashes[len(s)] != "" && (err == nil || errors.Is(err, errHashOfNone))
		}),
	},
	{
		name: "in_network", usage: "in_network(value, \"10.0.0.0/8\", …)", typ: new(func(string, ...string) bool), list: new(func(string, []any) bool),
		doc: "the address is in one of the networks, which may be a list", call: inNetwork,
	},
	{
		name: "under_domain", usage: "under_domain(value, \"corp.example\", …)", typ: new(func(string, ...string) bool), list: new(func(string, []any) bool),
		doc: "the name, or the host of the URL or e-mail address, is one of the domains or below it; the domains may be a list", call: underDomain,
	},
}

func ofOne(is func(string) bool) func(...any) (any, error) {
	return func(params ...any) (any, error) {
		s, ok := params[0].(string)
		return ok && is(strings.TrimSpace(s)), nil
	}
}

func inNetwork(params ...any) (any, error) {
	value, rest, err := textArgs(params)
	if err != nil {
		return nil, err
	}
	a, err := parseIP(strings.TrimSpace(value))
	for _, s := range rest {
		p, perr := parsePrefix(s)
		if perr != nil {
			return nil, perr
		}
		if err == nil && p.Contains(a) {
			return true, nil
		}
	}
	return false, nil
}

// parsePrefix accepts a network, and an address as the network of that address alone.
func parsePrefix(s string) (netip.Prefix, error) {
	if p, err := netip.ParsePrefix(s); err == nil {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()).Masked(), nil
	}
	if a, err := netip.ParseAddr(s); err == nil {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	return netip.Prefix{}, fmt.Errorf("%q is not a network like 10.0.0.0/8", s)
}

func underDomain(params ...any) (any, error) {
	value, rest, err := textArgs(params)
	if err != nil {
		return nil, err
	}
	name := hostOf(value)
	for _, s := range rest {
		domain := hostKey(s)
		if under, ok := strings.CutSuffix(name, domain); ok && domain != "" && (under == "" || under[len(under)-1] == '.') {
			return true, nil
		}
	}
	return false, nil
}

// hostOf returns the host of a URL or an e-mail address, and what else is a name as it is.
func hostOf(value string) string {
	if strings.Contains(value, "://") {
		value = hostOfURL(value)
	}
	return hostKey(value[strings.LastIndexByte(value, '@')+1:])
}

func hostKey(s string) string {
	if h, err := normalHost(strings.TrimSpace(s)); err == nil {
		return h
	}
	return strings.ToLower(strings.Trim(strings.TrimSpace(s), "."))
}

func textArgs(params []any) (string, []string, error) {
	texts := make([]string, 0, len(params))
	for _, p := range params {
		switch p := p.(type) {
		case string:
			texts = append(texts, p)
		case []string:
			texts = append(texts, p...)
		case []any:
			for _, item := range p {
				text, ok := item.(string)
				if !ok {
					return "", nil, fmt.Errorf("%v is not a text", item)
				}
				texts = append(texts, text)
			}
		default:
			return "", nil, fmt.Errorf("%v is not a text", p)
		}
	}
	if len(texts) == 0 {
		return "", nil, errors.New("no value given")
	}
	return texts[0], texts[1:], nil
}

// functionOptions registers the functions with the expression compiler.
var functionOptions = func() []expr.Option {
	opts := make([]expr.Option, 0, len(functions))
	for _, f := range functions {
		types := []any{f.typ}
		if f.list != nil {
			types = append(types, f.list)
		}
		opts = append(opts, expr.Function(f.name, f.call, types...))
	}
	return opts
}()
