package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/cmd/custom-misp/internal/config"
	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/engine/yamlfile"
	"custom-misp/misp/mirror"
)

// lookupFlags are the flags of the verb lookup.
type lookupFlags struct {
	output string
	typ    string
	all    bool
	from   string
	where  whereFlags
}

func newLookupVerb(s cli.Streams, g *globals) *cobra.Command {
	var f lookupFlags
	cmd := &cobra.Command{
		Use:   "lookup [flags] VALUE...|-",
		Short: "Show what the mirror and MISP know about values",
		Long: `Look values up and print what matches, as it would match in an alert: with the same normal forms, networks, parent
domains and hosts of URLs. What would raise no alert is shown too, with the reason: a filter, a mute, a value that the site
ignores, which is not even asked for. With - values are read from standard input, one per line, and answers are printed as they
come. Empty lines and lines that begin with # are ignored.

lookup.policy says what is asked: the mirror, MISP itself, or both. --from names one of them.

The form of a value decides its type, and a hash is asked for as all types with as many digits. Name the type with --type where
the form does not tell it, as with file names.`,
		Example: `  custom-misp lookup 192.31.196.7 gate.bad-cdn.example
  custom-misp lookup --type filename invoice.exe
  custom-misp lookup --all --output json - < values.txt`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cli.WrongUsef("no value named; name values, or - for standard input")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return lookUpValues(cmd.Context(), s, *g, f, args) },
	}
	f.where.add(cmd)
	cmd.Flags().StringVarP(&f.typ, "type", "t", string(engine.Auto), "MISP attribute type of the values; auto: decided by their form")
	cmd.Flags().BoolVarP(&f.all, "all", "a", false, "take filters and mutes for absent: what they leave out counts as reported")
	cmd.Flags().StringVar(&f.from, "from", "", "look up only in: mirror or misp")
	_ = cmd.RegisterFlagCompletionFunc("from", cobra.FixedCompletions([]string{"mirror", "misp"}, cobra.ShellCompDirectiveNoFileComp))
	outputFlag(cmd, &f.output, "table", "table", "json")
	return cmd
}

// whereFlags are the flags that say where to look up, instead of the configuration.
type whereFlags struct{ config.Flags }

func (f *whereFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.FeedDir, "feed", "", "look up in this directory in MISP feed format")
	cmd.Flags().StringVar(&f.URL, "url", "", "address of MISP")
	cmd.Flags().StringVar(&f.KeyFile, "key-file", "", "file that holds the authentication key")
	cmd.Flags().StringVar(&f.CAFile, "ca-file", "", "certificates (PEM) to trust instead of the system's")
}

func lookUpValues(ctx context.Context, st cli.Streams, g globals, f lookupFlags, args []string) error {
	if !engine.Type(f.typ).Pickable() {
		var names []string
		for _, t := range engine.Types() {
			names = append(names, string(t))
		}
		return cli.WrongUsef("--type %q is not a MISP attribute type that can be picked; %s", f.typ,
			cmp.Or(yamlfile.DidYouMean(f.typ, names), "see custom-misp schema"))
	}
	c, err := g.configured(f.where.Flags)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	lookup, a, err := askedBy(ctx, c, f.from)
	if err != nil {
		return err
	}
	defer a.Close()
	look := valueLookup{
		lookup: lookup, suppress: a.Suppress, typ: engine.Type(f.typ), link: c.MISP.URL, links: a.Chain.Links, prevalence: a.Chain.Prevalence,
	}
	if f.all {
		look.suppress = &enrich.Suppression{Engine: a.Engine, WideNetworks: true}
	}
	defer stop() // before: questions whose answers no one waits for
	show := newLookupWriter(st, f.output)
	var unanswered unansweredValues
	failed := false
	produce := func(yield func(string) error) error {
		return apart(ctx, func(yield func(string) error) error { return inputValues(st, args, yield) }, yield)
	}
	err = enrich.InOrder(lookupWindow, produce, func(input string) lookedUp { return look.up(ctx, input) }, func(l lookedUp) error {
		if l.noForm != nil {
			failed = true
			fmt.Fprintln(st.Err, cli.Clean(fmt.Sprintf("custom-misp: %q: %v; name its type with --type", l.line.Input, l.noForm)))
			return nil //nolint:nilerr // it was printed, and the others go on
		}
		unanswered.add(l.err)
		return show.add(l)
	})
	switch err := cmp.Or(err, unanswered.report()); {
	case err != nil:
		return err
	case failed:
		return cli.ErrReported
	}
	return nil
}

