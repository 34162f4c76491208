package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/cmd/custom-misp/internal/config"
	"custom-misp/cmd/custom-misp/internal/manager"
	"custom-misp/engine/wazuh"
)

// globals are the flags that may stand anywhere on a command line, also on one of integratord's, for trying it by hand.
type globals struct {
	home string
	file string // --config
}

// installed returns the configuration that a call by integratord would have.
func (g globals) installed() (*config.Config, error) { return g.configured(config.Flags{}) }

// configured is installed with what flags say over it.
func (g globals) configured(f config.Flags) (*config.Config, error) {
	return manager.Open(manager.FindHome(g.home)).Config(g.file, f)
}

// known is installed for verbs that ask no one and send nothing: what of the configuration cannot be read, or has faults, is
// said on standard error, and the rest does.
func (g globals) known(stderr io.Writer) *config.Config {
	c, err := g.installed()
	switch {
	case errors.Is(err, fs.ErrPermission):
		cli.PrintError(stderr, "custom-misp: the configuration is left out", err)
		c.Mappings.Dirs = nil // this user may not look there either
	case err != nil:
		for _, line := range cli.Lines(err) {
			fmt.Fprintln(stderr, line)
		}
		fmt.Fprintln(stderr, "custom-misp: what has faults in the configuration is left out")
	}
	return c
}

// becomeWazuh makes root the user of Wazuh, if there is one.
func (g globals) becomeWazuh() error { return manager.Become(manager.FindHome(g.home)) }

// working is installed for verbs that change the state directory: as Wazuh's user, and with what an earlier release left.
func (g globals) working(stderr io.Writer) (*config.Config, error) {
	if err := g.becomeWazuh(); err != nil {
		return nil, err
	}
	c, err := g.installed()
	if err == nil {
		app.MoveState(c, cli.NewLog(stderr, slog.LevelWarn, false))
	}
	return c, err
}

// splitGlobal takes the global flags out of args.
func splitGlobal(args []string) (globals, []string) {
	var g globals
	rest := make([]string, 0, len(args))
	flags := map[string]*string{"--home": &g.home, "--config": &g.file}
	for i := 0; i < len(args); i++ {
		name, value, joined := strings.Cut(args[i], "=")
		to := flags[name]
		switch {
		case to == nil:
			rest = append(rest, args[i])
		case joined:
			*to = value
		case i+1 < len(args):
			i++
			*to = args[i]
		default:
			rest = append(rest, args[i])
		}
	}
	return g, rest
}

// isCall reports whether the command line is integratord's: it starts every integration under one name, and its
// first argument is a file, or empty when that could not be written. A word that is neither a verb nor a file is a
// verb misspelt, and a line with flags is a person's.
func isCall(program string, args []string) bool {
	if filepath.Base(program) == wazuh.ProgramName {
		return true
	}
	if len(args) == 0 || slices.ContainsFunc(args, func(a string) bool { return strings.HasPrefix(a, "-") }) {
		return false // integratord passes no flags
	}
	if args[0] == "" || strings.ContainsAny(args[0], `/.`) {
		return true // no verb has these; to make the verbs takes as long as a call
	}
	if slices.Contains(verbs(), args[0]) {
		return false
	}
	_, err := os.Stat(args[0])
	return err == nil
}

func verbs() []string {
	names := []string{"help", "completion", cobra.ShellCompRequestCmd, cobra.ShellCompNoDescRequestCmd}
	for _, c := range newRoot(cli.Streams{}).Commands() {
		names = append(names, c.Name())
	}
	return names
}
