package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/cmd/custom-misp/internal/config"
	"custom-misp/engine/history"
)

// maxSeen is how many values seen prints of one network or domain.
const maxSeen = 1000

func newSeen(s cli.Streams, g *globals) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "seen [flags] VALUE|NETWORK|DOMAIN...|-",
		Short: "Show whether values were seen here: since when, how often, on which agents",
		Long: `Show what the history knows of values: since when each was seen, in how many alerts, on which agents, and the last alert. A
network stands for its addresses, a domain for itself and all names below it. With - values are read from standard input, one per
line. The history is read from its files, whether serve runs or not; what serve saw within the last second may be missing. Who
asked for what is logged. Exit code 1 if nothing was seen.`,
		Example: `  sudo custom-misp seen 192.31.196.7
  sudo custom-misp seen 192.31.196.0/24 bad-cdn.example
  sudo custom-misp seen --output json - < indicators.txt`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cli.WrongUsef("no value named; name values, networks or domains, or - for standard input")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return showSeen(cmd.Context(), s, *g, output, args) },
	}
	outputFlag(cmd, &output, "table", "table", "json")
	return cmd
}

func showSeen(ctx context.Context, st cli.Streams, g globals, output string, args []string) error {
	caller := author()
	c, err := g.installed()
	if err != nil {
		return err
	}
	v, err := openHistory(c)
	if err != nil {
		return err
	}
	defer v.Close()
	log, closeLog := app.OpenLog(c, st.Err, st.Err)
	defer closeLog()
	some := false
	asked := func(text string) error {
		answer, err := app.AnswerSeen(ctx, v, text, maxSeen)
		if err != nil {
			return cli.WrongUse{Err: err}
		}
		log.Info("history queried", "caller", caller, "value", text, "values", len(answer.Values))
		some = some || len(answer.Values) > 0
		if output == "json" {
			return cli.WriteJSONLine(st.Out, answer)
		}
		return writeSeen(st, answer)
	}
	err = apart(ctx, func(yield func(string) error) error { return inputValues(st, args, yield) }, asked)
	if damage := v.Fault(); damage != nil {
		return errors.Join(err, fmt.Errorf("a part of the history cannot be read: %w", damage))
	}
	if err == nil && !some {
		return cli.ErrReported
	}
	return err
}

// openHistory opens the history of a site.
func openHistory(c *config.Config) (*history.View, error) {
	v, err := history.OpenView(app.StateOf(c).History())
	if err != nil {
		return nil, fmt.Errorf("%w; run this as root or as Wazuh's user", err)
	}
	if !c.History.Enabled && v.Size().Segments == 0 {
		v.Close()
		return nil, cli.WrongUsef("there is no history: set history.enabled and restart serve, or fill it with custom-misp history import")
	}
	return v, nil
}

const (
	seenValueWidth = 28
	seenTime       = "2006-01-02 15:04"
)

// writeSeen prints an answer in lines of at most 80 columns: a value, and below it who saw it.
func writeSeen(st cli.Streams, a app.SeenAnswer) error {
	var b strings.Builder
	if len(a.Values) == 0 {
		fmt.Fprintf(&b, "%s was not seen\n", cli.Clean(a.Query))
	} else {
		seenRow(&b, "VALUE", "ALERTS", "AGENTS", "FIRST SEEN (UTC)", "LAST SEEN (UTC)")
	}
	for _, v := range a.Values {
		more := map[bool]string{true: "+"}[v.MoreAgents]
		seenRow(&b, v.Value, fmt.Sprint(v.Count), fmt.Sprint(v.AgentCount)+more, v.FirstSeen.Format(seenTime), v.LastSeen.Format(seenTime))
		var agents []string
		for _, agent := range v.Agents {
			agents = append(agents, agentText(agent.ID, agent.Name))
		}
		writeBelow(&b, "on "+strings.Join(agents, ", ")+map[bool]string{true: ", and more"}[v.MoreAgents])
		alert := v.LastAlert
		if alert.ID != "" {
			writeBelow(&b, fmt.Sprintf("last alert %s, rule %s, level %d, on %s", alert.ID, alert.RuleID, alert.RuleLevel, agentText(alert.Agent.ID, alert.Agent.Name)))
		}
		if alert.File != "" {
			writeBelow(&b, fmt.Sprintf("in %s at byte %d", alert.File, alert.Offset))
		}
		how := "picked by " + strings.Join(v.Mappings, ", ")
		if v.URLHost {
			how += map[bool]string{true: "; also as the host of a URL", false: "; as the host of a URL"}[v.Itself]
		}
		writeBelow(&b, how)
	}
	if a.More {
		fmt.Fprintf(&b, "… and more: name a smaller network or domain than %s\n", cli.Clean(a.Query))
	}
	_, err := fmt.Fprint(st.Out, b.String())
	return err
}

func agentText(id, name string) string {
	switch {
	case id == "" && name == "":
		return "no agent"
	case id == "":
		return name
	}
	return name + " (" + id + ")"
}

// seenRow writes five columns. A longer value has a line of its own.
func seenRow(b *strings.Builder, value, count, agents, first, last string) {
	value = cli.Clean(value)
	if width(value) > seenValueWidth {
		for _, line := range wrap(value, lineWidth) {
			fmt.Fprintln(b, line)
		}
		value = ""
	}
	fmt.Fprintf(b, "%s %7s %7s  %-16s  %s\n", pad(value, seenValueWidth), count, agents, first, last)
}

func newHistory(s cli.Streams, g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "history",
		Short: "Fill the history from archives of alerts, or remove from it",
		Args:  noArguments,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newHistoryImport(s, g), newHistoryForget(s, g))
	return cmd
}

func newHistoryForget(s cli.Streams, g *globals) *cobra.Command {
	var agent, before string
	cmd := &cobra.Command{
		Use:   "forget VALUE | --agent NAME | --before DATE",
		Short: "Remove a value, an agent, or all before a day from the history",
		Long: `Remove from the history, from its files too: a value (or a network, or a domain with all names below it), an agent (what no other
agent saw goes with it), or all before a day. A running serve does it itself. Who asked for it is logged.`,
		Example: `  sudo custom-misp history forget 192.0.2.7
  sudo custom-misp history forget --agent ws-07
  sudo custom-misp history forget --before 2026-09-01`,
		RunE: func(cmd *cobra.Command, args []string) error {
			r := forgetRequest{args: args, agent: agent, before: before}
			return forget(cmd.Context(), s, *g, r)
		},
	}
	cmd.Flags().StringVar(&agent, "agent", "", "name of an agent")
	cmd.Flags().StringVar(&before, "before", "", "the first day that is kept, like 2026-09-01 (UTC)")
	return cmd
}
