package main

import (
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/engine"
)

func newMappings(s cli.Streams, g *globals) *cobra.Command {
	var output, product string
	var named []string
	cmd := &cobra.Command{
		Use:   "mappings",
		Short: "List the mappings that are loaded, their files, and what they replace",
		Long: `List the mappings that a call uses: the built-in ones and those in the configured directories. Your mapping replaces a
built-in one with the same id. "mappings.disable" leaves mappings out.`,
		Example: `  custom-misp mappings
  custom-misp mappings --product sophos
  custom-misp mappings --output json | jq -r '.[] | select(.file | startswith("/")) | .id'`,
		Args: noArguments,
		RunE: func(*cobra.Command, []string) error {
			c := g.known(s.Err)
			all := *c
			all.Mappings.Disable = nil // they are listed as disabled
			e, err := loadEngine(&all, named, s)
			if err != nil {
				return err
			}
			return listMappings(s.Out, e, c.Mappings.Disable, product, output)
		},
	}
	cmd.Flags().StringArrayVarP(&named, "mappings", "m", nil, "file or directory with more mappings; may be repeated")
	cmd.Flags().StringVar(&product, "product", "", "list only mappings whose product, id or file has this in its name, in whatever case")
	outputFlag(cmd, &output, "table", "table", "json")
	return cmd
}

// mappingLine is a mapping in the output. Its names are a promise to those who read the JSON.
type mappingLine struct {
	ID          string     `json:"id"`
	Product     string     `json:"product"`
	Description string     `json:"description"`
	File        string     `json:"file"`
	Line        int        `json:"line"`
	Replaces    string     `json:"replaces,omitempty"` // file of the built-in mapping
	Disabled    bool       `json:"disabled"`
	Picks       []pickLine `json:"picks"`
}

type pickLine struct {
	Path string      `json:"path"`
	Type engine.Type `json:"type"`
}

func listMappings(w io.Writer, e *engine.Engine, disabled []string, product, output string) error {
	lines := []mappingLine{}
	files := map[string]bool{}
	for _, m := range e.Mappings() {
		if !isOf(m, product) {
			continue
		}
		l := mappingLine{
			ID: m.ID, Product: m.Product, Description: m.Description, File: m.File, Line: m.Line, Replaces: m.Replaces,
			Disabled: slices.Contains(disabled, m.ID), Picks: []pickLine{},
		}
		for _, p := range m.Picks {
			l.Picks = append(l.Picks, pickLine{p.Path, p.Type})
		}
		files[m.File] = true
		lines = append(lines, l)
	}
	if output == "json" {
		return cli.WriteJSON(w, lines)
	}
	t := cli.NewTable(w, "ID", "PRODUCT", "FROM", "NOTE")
	for _, l := range lines {
		note := ""
		switch {
		case l.Disabled:
			note = "left out by mappings.disable"
		case l.Replaces != "":
			note = "instead of the one in " + l.Replaces
		}
		t.Row(l.ID, l.Product, fmt.Sprintf("%s:%d", l.File, l.Line), note)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%s from %s\n", cli.Plural(len(lines), "mapping"), cli.Plural(len(files), "file"))
	if err == nil && len(lines) == 0 && product != "" {
		_, err = fmt.Fprintf(w, "None has %q in its product, id or file; without --product all are listed.\n", product)
	}
	return err
}

// isOf reports whether a mapping is one of a product, of whose name a part suffices.
func isOf(m engine.Mapping, product string) bool {
	return slices.ContainsFunc([]string{m.Product, m.ID, path.Base(m.File)}, func(name string) bool {
		return strings.Contains(strings.ToLower(name), strings.ToLower(product))
	})
}
