package main

import (
	"fmt"
	"runtime"

	"custom-misp/cmd/custom-misp/internal/cli"

	"github.com/spf13/cobra"
)

func newVersion(s cli.Streams) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  custom-misp version",
		Args:    noArguments,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(s.Out, versionLine())
			return err
		},
	}
}

// versionLine is what the verb version and the flag --version print.
func versionLine() string {
	return fmt.Sprintf("custom-misp %s %s %s/%s", cli.Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
