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
			_, err := fmt.Fprintf(s.Out, "custom-misp %s %s %s/%s\n", cli.Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}
