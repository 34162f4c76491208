package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/user"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/cmd/custom-misp/internal/config"
	"custom-misp/engine"
	"custom-misp/engine/enrich"
)

// muteFlags are the flags of the verbs mute and unmute.
type muteFlags struct {
	network, domain, event, source string
	until, reason                  string
	tell                           bool
}

// addTarget adds the flags that say what is muted.
func (f *muteFlags) addTarget(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.network, "network", "", "addresses in this network, like 192.0.2.0/24, instead of a value")
	cmd.Flags().StringVar(&f.domain, "domain", "", "this domain and all names below it")
	cmd.Flags().StringVar(&f.event, "event", "", "all attributes of the MISP event with this UUID")
	cmd.Flags().StringVar(&f.source, "source", "", "all that this source knows, by its name in misp.origin; misp for MISP itself")
}

// target returns the mute that arguments and flags name.
func (f muteFlags) target(args []string) (enrich.Mute, error) {
	m := enrich.Mute{Network: f.network, Domain: f.domain, Event: f.event, Source: f.source, Reason: "-"}
	if len(args) > 1 {
		return m, cli.WrongUsef("name one value, and use quotes if it has blanks")
	}
	if len(args) == 1 {
		m.Value = strings.TrimSpace(args[0])
	}
	if err := m.Check(); err != nil {
		return m, cli.WrongUsef("%w; name a value, or one of --network, --domain, --event, --source", err)
	}
	m.Reason = f.reason
	return m, nil
}

func newMute(s cli.Streams, g *globals) *cobra.Command {
	var f muteFlags
	cmd := &cobra.Command{
		Use:   "mute [flags] VALUE --reason TEXT",
		Short: "Do not report hits on a value, a network, a domain, a MISP event or a source any more",
		Long: `Do not report hits on a value any more, or on a network, a domain with the names below it, a MISP event or a source. The mute is
written to mutes.file, with who, when and why. It has effect at once in calls and look-ups, and within two seconds in serve.
Another mute of the same replaces it.

--tell-misp also reports to MISP that the value is a false positive, once for each of its attributes. Others see that.`,
		Example: `  sudo custom-misp mute 192.0.2.7 --reason "our scanner"
  sudo custom-misp mute --domain cdn.example --until 2026-12-31 --reason "shared by thousands of sites, ticket 4711"
  sudo custom-misp mute --event 5f8b0c1e-4c3c-4a1b-9d6d-000000000000 --reason "noise" --until never
  custom-misp mute list`,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := g.installed()
			if err != nil {
				return err
			}
			return mute(cmd.Context(), s, c, f, args)
		},
	}
	f.addTarget(cmd)
	cmd.Flags().StringVar(&f.until, "until", "30d", "last day, like 2026-12-31, or how long, like 90d, or never")
	cmd.Flags().StringVar(&f.reason, "reason", "", "why, for those who come after you")
	cmd.Flags().BoolVar(&f.tell, "tell-misp", false, "report to MISP that the value is a false positive")
	cmd.AddCommand(newMuteList(s, g))
	return cmd
}

func newMuteList(s cli.Streams, g *globals) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use: "list", Short: "Show what is muted", Args: noArguments,
		Long:    "Show what is muted, until when, by whom and why. Mutes that have ended are marked: unmute removes them.",
		Example: "  custom-misp mute list --output json",
		RunE: func(*cobra.Command, []string) error {
			c, err := g.installed()
			if err != nil {
				return err
			}
			return listMutes(s.Out, c, output)
		},
	}
	outputFlag(cmd, &output, "table", "table", "json")
	return cmd
}

func newUnmute(s cli.Streams, g *globals) *cobra.Command {
	var f muteFlags
	var expired bool
	cmd := &cobra.Command{
		Use:   "unmute [flags] VALUE",
		Short: "Report hits again that were muted",
		Long:  "Report hits again that were muted: by the value, or what a flag names. --expired removes all mutes that have ended.",
		Example: `  sudo custom-misp unmute 192.0.2.7
  sudo custom-misp unmute --domain cdn.example
  sudo custom-misp unmute --expired`,
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := g.installed()
			if err != nil {
				return err
			}
			return unmute(s.Out, c, f, args, expired)
		},
	}
	f.addTarget(cmd)
	cmd.Flags().BoolVar(&expired, "expired", false, "remove all mutes that have ended")
	return cmd
}

