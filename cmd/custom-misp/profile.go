package main

import (
	"io"

	"github.com/spf13/cobra"

	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/engine/mappingtest"
	"custom-misp/mappings"
)

func newProfile(s cli.Streams) *cobra.Command {
	return &cobra.Command{
		Use:   "profile FILE|DIR...|-",
		Short: "Write what your alerts look like, without a value of them",
		Long: `Write the names of groups, decoders, rules and fields in alerts, which of them are together, and what form the values of the
fields have: an address, a text, a list. No value is in it, and names of fields that are data themselves become *. So it can be
kept beside mappings, and lint --profile checks them where alerts may not be. Read it before you pass it on.

Alerts are read as coverage reads them. The text is sorted: diff shows what is new.`,
		Example: `  custom-misp profile /var/ossec/logs/alerts > site.profile
  custom-misp lint --profile site.profile my-mapping.yaml`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cli.WrongUsef("no alerts named; name files or directories, or - for standard input")
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			files, err := alertFiles(args)
			if err != nil {
				return err
			}
			p, failed := readAlerts(s, files, func() profiled { return profiled{mappingtest.NewProfile(mappings.Vocabulary)} })
			if _, err := io.WriteString(s.Out, p.String()); err != nil {
				return err
			}
			if failed {
				return cli.ErrReported
			}
			return nil
		},
	}
}

// profiled is a profile as readAlerts fills it.
type profiled struct{ *mappingtest.Profile }

func (p profiled) add(_ int, alert []byte) { p.Add(alert) }
func (p profiled) skip()                   { p.Skip() }
func (p profiled) merge(o profiled)        { p.Merge(o.Profile) }
