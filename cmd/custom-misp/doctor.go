package main

import (
	"context"
	"errors"
	"os"

	"github.com/spf13/cobra"

	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/cmd/custom-misp/internal/doctor"
	"custom-misp/cmd/custom-misp/internal/manager"
)

func newDoctor(s cli.Streams, g *globals) *cobra.Command {
	var output, bundle string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check an installation, and name the command that corrects each fault",
		Long: `Check an installation from end to end: Wazuh, the program's file, ossec.conf, rules, queue, configuration, key,
mappings, log, state, and MISP from its name to a search. The settings are those of a call by integratord, with those of
the <integration> block.

Run it as root or as the user wazuh. It changes nothing and sends nothing to Wazuh. It asks MISP for its version, the role
of the key's user, and one name that does not exist. Secrets are not printed.

Each remedy is a command for a shell of root that can be pasted as it is, or one sentence where no command can help.

With --bundle FILE it writes an archive for someone who helps: the findings, versions, the configuration, the state and
the last lines of logs. Secrets are not in it, and what looks like a value of an alert is masked. Read it before you send
it.

Exit code 1 if there is a problem. Warnings alone do not count.`,
		Example: `  sudo /var/ossec/integrations/custom-misp doctor
  custom-misp doctor --home /var/ossec --output json
  sudo custom-misp doctor --bundle custom-misp.tar.gz`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if bundle != "" {
				return writeBundle(cmd.Context(), *g, bundle)
			}
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
	cmd.Flags().StringVar(&bundle, "bundle", "", "write an archive (.tar.gz) for someone who helps")
	return cmd
}

// writeBundle writes the archive to a new file that only this user can read.
func writeBundle(ctx context.Context, g globals, name string) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // the file that the user names
	if err != nil {
		return cli.WrongUsef("--bundle: %w; name a file that does not exist yet", err)
	}
	data, err := doctor.Bundle(ctx, manager.Open(manager.FindHome(g.home)), g.file)
	if err == nil {
		_, err = f.Write(data)
	}
	return errors.Join(err, f.Close())
}