// lookupWindow is how many values are looked up at the same time, in common questions.
const lookupWindow = 2000

// lookedUp is a value that was looked up.
type lookedUp struct {
	line   lookupLine
	noForm error // it has no type
	err    error // not all is known of it
}

// A valueLookup looks values up for a person, without filters, and says of each match whether it would be reported.
type valueLookup struct {
	lookup   enrich.Lookup
	suppress *enrich.Suppression
	typ      engine.Type
	link     string            // of MISP; empty for none
	links    map[string]string // of several servers, instead
	// prevalence answers what was seen of a value; nil without a history.
	prevalence func(engine.Observable) (enrich.Prevalence, bool)
}

// up looks up one value.
func (v valueLookup) up(ctx context.Context, input string) lookedUp {
	t, value, err := v.typ.Resolve(input)
	if err != nil {
		return lookedUp{line: lookupLine{Input: input}, noForm: err}
	}
	line := lookupLine{Input: input, Type: t, Value: value, Matches: []lookupMatch{}}
	if verdict := v.suppress.OfValue(engine.Observable{Type: t, Value: value}); !verdict.Reported() {
		line.NotAsked = newNotReported(verdict)
		return lookedUp{line: line}
	}
	line.Seen = v.seen(engine.Observable{Type: t, Value: value})
	matches, err := v.lookup.Lookup(ctx, typesOf(v.typ, input, unfiltered()))
	for _, m := range matches {
		line.Matches = append(line.Matches, v.match(m))
	}
	slices.SortStableFunc(line.Matches, func(a, b lookupMatch) int { return cmp.Compare(len(a.why), 0) - cmp.Compare(len(b.why), 0) })
	return lookedUp{line: line, err: err}
}

// seen returns what was seen of a value; nil if that is not known.
func (v valueLookup) seen(o engine.Observable) *lookupSeen {
	if v.prevalence == nil {
		return nil
	}
	p, ok := v.prevalence(o)
	if !ok {
		return nil
	}
	s := &lookupSeen{Count: p.Count, AgentCount: p.Agents}
	if p.Count > 0 {
		s.FirstSeen, s.LastSeen = p.First.Format(time.RFC3339), p.Last.Format(time.RFC3339)
	}
	return s
}

// unansweredValues counts the values of which it is not known whether they are known, by the reason.
type unansweredValues struct {
	all     int
	reasons []error
	count   map[string]int
}

func (u *unansweredValues) add(err error) {
	u.all++
	if err == nil {
		return
	}
	if u.count == nil {
		u.count = map[string]int{}
	}
	text := err.Error()
	if u.count[text]++; u.count[text] == 1 {
		u.reasons = append(u.reasons, err)
	}
}

// report returns an error with a line for each reason; nil if all values were answered.
func (u *unansweredValues) report() error {
	var errs []error
	for _, err := range u.reasons {
		switch n := u.count[err.Error()]; {
		case isPart(err):
			errs = append(errs, fmt.Errorf("not all is known of these values: %w", err))
		case u.all == 1:
			errs = append(errs, err)
		default:
			errs = append(errs, fmt.Errorf("%d of %s could not be answered: %w", n, cli.Plural(u.all, "value"), err))
		}
	}
	return errors.Join(errs...)
}

// isPart reports whether an answer is a part of what is known, since a source of the mirror is damaged, or a server did not
// answer.
func isPart(err error) bool {
	_, damaged := errors.AsType[*mirror.DamagedError](err)
	_, unasked := errors.AsType[*enrich.UnaskedError](err)
	return damaged || unasked
}

// everyone is a Lookup that asks several others, all of them. Beside an error about a damaged mirror, it returns what the
// others know, and the rest of the mirror. Matches that do not say whose knowledge they are get the
// name of the one who was asked.
type everyone []namedLookup

