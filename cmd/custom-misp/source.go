package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/misp/source"
)

func newSource(s cli.Streams, g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "source",
		Short: "Show, preview and accept declared sources of intelligence",
		Long: `Work on declared sources of intelligence: lists, tables, exports and feeds that are looked up beside MISP. They are
declared in etc/custom-misp/sources/*.yaml; misp/source/README.md describes the form.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newSourceList(s, g), newSourcePreview(s, g), newSourceSuggest(s), newSourceAccept(s, g))
	return cmd
}

// previewFlags are the flags of source preview.
type previewFlags struct {
	preset      string
	declaration string
	output      string
}

func newSourcePreview(s cli.Streams, g *globals) *cobra.Command {
	var f previewFlags
	cmd := &cobra.Command{
		Use:   "preview [flags] FILE|URL|NAME",
		Short: "Show what becomes of each entry of a file",
		Long: `Read a file, an address or a declared source, and show what becomes of its entries: how many indicators of each type,
how many of these are not looked up, and how many entries hold none, by reason. Nothing is changed.

The form is that of --declaration, of --preset, or of the source with this NAME. Without any, it is recognised where
that is certain; otherwise the declaration to start from is printed, and the exit code is 1. It is also 1 for a file that
a sync would refuse.`,
		Example: `  custom-misp source preview iocs.csv
  custom-misp source preview --preset urlhaus csv_recent.txt
  custom-misp source preview --declaration my-source.yaml --output json iocs.csv`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return cli.WrongUsef("name one file, address or source")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return previewSource(cmd.Context(), s, *g, f, args[0]) },
	}
	cmd.Flags().StringVar(&f.preset, "preset", "", "name of a built-in declaration")
	cmd.Flags().StringVar(&f.declaration, "declaration", "", "file with the declaration of the source")
	_ = cmd.RegisterFlagCompletionFunc("preset", func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return source.PresetNames(), cobra.ShellCompDirectiveNoFileComp
	})
	outputFlag(cmd, &f.output, "table", "table", "json")
	return cmd
}

// previewJSON is what a preview is in JSON.
type previewJSON struct {
	Format     source.Format    `json:"format"`
	Entries    int              `json:"entries"`
	Indicators map[string]int   `json:"indicators"`
	Unused     map[string]int   `json:"unused"`
	Skipped    map[string]int   `json:"skipped"`
	Examples   []source.Example `json:"examples"`
}

func previewSource(ctx context.Context, st cli.Streams, g globals, f previewFlags, what string) error {
	c, _ := g.installed() // a preview needs no installation
	form, content, err := app.PreviewOf(ctx, c, app.PreviewRequest{What: what, Preset: f.preset, Declaration: f.declaration})
	if err != nil {
		return err
	}
	defer content.Close() //nolint:errcheck // only read
	m, refused := form.Measure(ctx, content, time.Now())
	if u, ok := errors.AsType[*source.Unrecognised](refused); ok {
		cli.PrintError(st.Err, what, refused)
		fmt.Fprintf(st.Err, "Start from this declaration, and name it with --declaration:\n\n%s", u.Suggestion)
		return cli.ErrReported
	}
	r := m.Report
	if f.output == "json" {
		err = cli.WriteJSON(st.Out, previewJSON{r.Format, r.Entries, r.Indicators, r.Unused, r.Skipped, append([]source.Example{}, r.Examples...)})
	} else if r.Entries > 0 {
		err = printPreview(st, r)
	}
	if err == nil && refused != nil {
		cli.PrintError(st.Err, what, refused)
		return cli.ErrReported
	}
	return err
}

// printPreview prints a report for people.
func printPreview(st cli.Streams, r *source.Report) error {
	fmt.Fprintf(st.Out, "format %s, %s\n\n", r.Format, cli.Plural(r.Entries, "entry"))
	table := cli.NewTable(st.Out, "INDICATORS", "NUMBER")
	for _, t := range slices.Sorted(maps.Keys(r.Indicators)) {
		table.Row(t, r.Indicators[t])
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if len(r.Unused) > 0 {
		fmt.Fprintln(st.Out)
		table = cli.NewTable(st.Out, "NOT LOOKED UP", "NUMBER")
		for _, why := range slices.Sorted(maps.Keys(r.Unused)) {
			table.Row(strings.ReplaceAll(why, "_", " "), r.Unused[why])
		}
		if err := table.Flush(); err != nil {
			return err
		}
	}
	if len(r.Skipped) > 0 {
		fmt.Fprintln(st.Out)
		table = cli.NewTable(st.Out, "ENTRIES WITHOUT INDICATOR", "NUMBER", "LINE", "FIRST")
		for _, reason := range slices.Sorted(maps.Keys(r.Skipped)) {
			first := r.First[reason][0]
			table.Row(reason, r.Skipped[reason], first.Line, first.Text)
		}
		if err := table.Flush(); err != nil {
			return err
		}
	}
	fmt.Fprintln(st.Out)
	table = cli.NewTable(st.Out, "LINE", "TYPE", "EXAMPLE")
	for _, x := range r.Examples {
		table.Row(x.Line, x.Type, x.Value)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if r.Repeated > 0 || r.Retyped > 0 {
		fmt.Fprintf(st.Out, "\nrepeated: %d, with another type than the row says: %d\n", r.Repeated, r.Retyped)
	}
	for _, form := range slices.Sorted(maps.Keys(r.BadDates)) {
		fmt.Fprintf(st.Out, "unknown form of dates: %s (%d times); set expires.layout\n", form, r.BadDates[form])
	}
	return nil
}

func newSourceSuggest(s cli.Streams) *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use:   "suggest [flags] FILE|URL",
		Short: "Write the declaration to start from for a file",
		Long: `Write a declaration for a file, from what its content says. What is not certain is on the error output. Compare
source preview with the file before you use it.`,
		Example: `  custom-misp source suggest --name vendor iocs.csv > /var/ossec/etc/custom-misp/sources/vendor.yaml
  custom-misp source preview --declaration /var/ossec/etc/custom-misp/sources/vendor.yaml iocs.csv`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return cli.WrongUsef("name one file or address")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			content, err := app.ReadContent(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			defer content.Close() //nolint:errcheck // only read
			text, doubt, err := source.Suggest(name, content)
			if err != nil {
				return err
			}
			if doubt != "" {
				fmt.Fprintf(s.Err, "not certain: %s\n", cli.Clean(doubt))
			}
			_, err = fmt.Fprint(s.Out, text)
			return err
		},
	}
	cmd.Flags().StringVar(&name, "name", "NAME", "name of the source")
	return cmd
}
