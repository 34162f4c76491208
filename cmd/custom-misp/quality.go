package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/cmd/custom-misp/internal/config"
)

func newQuality(s cli.Streams, g *globals) *cobra.Command {
	var output, by string
	var days int
	cmd := &cobra.Command{
		Use:   "quality [flags]",
		Short: "Show which sources and MISP events have hits, and how many of them are muted",
		Long: `Show what became of the hits of each source, or of each MISP event, in the last days: how many raised an event, were repeats
of one, or were muted. What is muted most comes first. serve counts them, and saves the counts every minute; calls that do not
leave their alert to serve are not counted.`,
		Example: `  custom-misp quality
  custom-misp quality --by event --days 7`,
		Args: noArguments,
		RunE: func(*cobra.Command, []string) error {
			switch {
			case by != "source" && by != "event":
				return cli.WrongUsef("--by %q is unknown; use source or event", by)
			case days < 1 || days > app.QualityDays:
				return cli.WrongUsef("--days %d: a number from 1 to %d", days, app.QualityDays)
			}
			c, err := g.installed()
			if err != nil {
				return err
			}
			return showQuality(s.Out, c, days, by == "event", output)
		},
	}
	cmd.Flags().StringVar(&by, "by", "source", "a line for each: source or event")
	cmd.Flags().IntVar(&days, "days", app.QualityDays, "how many days, today included")
	_ = cmd.RegisterFlagCompletionFunc("by", cobra.FixedCompletions([]string{"source", "event"}, cobra.ShellCompDirectiveNoFileComp))
	outputFlag(cmd, &output, "table", "table", "json")
	return cmd
}

func showQuality(w io.Writer, c *config.Config, days int, byEvent bool, output string) error {
	rows, err := app.ReadQuality(c, time.Now, days, byEvent)
	if err != nil {
		return err
	}
	if output == "json" {
		return cli.WriteJSON(w, rows)
	}
	if len(rows) == 0 {
		_, err := fmt.Fprintf(w, "no hits in %s; serve counts them\n", cli.Plural(days, "day"))
		return err
	}
	headers := []string{"SOURCE", "HITS", "REPORTED", "REPEATS", "MUTED"}
	if byEvent {
		headers = append(headers, "EVENT", "INFO")
	}
	table := cli.NewTable(w, headers...)
	for _, r := range rows {
		cells := []any{r.Source, r.All(), r.Hits, r.Repeats, fmt.Sprintf("%d (%d %%)", r.Mutes, 100*r.Mutes/max(1, r.All()))}
		if byEvent {
			cells = append(cells, r.Event, shortened(r.Info, 30))
		}
		table.Row(cells...)
	}
	return table.Flush()
}