type namedLookup struct {
	lookup enrich.Lookup
	name   string
}

// Lookup implements enrich.Lookup.
func (e everyone) Lookup(ctx context.Context, observables []engine.Observable) ([]enrich.Match, error) {
	var all []enrich.Match
	var damaged error
	for _, l := range e {
		matches, err := l.lookup.Lookup(ctx, observables)
		if err != nil && !isPart(err) {
			return nil, err
		}
		damaged = cmp.Or(damaged, err)
		for _, m := range matches {
			if m.Attribute.Origin == "" {
				mine := *m.Attribute
				mine.Origin = l.name
				m.Attribute = &mine
			}
			all = append(all, m)
		}
	}
	return all, damaged
}

// askedBy returns what is asked for a person: what is named, else all that the policy names. ctx bounds questions to MISP.
func askedBy(ctx context.Context, configured *config.Config, from string) (_ enrich.Lookup, built *app.App, err error) {
	c := *configured
	switch from {
	case "":
	case "mirror":
		c.Lookup.Policy = config.PolicyMirror
	case "misp":
		c.Lookup.Policy, c.Sources.Dirs = config.PolicyLive, nil
	default:
		return askedServer(ctx, c, from)
	}
	c.Sightings.Enabled = false // a person who looks has not seen
	a, err := app.Build(&c, app.Hooks{Join: ctx})
	if a == nil || err != nil {
		return nil, nil, err
	}
	var asked everyone
	if a.Mirror != nil {
		asked = append(asked, namedLookup{a.Mirror, ""})
	}
	if a.Live != nil {
		asked = append(asked, namedLookup{a.Live, map[bool]string{true: "live", false: "feed"}[c.FeedDir == ""]})
	}
	return a.Warned(asked), a, nil
}

// askedServer returns one of several MISP servers to ask for a person.
func askedServer(ctx context.Context, c config.Config, name string) (everyone, *app.App, error) {
	servers, err := app.Servers(&c)
	if err != nil {
		return nil, nil, err
	}
	i := slices.IndexFunc(servers, func(s app.Server) bool { return s.Name == name })
	if i < 0 {
		names := []string{"mirror", "misp"}
		for _, s := range servers {
			if s.Declared() {
				names = append(names, s.Name)
			}
		}
		return nil, nil, cli.WrongUsef("--from %q is unknown; use %s", name, strings.Join(names, " or "))
	}
	c.Lookup.Policy, c.Sightings.Enabled = config.PolicyLive, false
	a, err := app.Build(&c, app.Hooks{Join: ctx})
	if a == nil {
		return nil, nil, err
	}
	if asked, ok := a.Live.(enrich.Servers); ok {
		return everyone{{asked[i].Lookup, name}}, a, nil
	}
	return nil, a, err
}

// unfiltered is a filter that lets everything through, whatever is configured.
func unfiltered() *engine.Filter {
	return &engine.Filter{
		ToIDs: new(false), Published: new(false), Warninglists: new(false), MaxAge: new(engine.Age(0)), MinDecayScore: new(0),
		MinThreatLevel: "undefined", Tags: []string{}, ExcludeTags: []string{}, Orgs: []string{}, ExcludeOrgs: []string{},
		MatchKinds: []engine.MatchKind{}, Expired: engine.ExpiredReport,
	}
}

// inputValues yields the values that are asked for; those of standard input as they come.
func inputValues(st cli.Streams, args []string, yield func(string) error) error {
	for _, arg := range args {
		if arg != "-" {
			if err := yield(arg); err != nil {
				return err
			}
			continue
		}
		in := bufio.NewScanner(st.In)
		in.Buffer(nil, 2*engine.MaxValue)
		for in.Scan() {
			if v := strings.TrimSpace(in.Text()); v != "" && !strings.HasPrefix(v, "#") {
				if err := yield(v); err != nil {
					return err
				}
			}
		}
		if err := in.Err(); err != nil {
			return fmt.Errorf("standard input: %w", err)
		}
	}
	return nil
}
