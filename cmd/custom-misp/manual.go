package main

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/cmd/custom-misp/internal/config"
)

func newManual(s cli.Streams) *cobra.Command {
	return &cobra.Command{
		Use:    "manual DIR",
		Short:  "Write the man pages of this version",
		Hidden: true,
		Long: `Write the man pages of this version to a directory: custom-misp.1, one page for each verb, and custom-misp.yaml.5 for
the configuration. Packages have them already.`,
		Example: `  custom-misp manual /usr/local/share/man`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return cli.WrongUsef("name one directory, like /usr/local/share/man")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			pages := manPages(cmd.Root())
			for name, page := range pages {
				dir := filepath.Join(args[0], "man"+name[len(name)-1:])
				if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // for all users
					return err
				}
				if err := os.WriteFile(filepath.Join(dir, name), page, 0o644); err != nil { //nolint:gosec // for all users
					return err
				}
			}
			_, err := fmt.Fprintf(s.Out, "%s in %s\n", cli.Plural(len(pages), "page"), args[0])
			return err
		},
	}
}

// manPages returns all pages by the names of their files.
func manPages(root *cobra.Command) map[string][]byte {
	pages := map[string][]byte{"custom-misp.1": verbPage(root), "custom-misp.yaml.5": configPage()}
	var add func(c *cobra.Command)
	add = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			if sub.Hidden || sub.Name() == "help" {
				continue
			}
			pages[strings.ReplaceAll(sub.CommandPath(), " ", "-")+".1"] = verbPage(sub)
			add(sub)
		}
	}
	add(root)
	return pages
}

// A roff writes a man page.
type roff struct{ bytes.Buffer }

func (r *roff) write(text string) { _, _ = r.WriteString(text) }

func (r *roff) title(name string, section int) {
	fmt.Fprintf(r, ".TH \"%s\" %d \"\" \"custom-misp %s\" \"custom-misp\"\n", strings.ToUpper(name), section, roffText(cli.Version()))
}

func (r *roff) section(name string) { fmt.Fprintf(r, ".SH %s\n", name) }

// text writes paragraphs; lines that begin with blanks are shown as they are.
func (r *roff) text(text string) {
	literal := false
	for line := range strings.SplitSeq(strings.Trim(text, "\n"), "\n") {
		line = strings.ReplaceAll(line, "\t", "  ")
		if shown := strings.HasPrefix(line, "  "); shown != literal {
			literal = shown
			r.write(map[bool]string{true: ".RS 2\n.nf\n", false: ".fi\n.RE\n"}[shown])
		}
		switch {
		case line == "" && literal:
			r.write("\n")
		case line == "":
			r.write(".PP\n")
		default:
			r.write(roffText(strings.TrimPrefix(line, "  ")) + "\n")
		}
	}
	if literal {
		r.write(".fi\n.RE\n")
	}
}

// item writes an entry of a list.
func (r *roff) item(head, text string) {
	fmt.Fprintf(r, ".TP\n.B %s\n%s\n", roffText(head), roffText(text))
}

// roffText returns a line of text that no request can be made of.
func roffText(line string) string {
	line = strings.NewReplacer(`\`, `\e`, "-", `\-`, "…", "...", "→", `\(->`).Replace(line)
	if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
		line = `\&` + line
	}
	return line
}

// verbPage returns the page of a verb, or of the program.
func verbPage(c *cobra.Command) []byte {
	var r roff
	name := strings.ReplaceAll(c.CommandPath(), " ", "-")
	r.title(name, 1)
	r.section("NAME")
	r.write(roffText(name) + ` \- ` + roffText(c.Short) + "\n")
	r.section("SYNOPSIS")
	use := c.UseLine()
	if !c.HasParent() {
		use = "custom-misp VERB [argument...] [flags]"
	}
	r.write(".B " + roffText(use) + "\n")
	r.section("DESCRIPTION")
	r.text(cmp.Or(c.Long, c.Short+"."))
	if c.HasAvailableSubCommands() {
		r.section("VERBS")
		for _, sub := range c.Commands() {
			if !sub.Hidden && sub.Name() != "help" {
				r.item(sub.Name(), sub.Short)
			}
		}
	}
	r.flags("OPTIONS", c.NonInheritedFlags())
	r.flags("GLOBAL OPTIONS", c.InheritedFlags())
	if c.Example != "" {
		r.section("EXAMPLES")
		r.text(c.Example)
	}
	if !c.HasParent() {
		r.section("FILES")
		r.item("/var/ossec/etc/custom-misp.yaml", "the configuration")
		r.item("/var/ossec/etc/custom-misp/mappings", "mappings of your own")
		r.item("/var/ossec/logs/integrations.log", "the log")
		r.item("/var/ossec/logs/custom-misp", "what has to be remembered: queued alerts, the mirror, how far alerts are read")
	}
	r.section("SEE ALSO")
	if c.HasParent() {
		r.write(".BR custom\\-misp (1),\n")
	}
	r.write(".BR custom\\-misp.yaml (5)\n")
	return r.Bytes()
}

func (r *roff) flags(title string, flags *pflag.FlagSet) {
	if !flags.HasAvailableFlags() {
		return
	}
	r.section(title)
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		kind, usage := pflag.UnquoteUsage(f)
		head := "--" + f.Name
		if f.Shorthand != "" {
			head = "-" + f.Shorthand + ", " + head
		}
		if kind != "" {
			head += " " + kind
		}
		r.item(head, usage)
	})
}

// configPage returns the page of the configuration.
func configPage() []byte {
	var r roff
	r.title("custom-misp.yaml", 5)
	r.section("NAME")
	r.write(`custom\-misp.yaml \- configuration of custom\-misp` + "\n")
	r.section("DESCRIPTION")
	r.text(`A YAML file. Keys are sections: misp.url is the key url in the section misp. Unknown keys are refused. Relative paths begin
at Wazuh's directory. Later layers override earlier ones: defaults, this file, the environment (CUSTOM_MISP_MISP_URL for
misp.url), <options> of ossec.conf, the other elements of its <integration> block, flags. "custom-misp config" prints the
effective values and where each comes from.`)
	r.section("KEYS")
	for _, k := range config.Describe() {
		text := k.Help
		if k.Default != "" {
			text += "; default: " + k.Default
		}
		r.item(k.Key, text)
	}
	r.section("SEE ALSO")
	r.write(".BR custom\\-misp (1)\n")
	return r.Bytes()
}
