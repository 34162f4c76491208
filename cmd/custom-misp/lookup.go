package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/engine/yamlfile"
)

// lookupFlags are the flags of the verb lookup.
type lookupFlags struct {
	output string
	typ    string
	all    bool
	from   string
	where  lookupPlace
}

func newLookupVerb(s streams, g *globalFlags) *cobra.Command {
	var f lookupFlags
	cmd := &cobra.Command{
		Use:   "lookup [flags] VALUE...|-",
		Short: "Show what the mirror and MISP know about values",
		Long: `Look values up and print what matches them as it would match in an alert: the same normal forms, networks, parent
domains and hosts of URLs, and the configured filters. With - the values are read from standard input, one a line;
empty lines and what begins with # do not matter.

Asked are the mirror, MISP itself, or both, as lookup.policy says; --from names one of them.

The form of a value decides its type; --type says it for those that have none, like names of files.`,
		Example: `  custom-misp lookup 192.31.196.7 gate.bad-cdn.example
  custom-misp lookup --type filename invoice.exe
  custom-misp lookup --all --output json - < values.txt`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return wrongUsef("no value named; name values, or - for standard input")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return lookUpValues(cmd.Context(), s, *g, f, args) },
	}
	f.where.flags(cmd)
	cmd.Flags().StringVarP(&f.typ, "type", "t", string(engine.Auto), "MISP attribute type of the values")
	cmd.Flags().BoolVarP(&f.all, "all", "a", false, "whatever the filters: attributes that are not for detection, unpublished, on warninglists, old, of any tag")
	cmd.Flags().StringVar(&f.from, "from", "", "whom to ask: mirror or misp")
	_ = cmd.RegisterFlagCompletionFunc("from", cobra.FixedCompletions([]string{"mirror", "misp"}, cobra.ShellCompDirectiveNoFileComp))
	outputFlag(cmd, &f.output, "table", "table", "json")
	return cmd
}

// lookupPlace are the flags that say where to look up, instead of the configuration.
type lookupPlace struct {
	paths map[string]*string // option key → value of its flag
}

func (p *lookupPlace) flags(cmd *cobra.Command) {
	p.paths = map[string]*string{}
	flag := func(name, key, help string) {
		p.paths[key] = cmd.Flags().String(name, "", help)
	}
	flag("feed", "feed.dir", "directory in MISP feed format to look up in")
	flag("url", "misp.url", "address of MISP")
	flag("key-file", "misp.key_file", "file with the authentication key")
	flag("ca-file", "misp.ca_file", "certificates (PEM) to trust instead of the system's")
}

// given returns the values of the flags that were set, by option key. Paths on a command line count from where
// the user is.
func (p lookupPlace) given() (map[string]any, error) {
	values := map[string]any{}
	for key, v := range p.paths {
		if *v == "" {
			continue
		}
		o, _ := findOption(key)
		parsed, err := o.parse([]string{*v})
		if err != nil {
			return nil, wrongUsef("%s: %w", key, err)
		}
		values[key] = parsed
		if o.kind == kindPath {
			abs, err := filepath.Abs(*v)
			if err != nil {
				return nil, wrongUse{err}
			}
			values[key] = abs
		}
	}
	if values["misp.url"] != nil || values["feed.dir"] != nil {
		values["lookup.policy"] = policyLive
	}
	if _, asked := values["misp.url"]; asked && values["feed.dir"] == nil {
		values["feed.dir"] = ""
	} else if asked {
		return nil, wrongUsef("--feed and --url exclude each other")
	}
	return values, nil
}

// lookupLine is what is known about one value, in JSON.
type lookupLine struct {
	Input   string        `json:"input"`
	Type    engine.Type   `json:"type"`
	Value   string        `json:"value"` // in normal form
	Matches []lookupMatch `json:"matches"`
}

