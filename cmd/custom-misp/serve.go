package main

import (
	"github.com/spf13/cobra"

	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/cmd/custom-misp/internal/serve"
)

func newServe(s cli.Streams, g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Follow Wazuh's alerts and enrich them, thousands a second, until told to stop",
		Long: `Follow logs/alerts/alerts.json from where the last run stopped, over the ends of files and days, and take alerts
that integratord queues from the spool. Keep a mirror of MISP, of feeds and of lists in step, and look values up in
it, in MISP or in both, as lookup.policy says. No <integration> block is needed.

SIGHUP, or a change of the configuration or of a file that it names, reloads them; with a fault in them the previous
configuration is kept. SIGTERM ends it within five seconds. custom-misp status shows how it is; metrics and health are on the socket
serve.sock in state_dir, and at serve.listen. As root it becomes the user of Wazuh.`,
		Example: `  sudo custom-misp serve
  systemctl enable --now custom-misp`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := g.becomeWazuh(); err != nil {
				return err
			}
			return serve.Run(cmd.Context(), g.installed, s.Err)
		},
	}
}