// untilOf reads --until.
func untilOf(s string, now time.Time) (time.Time, error) {
	if s == "never" {
		return time.Time{}, nil
	}
	t, err := app.ParseDate(s)
	if age, aerr := engine.ParseAge(s); aerr == nil && age > 0 {
		return now.Add(time.Duration(age)).UTC().Truncate(24*time.Hour).AddDate(0, 0, 1), nil
	}
	switch {
	case err != nil:
		return t, cli.WrongUsef("--until %q is neither a day like 2026-12-31, nor a time like 90d, nor never", s)
	case !t.After(now):
		return t, cli.WrongUsef("--until %s is in the past", s)
	}
	return t, nil
}

// author returns who runs this: who became root by sudo, if that is known.
func author() string {
	if name := os.Getenv("SUDO_USER"); name != "" {
		return name
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "unknown"
}

func mute(ctx context.Context, st cli.Streams, c *config.Config, f muteFlags, args []string) error {
	now := time.Now()
	m, err := f.target(args)
	if err != nil {
		return err
	}
	if err := m.Check(); err != nil {
		return cli.WrongUsef("%w, with --reason", err)
	}
	if f.tell && m.Value == "" {
		return cli.WrongUsef("--tell-misp needs a value: MISP takes a false positive for an attribute, not for %s", m.Target())
	}
	if m.Until, err = untilOf(f.until, now); err != nil {
		return err
	}
	m.Author, m.Since = author(), now.UTC().Truncate(time.Second)
	replaced := ""
	err = app.ChangeMutes(c, func(list []enrich.Mute) ([]enrich.Mute, []int, error) {
		var remove []int
		for i, old := range list {
			if old.SameTarget(m) {
				m.Told, replaced = m.Told || old.Told, old.String()
				remove = append(remove, i)
			}
		}
		return []enrich.Mute{m}, remove, nil
	})
	if err != nil {
		return err
	}
	fmt.Fprintln(st.Out, cli.Clean("muted: "+m.String()))
	if replaced != "" {
		fmt.Fprintln(st.Out, cli.Clean("previous mute: "+replaced))
	}
	if !f.tell {
		return nil
	}
	return tellMISP(ctx, st, c, m)
}

// tellMISP reports the attributes with a value as false positives, once, and writes that down.
func tellMISP(ctx context.Context, st cli.Streams, c *config.Config, m enrich.Mute) error {
	if m.Told {
		fmt.Fprintln(st.Out, "MISP was told before")
		return nil
	}
	servers, err := app.Servers(c)
	if err != nil {
		return err
	}
	all := 0
	var errs []error
	for _, server := range servers {
		n, err := tellServer(ctx, st, c, server, m)
		if err != nil && app.Several(servers) {
			err = fmt.Errorf("MISP server %s: %w", server.Name, err)
		}
		if errs = append(errs, err); err != nil || n == 0 && app.Several(servers) {
			continue
		}
		all += n
		name := "MISP"
		if app.Several(servers) {
			name += " server " + server.Name
		}
		if n > 0 {
			fmt.Fprintf(st.Out, "%s was told that %s false positive\n", name, map[bool]string{true: "1 attribute is a", false: fmt.Sprintf("%d attributes are a", n)}[n == 1])
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if all == 0 {
		fmt.Fprintln(st.Out, "MISP does not know this value itself, so it is not told")
		return nil
	}
	return app.ChangeMutes(c, func(list []enrich.Mute) ([]enrich.Mute, []int, error) {
		for i, old := range list {
			if old.SameTarget(m) {
				old.Told = true
				return []enrich.Mute{old}, []int{i}, nil
			}
		}
		return nil, nil, nil
	})
}

// tellServer reports the attributes that a server has with a value as false positives, and returns how many these are.
func tellServer(ctx context.Context, st cli.Streams, c *config.Config, server app.Server, m enrich.Mute) (n int, err error) {
	client, err := app.ClientOf(c, server, server.Timeout, cli.NewLog(st.Err, slog.LevelWarn, false))
	if err != nil {
		return 0, err
	}
	defer client.Close()
	found, err := client.Lookup(ctx, typesOf(engine.Auto, m.Value, unfiltered()))
	if err != nil {
		return 0, fmt.Errorf("the mute has effect, and MISP is not told: %w", err)
	}
	told := map[string]bool{}
	for _, match := range found {
		id := match.Attribute.UUID
		if match.Kind != engine.MatchExact || id == "" || told[id] {
			continue
		}
		if err := client.Sight(ctx, enrich.Sighting{UUID: id, Source: c.Sightings.Source, Time: m.Since, FalsePositive: true}); err != nil {
			return len(told), fmt.Errorf("the value is muted, but only %s were reported to MISP; run the same command with --tell-misp again: %w", cli.Plural(len(told), "attribute"), err)
		}
		told[id] = true
	}
	return len(told), nil
}

// typesOf returns what a value is looked up as: for a hash, all types of hashes with as many digits, if auto is to decide.
func typesOf(typ engine.Type, input string, filter *engine.Filter) []engine.Observable {
	t, value, err := typ.Resolve(input)
	if err != nil {
		return nil
	}
	types := []engine.Type{t}
	if typ == engine.Auto {
		types = t.SameForm()
	}
	var all []engine.Observable
	for _, t := range types {
		all = append(all, engine.Observable{Type: t, Value: value, Filter: filter})
	}
	return all
}

func unmute(w io.Writer, c *config.Config, f muteFlags, args []string, expired bool) error {
	var m enrich.Mute
	if !expired {
		var err error
		if m, err = f.target(args); err != nil {
			return err
		}
	}
	now := time.Now()
	var removed []enrich.Mute
	err := app.ChangeMutes(c, func(list []enrich.Mute) ([]enrich.Mute, []int, error) {
		var remove []int
		for i, old := range list {
			if expired && old.Expired(now) || !expired && old.SameTarget(m) {
				remove, removed = append(remove, i), append(removed, old)
			}
		}
		if len(remove) == 0 && !expired {
			return nil, nil, fmt.Errorf("%s is not muted; see custom-misp mute list", m.Target())
		}
		return nil, remove, nil
	})
	if err != nil {
		return err
	}
	for _, old := range removed {
		fmt.Fprintln(w, cli.Clean("no longer muted: "+old.String()))
	}
	return nil
}

// mutedLine is a mute in JSON.
type mutedLine struct {
	Kind    string    `json:"kind"`
	Target  string    `json:"target"`
	Reason  string    `json:"reason"`
	Author  string    `json:"author,omitempty"`
	Since   time.Time `json:"since,omitzero"`
	Until   time.Time `json:"until,omitzero"`
	Expired bool      `json:"expired"`
	Told    bool      `json:"told_misp"`
}

func listMutes(w io.Writer, c *config.Config, output string) error {
	mutes, err := app.Mutes(c)
	if err != nil {
		return err
	}
	now := time.Now()
	list := mutes.List()
	if output == "json" {
		lines := []mutedLine{}
		for _, m := range list {
			kind, target, _ := strings.Cut(m.Target(), " ")
			lines = append(lines, mutedLine{kind, target, m.Reason, m.Author, m.Since, m.Until, m.Expired(now), m.Told})
		}
		return cli.WriteJSON(w, lines)
	}
	if len(list) == 0 {
		_, err := fmt.Fprintln(w, "nothing is muted")
		return err
	}
	table := cli.NewTable(w, "MUTED", "UNTIL", "BY", "REASON")
	for _, m := range list {
		until := cmp.Or(m.LastDay(), "for ever")
		if m.Expired(now) {
			until += " (ended)"
		}
		table.Row(m.Target(), until, cmp.Or(m.Author, "-"), m.Reason)
	}
	return table.Flush()
}
