package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
)

func newSpoolVerb(s streams, g *globalFlags) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "spool",
		Short: "Show what is held for later, work on it, try again what was set aside",
		Long: `Show the alerts that wait for MISP, the events that wait for Wazuh's queue, what was set aside because it failed
too often, and the present or last outage of both.

Every call by integratord takes held entries along, so there is nothing to do after an outage. "drain" does it at
once, for when no alerts come in.`,
		Example: `  custom-misp spool
  sudo custom-misp spool drain
  sudo custom-misp spool retry`,
		Args: noArguments,
		RunE: func(*cobra.Command, []string) error {
			i := readInstallation(*g)
			if i.settingsErr != nil {
				return i.settingsErr
			}
			return showSpool(s.out, i.s, output)
		},
	}
	outputFlag(cmd, &output, "table", "table", "json")
	cmd.AddCommand(
		&cobra.Command{
			Use: "drain", Short: "Look up held alerts and send held events now", Args: noArguments,
			Long: "Look up held alerts and send held events now, until none is left. Exit code 1 if some are.\n" +
				"As root it becomes the user of Wazuh. The settings are those that integratord would give.",
			Example: "  sudo custom-misp spool drain",
			RunE:    func(cmd *cobra.Command, _ []string) error { return drainSpool(cmd.Context(), *g, s) },
		},
		&cobra.Command{
			Use: "retry", Short: "Put back what was set aside, to be tried again", Args: noArguments,
			Example: "  sudo custom-misp spool retry",
			RunE:    func(*cobra.Command, []string) error { return retrySpool(*g, s.out) },
		},
	)
	return cmd
}

func showSpool(w io.Writer, s *settings, output string) error {
	spool := newSpool(s)
	depth, err := spool.Depth()
	if err != nil {
		return err
	}
	aside, err := spool.Aside()
	if err != nil {
		return err
	}
	ofMISP, ofQueue := outageFiles(s)
	shown := struct {
		Dir string `json:"dir"`
		enrich.Depth
		SetAside []enrich.Outcast `json:"set_aside"`
		MISP     *enrich.Outage   `json:"misp_outage"`
		Queue    *enrich.Outage   `json:"queue_outage"`
	}{spool.Dir, depth, append([]enrich.Outcast{}, aside...), lastOutage(ofMISP), lastOutage(ofQueue)}
	if output == "json" {
		return writeJSON(w, shown)
	}
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintf(t, "spool\t%s\n", spool.Dir)
	fmt.Fprintf(t, "alerts held\t%d\n", depth.Alerts)
	fmt.Fprintf(t, "events held\t%d\n", depth.Events)
	if !depth.Oldest.IsZero() {
		fmt.Fprintf(t, "oldest\t%s\n", depth.Oldest.UTC().Format(time.RFC3339))
	}
	fmt.Fprintf(t, "set aside\t%d\n", depth.Aside)
	fmt.Fprintf(t, "MISP\t%s\n", describeOutage(shown.MISP))
	fmt.Fprintf(t, "queue\t%s\n", describeOutage(shown.Queue))
	for _, o := range aside {
		fmt.Fprintf(t, "%s\t%s\n", o.File, oneLine(o.Reason))
	}
	return t.Flush()
}

// lastOutage returns nil if there was none, or if it is not known.
func lastOutage(f enrich.OutageFile) *enrich.Outage {
	o, err := f.Load()
	if err != nil || o.Since.IsZero() {
		return nil
	}
	return &o
}

func describeOutage(o *enrich.Outage) string {
	switch {
	case o == nil:
		return "no outage known"
	case o.Away():
		return fmt.Sprintf("away since %s: %s", o.Since.UTC().Format(time.RFC3339), oneLine(o.Description))
	case o.Lasts():
		return fmt.Sprintf("back since %s, %d of %d done", o.Answered.UTC().Format(time.RFC3339), o.Processed, o.Held)
	}
	return fmt.Sprintf("last away from %s to %s (%s), %d held, %d processed, %d dropped", o.Since.UTC().Format(time.RFC3339),
		o.Until.UTC().Format(time.RFC3339), o.Code, o.Held, o.Processed, o.Dropped)
}

// drainSpool works on held entries until none is left or none can be done.
func drainSpool(ctx context.Context, g globalFlags, st streams) error {
	if err := becomeWazuh(findHome(g.home)); err != nil {
		return err
	}
	i := readInstallation(g)
	if i.settingsErr != nil {
		return i.settingsErr
	}
	s := i.s
	sources, err := mappingSources(s, nil)
	if err != nil {
		return err
	}
	e, err := engine.Load(sources...)
	if err != nil {
		printFaults(st.err, err) // the mappings of the other files do their work all the same
	}
	if e, err = forSite(s, e); err != nil {
		return err
	}
	log := slog.New(newWazuhHandler(st.err, slog.LevelWarn))
	lookup, err := newLookup(s, log)
	if err != nil {
		return err
	}
	d := newDurable(s, e, lookup, log)
	d.DrainTime = drainTimeout // no call waits for it
	var all enrich.Drained
	for {
		done := d.Drain(ctx)
		all.Events, all.Alerts, all.Sent, all.SetAside = all.Events+done.Events, all.Alerts+done.Alerts, all.Sent+done.Sent, all.SetAside+done.SetAside
		if done == (enrich.Drained{}) || ctx.Err() != nil {
			break
		}
	}
	fmt.Fprintf(st.out, "%s looked up, %s found; %s sent; %d set aside\n", plural(all.Alerts, "held alert"), plural(all.Sent, "hit"),
		plural(all.Events, "held event"), all.SetAside)
	depth, err := d.Spool.Depth()
	if err != nil {
		return err
	}
	if left := depth.Alerts + depth.Events; left > 0 {
		return fmt.Errorf("%s still held: %s; see custom-misp doctor", plural(left, "entry"), describeOutage(lastOutage(d.MISP)))
	}
	return nil
}

func retrySpool(g globalFlags, w io.Writer) error {
	if err := becomeWazuh(findHome(g.home)); err != nil {
		return err
	}
	i := readInstallation(g)
	if i.settingsErr != nil {
		return i.settingsErr
	}
	spool, err := newSpool(i.s).Open()
	if err != nil {
		return err
	}
	n := 0
	if spool != nil {
		defer spool.Close() //nolint:errcheck // the lock ends with the process
		if n, err = spool.Retry(); err != nil {
			return err
		}
	} else if depth, err := newSpool(i.s).Depth(); err != nil || depth.Aside > 0 {
		return errors.New("a call is working on the spool; try again in a moment")
	}
	fmt.Fprintf(w, "%s put back; the next call tries them, or custom-misp spool drain\n", plural(n, "entry"))
	return nil
}
