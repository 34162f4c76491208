package main

import (
	"github.com/spf13/cobra"

	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/cmd/custom-misp/internal/doctor"
	"custom-misp/cmd/custom-misp/internal/manager"
)

func newDoctor(s cli.Streams, g *globals) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check an installation, and name the command that corrects each fault",
		Long: `Check an installation from end to end: Wazuh, the program's file, ossec.conf, rules, queue, configuration, key,
mappings, log, state, and MISP from its name to a search. The settings are those of a call by integratord, with those of
the <integration> block.

Run it as root or as the user wazuh. It changes nothing and sends nothing to Wazuh. It asks MISP for its version, the role
of the key's user, and one name that does not exist. Secrets are not printed.

Exit code 1 if there is a problem. Warnings alone do not count.`,
		Example: `  sudo /var/ossec/integrations/custom-misp doctor
  custom-misp doctor --home /var/ossec --output json`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			findings := doctor.Examine(cmd.Context(), manager.Open(manager.FindHome(g.home)), g.file)
			if output == "json" {
				if err := cli.WriteJSON(s.Out, findings); err != nil {
					return err
				}
			} else {
				doctor.Print(s.Out, findings)
			}
			if doctor.HasProblem(findings) {
				return cli.ErrReported
			}
			return nil
		},
	}
	outputFlag(cmd, &output, "table", "table", "json")
	return cmd
}
