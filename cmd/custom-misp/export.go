package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/cmd/custom-misp/internal/config"
	"custom-misp/cmd/custom-misp/internal/export"
	"custom-misp/cmd/custom-misp/internal/manager"
	"custom-misp/engine/atomicfile"
)

func newExport(s cli.Streams, g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write the mirror as lists for Wazuh, Suricata and other programs",
		Long: `Write what the mirror knows as lists for other programs: each value once, in normal form, sorted, filtered as look-ups
are (lookup.* in the configuration). MISP is not asked; custom-misp sync and serve keep the mirror up to date.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	for _, form := range export.Forms() {
		cmd.AddCommand(newExportForm(s, g, form))
	}
	return cmd
}

func newExportForm(s cli.Streams, g *globals, form export.Form) *cobra.Command {
	var dir string
	var all bool
	var api reloadFlags
	use := form.Name + " --dir DIR"
	if form.ToStdout {
		use = form.Name + " [--dir DIR]"
	}
	cmd := &cobra.Command{
		Use:     use,
		Short:   form.Short,
		Long:    form.Long,
		Example: "  custom-misp export " + form.Name + " --dir " + map[bool]string{true: "/var/ossec/etc", false: "/var/lib/misp-" + form.Name}[form.ForWazuh],
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if dir == "" && !form.ToStdout {
				return cli.WrongUsef("export %s writes several files; say where with --dir DIR", form.Name)
			}
			if err := exportMirror(cmd.Context(), *g, s, form, dir, all); err != nil || !api.reload {
				return err
			}
			return api.run(cmd.Context(), s, *g)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "directory to write to; it is created if it does not exist")
	cmd.Flags().BoolVarP(&all, "all", "a", false, "ignore the filters: include attributes that are not flagged to_ids, unpublished, on warninglists, old, or of any tag")
	if form.ForWazuh {
		api.add(cmd)
	}
	return cmd
}

// reloadFlags say how to have analysisd load what was written.
type reloadFlags struct {
	reload                        bool
	url, user, passwordFile, cert string
}

func (f *reloadFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.reload, "reload", false, "then have analysisd load rules and lists anew, by the API of the manager (Wazuh 4.13 and later)")
	cmd.Flags().StringVar(&f.url, "wazuh-api", "https://127.0.0.1:55000", "address of this API")
	cmd.Flags().StringVar(&f.user, "wazuh-api-user", "wazuh-wui", "user of this API")
	cmd.Flags().StringVar(&f.passwordFile, "wazuh-api-password-file", "", "file that holds the password of this user and nothing else")
	cmd.Flags().StringVar(&f.cert, "wazuh-api-cert", "", "certificate that the API shows (default HOME/api/configuration/ssl/server.crt if it can be read, else the system's authorities count)")
}

// run has analysisd load what was written.
func (f *reloadFlags) run(ctx context.Context, st cli.Streams, g globals) error {
	if f.passwordFile == "" {
		return cli.WrongUsef("--reload needs --wazuh-api-password-file; the files are written, and a restart of the manager loads them too: systemctl restart wazuh-manager")
	}
	if err := config.RefuseReadable(f.passwordFile); err != nil {
		return cli.WrongUsef("--wazuh-api-password-file: %w", err)
	}
	password, err := atomicfile.ReadRegular(f.passwordFile, cli.MaxFile)
	if err != nil {
		return cli.WrongUsef("--wazuh-api-password-file: %w", err)
	}
	api := export.API{URL: f.url, User: f.user, Password: strings.TrimSpace(string(password))}
	name := cmp.Or(f.cert, filepath.Join(manager.FindHome(g.home), "api/configuration/ssl/server.crt"))
	if api.Certificate, err = atomicfile.ReadRegular(name, cli.MaxFile); err != nil && f.cert != "" {
		return cli.WrongUsef("--wazuh-api-cert: %w", err)
	}
	warnings, err := api.Reload(ctx)
	for _, w := range warnings {
		fmt.Fprintln(st.Err, "custom-misp: "+cli.Clean(w))
	}
	if err != nil {
		return fmt.Errorf("the files are written, and not loaded: %w", err)
	}
	_, err = fmt.Fprintln(st.Out, "analysisd loads rules and lists anew")
	return err
}

func exportMirror(ctx context.Context, g globals, st cli.Streams, form export.Form, dir string, all bool) error {
	if form.ForWazuh {
		if err := g.becomeWazuh(); err != nil {
			return err
		}
	}
	c, err := g.installed()
	if err != nil {
		return err
	}
	m, err := app.Mirror(c)
	if err != nil {
		return err
	}
	defer m.Close()
	if err := m.Usable(); err != nil {
		return err
	}
	for _, state := range m.States() {
		if state.SyncedAt.IsZero() {
			fmt.Fprintf(st.Err, "custom-misp: the mirror of %s was never synced, and is not in the export; custom-misp sync makes it\n", state.Origin)
		}
	}
	filter := m.Filter()
	if all {
		filter, m.Filters = *unfiltered(), nil
	}
	left, err := export.Write(ctx, m, form, filter, c.Lookup.WithholdOutside(), dir, st.Out)
	for _, why := range slices.Sorted(maps.Keys(left)) {
		fmt.Fprintf(st.Err, "custom-misp: %s left out: %s\n", cli.Plural(left[why], "value"), why)
	}
	return err
}