type lookupMatch struct {
	Kind         engine.MatchKind `json:"match_kind"`
	UUID         string           `json:"uuid"`
	Type         engine.Type      `json:"type"`
	Value        string           `json:"value"`
	Category     string           `json:"category"`
	Comment      string           `json:"comment,omitempty"`
	ToIDs        bool             `json:"to_ids"`
	Timestamp    string           `json:"timestamp,omitempty"`
	Tags         []string         `json:"tags"`
	Warninglists []string         `json:"warninglists,omitempty"`
	Origin       string           `json:"origin"` // who knows it: "live" for MISP asked now, "misp" for the mirror of it, "feed" for feed.dir, or a name
	Event        lookupEvent      `json:"event"`
}

type lookupEvent struct {
	ID          string `json:"id"`
	UUID        string `json:"uuid"`
	Info        string `json:"info"`
	Org         string `json:"org"`
	ThreatLevel string `json:"threat_level,omitempty"`
	Date        string `json:"date,omitempty"`
	Published   bool   `json:"published"`
}

func lookUpValues(ctx context.Context, st streams, g globalFlags, f lookupFlags, args []string) error {
	if !engine.Type(f.typ).Pickable() {
		var names []string
		for _, t := range engine.Types() {
			names = append(names, string(t))
		}
		return wrongUsef("--type %q is not a MISP attribute type that can be picked; %s", f.typ,
			cmp.Or(yamlfile.DidYouMean(f.typ, names), "see custom-misp schema"))
	}
	given, err := f.where.given()
	if err != nil {
		return err
	}
	s, err := loadSettings(g, nil, given)
	if err != nil {
		return err
	}
	filter := (*engine.Filter)(nil)
	if f.all {
		filter = unfiltered()
	}
	lookup, err := askedByHand(s, f.from)
	if err != nil {
		return err
	}
	inputs, err := inputValues(st, args)
	if err != nil {
		return err
	}
	failed := false
	var lines []lookupLine
	var observables []engine.Observable
	for _, input := range inputs {
		t, value, err := engine.Type(f.typ).Resolve(input)
		if err != nil {
			failed = true
			fmt.Fprintf(st.err, "custom-misp: %q: %v; name its type with --type\n", input, err)
			continue
		}
		lines = append(lines, lookupLine{Input: input, Type: t, Value: value, Matches: []lookupMatch{}})
		observables = append(observables, engine.Observable{Type: t, Value: value, Filter: filter})
	}
	if len(observables) > 0 {
		ctx, cancel := context.WithTimeout(ctx, s.duration("timeout"))
		defer cancel()
		matches, err := lookup.Lookup(ctx, observables)
		if err != nil {
			return err
		}
		for i := range lines {
			for _, m := range matches {
				if m.Observable.Indicator() == observables[i].Indicator() {
					lines[i].Matches = append(lines[i].Matches, newLookupMatch(m))
				}
			}
		}
	}
	if err := writeLookup(st, lines, f.output); err != nil {
		return err
	}
	if failed {
		return errSilent
	}
	return nil
}

// everyone is a Lookup that asks several others, all of them. Matches that do not say whose knowledge they are get the
// name of the one who was asked.
type everyone []namedLookup

type namedLookup struct {
	lookup enrich.Lookup
	name   string
}

// Lookup implements enrich.Lookup.
func (e everyone) Lookup(ctx context.Context, observables []engine.Observable) ([]enrich.Match, error) {
	var all []enrich.Match
	for _, l := range e {
		matches, err := l.lookup.Lookup(ctx, observables)
		if err != nil {
			return nil, err
		}
		for _, m := range matches {
			m.Attribute.Origin = cmp.Or(m.Attribute.Origin, l.name)
			all = append(all, m)
		}
	}
	return all, nil
}

