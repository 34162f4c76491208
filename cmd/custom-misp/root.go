package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/engine/yamlfile"
)

// newRoot returns the command line for people. A call by integratord does not reach it; see isCall.
func newRoot(s cli.Streams) *cobra.Command {
	var g globals
	root := &cobra.Command{
		Use:   "custom-misp",
		Short: "Bring MISP intelligence into Wazuh alerts",
		Long: `custom-misp looks up values of Wazuh alerts in MISP and sends an event back into Wazuh for each value that is known.

Wazuh's integratord starts it as: custom-misp ALERT_FILE [API_KEY] [HOOK_URL] ...
The verbs below are for people.

Exit code 0 is good, 1 means findings or a failure, 2 a wrong command line or configuration, 130 an interrupt.`,
		Example: `  custom-misp enrich --dry-run /var/ossec/logs/alerts/alerts.json
  custom-misp lint /var/ossec/etc/custom-misp/mappings`,
		Version:       versionLine(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			if near := yamlfile.Nearest(args[0], verbs()); near != "" {
				return cli.WrongUsef("%q is neither a verb nor an alert file; did you mean %q?", args[0], near)
			}
			return cli.WrongUsef("%q is neither a verb nor an alert file; see custom-misp --help", args[0])
		},
	}
	root.SetIn(s.In)
	root.SetOut(s.Out)
	root.SetErr(s.Err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return cli.WrongUsef("%w; see %s --help", err, cmd.CommandPath())
	})
	root.SetVersionTemplate("{{.Version}}\n")
	root.PersistentFlags().StringVar(&g.home, "home", "", "Wazuh's directory (default: the one whose integrations/ holds this program, else /var/ossec)")
	root.PersistentFlags().StringVar(&g.file, "config", "", "configuration file (default HOME/etc/custom-misp.yaml)")
	root.AddCommand(
		newEnrich(s, &g),
		newLookupVerb(s, &g),
		newServe(s, &g),
		newStatus(s, &g),
		newSync(s, &g),
		newExport(s, &g),
		newLint(s, &g),
		newTest(s, &g),
		newExplain(s, &g),
		newCoverage(s, &g),
		newBacktest(s, &g),
		newSuggest(s, &g),
		newProfile(s),
		newMappings(s, &g),
		newSchema(s),
		newConfig(s, &g),
		newDoctor(s, &g),
		newSeen(s, &g),
		newHistory(s, &g),
		newQuality(s, &g),
		newMute(s, &g),
		newUnmute(s, &g),
		newSource(s, &g),
		newSpoolVerb(s, &g),
		newExample(s),
		newManual(s),
		newVersion(s),
	)
	return root
}

// noArguments refuses arguments of a verb that takes none, and unknown subcommands.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if cmd.HasSubCommands() {
		return cli.WrongUsef("%s has no subcommand %q; see %s --help", cmd.CommandPath(), args[0], cmd.CommandPath())
	}
	return cli.WrongUsef("%s takes no arguments, and was given %q; see %s --help", cmd.CommandPath(), args[0], cmd.CommandPath())
}

// outputFlag adds --output to a verb and checks its value.
func outputFlag(cmd *cobra.Command, to *string, def string, formats ...string) {
	cmd.Flags().StringVarP(to, "output", "o", def, "output format: "+strings.Join(formats, " or "))
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp))
	check := func(*cobra.Command, []string) error {
		if *to != "" && !slices.Contains(formats, *to) {
			return cli.WrongUsef("--output %q is unknown; use %s", *to, strings.Join(formats, " or "))
		}
		return nil
	}
	cmd.PreRunE = check
}
