package main

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/engine"
	"custom-misp/engine/mappingtest"
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
	total, failed := readAlerts(s, files, func() counted { return counted{mappingtest.NewCoverage(e, own)} })
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

// counted is a coverage as readAlerts fills it.
type counted struct{ *mappingtest.Coverage }

func (c counted) add(_ int, alert []byte) { c.Add(alert) }
func (c counted) skip()                   { c.Skip() }
func (c counted) merge(o counted)         { c.Merge(o.Coverage) }

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