// askedByHand returns who is asked for a person: the one who is named, else all that the policy speaks of.
func askedByHand(s *settings, from string) (enrich.Lookup, error) {
	policy := s.text("lookup.policy")
	var asked everyone
	switch from {
	case "", "mirror", "misp":
	default:
		return nil, wrongUsef("--from %q is unknown; use mirror or misp", from)
	}
	if from == "mirror" || from == "" && policy != policyLive {
		m, err := newMirror(s)
		if err != nil {
			return nil, err
		}
		asked = append(asked, namedLookup{m, ""})
	}
	if from == "misp" || from == "" && policy != policyMirror {
		live, err := newLive(s, quietly())
		if err != nil {
			return nil, err
		}
		name := "live"
		if s.path("feed.dir") != "" {
			name = "feed"
		}
		asked = append(asked, namedLookup{live, name})
	}
	return asked, nil
}

// unfiltered is a filter that lets everything through, whatever is configured.
func unfiltered() *engine.Filter {
	return &engine.Filter{
		ToIDs: new(false), Published: new(false), Warninglists: new(false), MaxAge: new(engine.Age(0)), MinDecayScore: new(0),
		MinThreatLevel: "undefined", Tags: []string{}, ExcludeTags: []string{}, Orgs: []string{}, ExcludeOrgs: []string{},
		MatchKinds: []engine.MatchKind{},
	}
}

// inputValues returns the values that are asked for.
func inputValues(st streams, args []string) ([]string, error) {
	var values []string
	for _, arg := range args {
		if arg != "-" {
			values = append(values, arg)
			continue
		}
		in := bufio.NewScanner(st.in)
		in.Buffer(nil, 2*engine.MaxValue)
		for in.Scan() {
			if v := strings.TrimSpace(in.Text()); v != "" && !strings.HasPrefix(v, "#") {
				values = append(values, v)
			}
		}
		if err := in.Err(); err != nil {
			return nil, fmt.Errorf("standard input: %w", err)
		}
	}
	return values, nil
}

func newLookupMatch(m enrich.Match) lookupMatch {
	a := m.Attribute
	l := lookupMatch{
		Kind: m.Kind, UUID: a.UUID, Type: engine.Type(a.Type), Value: a.Value, Category: a.Category, Comment: a.Comment, ToIDs: a.ToIDs,
		Tags: append([]string{}, a.Tags...), Warninglists: a.Warninglists, Origin: a.Origin,
		Event: lookupEvent{
			ID: a.Event.ID, UUID: a.Event.UUID, Info: a.Event.Info, Org: a.Event.Org, ThreatLevel: a.Event.ThreatLevel.String(),
			Date: a.Event.Date, Published: a.Event.Published,
		},
	}
	if !a.Timestamp.IsZero() {
		l.Timestamp = a.Timestamp.UTC().Format(time.RFC3339)
	}
	return l
}

func writeLookup(st streams, lines []lookupLine, output string) error {
	if output == "json" {
		enc := json.NewEncoder(st.out)
		enc.SetEscapeHTML(false)
		for _, l := range lines {
			if err := enc.Encode(l); err != nil {
				return err
			}
		}
		return nil
	}
	table := tabwriter.NewWriter(st.out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "VALUE\tTYPE\tMATCH\tATTRIBUTE\tTO_IDS\tTHREAT\tORG\tDATE\tORIGIN\tEVENT")
	for _, l := range lines {
		if len(l.Matches) == 0 {
			fmt.Fprintf(table, "%s\t%s\tnot known\n", cleanCell(l.Value), l.Type)
		}
		for _, m := range l.Matches {
			fmt.Fprintf(table, "%s\t%s\t%s\t%s %s\t%t\t%s\t%s\t%s\t%s\t%s\n", cleanCell(l.Value), l.Type, m.Kind, m.Type, cleanCell(m.Value), m.ToIDs,
				m.Event.ThreatLevel, cleanCell(m.Event.Org), m.Event.Date, m.Origin, cleanCell(m.Event.Info))
		}
	}
	return table.Flush()
}
