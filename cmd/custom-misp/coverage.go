package main

import (
	"fmt"
	"io"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/engine/mappingtest"
	"custom-misp/engine/wazuh"
)

// coverageFlags are the flags of the verb coverage.
type coverageFlags struct {
	output   string
	mappings []string
	own      []string
	rows     int
}

func newCoverage(s cli.Streams, g *globals) *cobra.Command {
	var f coverageFlags
	cmd := &cobra.Command{
		Use:   "coverage [flags] FILE|DIR...|-",
		Short: "Count what the mappings pick from your alerts, and list what they do not pick",
		Long: `Run the mappings over alerts without looking anything up. Count for each decoder and rule group: alerts, alerts with a
picked value, values by type. Count for each mapping how many alerts were considered and matched, and for each of its picks the
values, and the candidates that were dropped, by reason. Then list, by path and type, values that look like indicators but are
not picked. The form html is one page that needs no network.

A FILE is read as enrich reads it. In a DIR, all *.json, *.jsonl and *.ndjson below it are read, also compressed as .gz, and
each file once. Addresses that are
not public do not count, and neither do your own values (--own). The raw log and the envelope of an alert (rule, agent,
manager, decoder, location) are not searched.`,
		Example: `  custom-misp coverage /var/ossec/logs/alerts
  custom-misp coverage --own corp.example --own 192.31.196.0/24 alerts.json
  custom-misp coverage --output json -m my-mappings alerts.json.gz
  custom-misp coverage --output html alerts.json > coverage.html`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cli.WrongUsef("no alerts named; name files or directories, or - for standard input")
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error { return coverage(s, *g, f, args) },
	}
	cmd.Flags().StringArrayVarP(&f.mappings, "mappings", "m", nil, "file or directory with more mappings; may be repeated")
	cmd.Flags().StringArrayVar(&f.own, "own", nil, "your own domain or network, which does not count as an indicator; may be repeated")
	cmd.Flags().IntVar(&f.rows, "rows", 30, "maximum rows of each table; 0 for all")
	outputFlag(cmd, &f.output, "table", "table", "json", "html")
	return cmd
}

func coverage(s cli.Streams, g globals, f coverageFlags, args []string) error {
	e, err := loadEngine(g.known(s.Err), f.mappings, s)
	if err != nil {
		return err
	}
	own, err := ownValues(f.own)
	if err != nil {
		return err
	}
	files, err := alertFiles(args)
	if err != nil {
		return err
	}
	watch, done := progress(s, files.size)
	total, failed := countAll(s, e, own, files, watch)
	done()
	r := total.Report()
	switch f.output {
	case "json":
		err = cli.WriteJSON(s.Out, r)
	case "html":
		err = writeCoveragePage(s.Out, r, f.rows)
	default:
		err = writeCoverage(s.Out, r, f.rows)
	}
	if err == nil && failed {
		err = cli.ErrReported
	}
	return err
}

// progress returns what watches how much of so many bytes is read, and shows it on a terminal if that takes a while, and what is
// done at the end.
func progress(s cli.Streams, size int64) (watch func(io.Reader) io.Reader, done func()) {
	if !cli.IsTerminal(s.Err) || size <= 50<<20 {
		return func(r io.Reader) io.Reader { return r }, func() {}
	}
	bar := progressbar.NewOptions64(size, progressbar.OptionSetWriter(s.Err), progressbar.OptionShowBytes(true),
		progressbar.OptionSetDescription("reading alerts"), progressbar.OptionClearOnFinish(),
		progressbar.OptionThrottle(200*time.Millisecond))
	return func(r io.Reader) io.Reader { return io.TeeReader(r, bar) }, func() { _ = bar.Finish() }
}

// countAll reads the files one after the other and counts on all cores. The first few that are no alerts are reported.
func countAll(s cli.Streams, e *engine.Engine, own func(engine.Type, string) bool, files alertFileList, watch func(io.Reader) io.Reader) (*mappingtest.Coverage, bool) {
	type item struct {
		at   wazuh.Position
		text []byte
	}
	const batch, told = 128, 20
	work := make(chan []item, 2*runtime.GOMAXPROCS(0))
	total := mappingtest.NewCoverage(e, own)
	var mu sync.Mutex
	faults := 0
	fault := func(at wazuh.Position, err error) {
		mu.Lock()
		defer mu.Unlock()
		if faults++; faults <= told {
			cli.PrintError(s.Err, at.String(), err)
		}
	}
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			c := mappingtest.NewCoverage(e, own)
			for items := range work {
				for _, i := range items {
					a, err := enrich.ParseAlert(i.text)
					if err != nil {
						fault(i.at, err)
						c.Skip()
						continue
					}
					c.Add(a.JSON)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			total.Merge(c)
		})
	}
	for _, u := range files.unread {
		fault(wazuh.Position{File: u.name, Item: -1}, u.err)
	}
	for _, name := range files.names {
		items := make([]item, 0, batch)
		_ = eachText(name, s, watch, func(at wazuh.Position, text []byte, err error) error {
			if err != nil {
				fault(at, err)
				return nil
			}
			if items = append(items, item{at, text}); len(items) == batch {
				work <- items
				items = make([]item, 0, batch)
			}
			return nil
		})
		work <- items
	}
	close(work)
	workers.Wait()
	if faults > told {
		fmt.Fprintf(s.Err, "custom-misp: %d more like these\n", faults-told)
	}
	return total, faults > 0
}

// ownValues returns what tells values of the site's own from others.
func ownValues(own []string) (func(engine.Type, string) bool, error) {
	var networks []netip.Prefix
	var domains []string
	for _, o := range own {
		if p, err := netip.ParsePrefix(o); err == nil {
			networks = append(networks, p)
			continue
		}
		domain, err := engine.Type("domain").Normal(o)
		if err != nil {
			return nil, cli.WrongUsef("--own %q is neither a domain nor a network like 192.31.196.0/24", o)
		}
		domains = append(domains, domain)
	}
	return func(t engine.Type, value string) bool {
		if a, err := netip.ParseAddr(value); err == nil {
			return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(a) })
		}
		host := value
		switch t.Family() {
		case "url":
			_, rest, _ := strings.Cut(value, "://")
			host = strings.FieldsFunc(rest+"/", func(r rune) bool { return strings.ContainsRune("/?#:", r) })[0]
		case "email":
			_, host, _ = strings.Cut(value, "@")
		}
		return slices.ContainsFunc(domains, func(d string) bool { return host == d || strings.HasSuffix(host, "."+d) })
	}, nil
}
