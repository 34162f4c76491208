package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/cmd/custom-misp/internal/config"
	"custom-misp/cmd/custom-misp/internal/serve"
	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/engine/history"
	"custom-misp/engine/wazuh"
)

// forgetRequest is what a person wants to be forgotten.
type forgetRequest struct {
	args          []string
	agent, before string
}

func (r forgetRequest) of(caller string) (serve.ForgetRequest, error) {
	out := serve.ForgetRequest{Agent: r.agent, Caller: caller}
	named := 0
	for _, set := range []bool{len(r.args) > 0, r.agent != "", r.before != ""} {
		if set {
			named++
		}
	}
	if named != 1 || len(r.args) > 1 {
		return out, cli.WrongUsef("name one of: a value, --agent NAME, --before DATE")
	}
	if len(r.args) == 1 {
		out.Value = r.args[0]
	}
	if r.before != "" {
		day, err := time.Parse(time.DateOnly, r.before)
		if err != nil {
			return out, cli.WrongUsef("--before %q is not a day like 2026-09-01", r.before)
		}
		out.Before = day
	}
	return out, nil
}

func forget(ctx context.Context, st cli.Streams, g globals, asked forgetRequest) error {
	r, err := asked.of(author()) // before this is Wazuh's user
	if err != nil {
		return err
	}
	c, err := g.working(st.Err)
	if err != nil {
		return err
	}
	n, err := serve.Forget(ctx, c, r)
	if !app.ServeRuns(app.StateOf(c)) { // else it has logged it
		log, closeLog := app.OpenLog(c, st.Err, st.Err)
		defer closeLog()
		log.Info("the history was told to forget", "caller", r.Caller, "value", r.Value, "agent", r.Agent, "before", asked.before, "records", n.Records, "changed", n.Changed)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(st.Out, "%s removed, %d kept without the agent\n", cli.Plural(n.Records, "record"), n.Changed)
	return err
}

func newHistoryImport(s cli.Streams, g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "import ALERTS...",
		Short: "Record the values of archived alerts",
		Long: `Record what mappings pick from archived alerts, as serve does: files like Wazuh's alerts.json and archives.json, plain or
compressed with gzip, and directories of them. serve may run meanwhile. An alert counts once, however often its file is imported, and
also if serve has recorded it; files are known by their first 4 KiB, those that are shorter only by all of them. What is older
than history.days is left out.`,
		Example: `  sudo custom-misp history import /var/ossec/logs/alerts
  sudo custom-misp history import old/ossec-alerts-01.json.gz`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cli.WrongUsef("no file named; name files or directories with alerts")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return importHistory(cmd.Context(), s, *g, args) },
	}
}

// An importer records the alerts of files.
type importer struct {
	into     *history.Import
	engine   *engine.Engine
	suppress *enrich.Suppression
	read     app.HistoryReader

	alerts, added, unreadable int
	errs                      io.Writer // of the first lines that cannot be read
}

// shownUnreadable is how many lines that cannot be read are shown; all are counted.
const shownUnreadable = 10

func importHistory(ctx context.Context, st cli.Streams, g globals, args []string) error {
	files, err := alertFiles(args) // root may read what Wazuh's user may not
	if err != nil {
		return err
	}
	c, err := g.working(st.Err)
	if err != nil {
		return err
	}
	i, err := newImporter(c, st)
	if err != nil {
		return err
	}
	failed := false
	for _, u := range files.unread {
		failed = true
		cli.PrintError(st.Err, "custom-misp: "+u.name, u.err)
	}
	for _, name := range files.names {
		if err := ctx.Err(); err != nil {
			break
		}
		if err := i.file(ctx, name); err != nil {
			failed = true
			cli.PrintError(st.Err, "custom-misp: "+name, err)
		}
	}
	if err := i.into.Close(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	fmt.Fprintf(st.Out, "%s read in %s, %d with values that are new to the history, %d unreadable\n",
		cli.Plural(i.alerts, "alert"), cli.Plural(len(files.names), "file"), i.added, i.unreadable)
	if err := ctx.Err(); err != nil {
		return err
	}
	if failed {
		return cli.ErrReported
	}
	return nil
}

func newImporter(c *config.Config, st cli.Streams) (*importer, error) {
	e, err := loadEngine(c, nil, st)
	if err != nil {
		return nil, err
	}
	suppress, err := app.Suppression(c, e)
	if err != nil {
		return nil, err
	}
	into, err := history.NewImport(app.HistoryOptions(c, nil))
	if err != nil {
		return nil, err
	}
	return &importer{into: into, engine: e, suppress: suppress, errs: st.Err}, nil
}

// file records the alerts of a file. A line that is no alert is counted and left out.
func (i *importer) file(ctx context.Context, name string) error {
	f, err := cli.OpenNamed(name)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	in := bufio.NewReaderSize(f, 1<<20)
	if magic, _ := in.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(in)
		if err != nil {
			return err
		}
		in = bufio.NewReaderSize(z, 1<<20)
	}
	start, err := in.Peek(history.PrefixLength)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if err := i.into.Begin(start); err != nil {
		return err
	}
	for offset := int64(0); ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		line, length, err := readLine(in)
		if length > 0 {
			if err := i.line(line, name, offset, offset+length); err != nil {
				return err
			}
			offset += length
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// readLine reads a line without its newline, and returns how many bytes it takes; of one that is too long for an alert nothing
// but that.
func readLine(in *bufio.Reader) (line []byte, length int64, err error) {
	for {
		part, err := in.ReadSlice('\n')
		length += int64(len(part))
		if length <= enrich.MaxAlert+1 {
			line = append(line, part...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			if length > enrich.MaxAlert+1 {
				line = nil
			}
			return bytes.TrimSuffix(line, []byte("\n")), length, err
		}
	}
}

// line records the alert of a line.
func (i *importer) line(text []byte, file string, from, to int64) error {
	if len(text) > 0 && len(bytes.TrimSpace(text)) == 0 {
		return nil
	}
	i.alerts++
	a, err := enrich.ParseAlert(text)
	if err != nil {
		if i.unreadable++; i.unreadable <= shownUnreadable {
			cli.PrintError(i.errs, fmt.Sprintf("%s at byte %d", file, from), err)
		}
		return nil
	}
	if wazuh.IsEnrichment(a.JSON) {
		return nil
	}
	observables, _, _ := i.engine.PickWithCuts(a.JSON) // lint says what is wrong with a mapping
	if len(observables) == 0 {
		return nil
	}
	if v, err := i.suppress.OfAlert(a.JSON); err != nil || !v.Reported() {
		return nil //nolint:nilerr // as in serve: what may be ignored is not recorded
	}
	added, err := i.into.Add(&history.Seen{Alert: i.read.Alert(a.JSON, file, from), Observables: observables}, to)
	if added {
		i.added++
	}
	return err
}
