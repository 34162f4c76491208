package main

import (
	"github.com/spf13/cobra"

	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/cmd/custom-misp/internal/serve"
)

func newServe(s cli.Streams, g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Run the daemon: follow Wazuh's alerts and enrich them",
		Long: `Run the daemon. It follows logs/alerts/alerts.json from its checkpoint over rotations, and takes alerts from the spool
that calls by integratord put there. It keeps a mirror of MISP, of feeds and of lists up to date. Values are looked up in
the mirror, in MISP or in both, as lookup.policy says. No <integration> block is needed.

It reloads on SIGHUP, and when the configuration or a file that it names changes. If the reload fails, it keeps the previous
configuration. SIGTERM ends it within five seconds. custom-misp status shows its state. Metrics and health are on the
socket serve.sock in state_dir and at serve.listen. Started as root, it becomes Wazuh's user.`,
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
