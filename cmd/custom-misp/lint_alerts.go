package main

import (
	"fmt"
	"strings"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/cmd/custom-misp/internal/config"
	"custom-misp/engine"
	"custom-misp/engine/mappingtest"
	"custom-misp/engine/yamlfile"
)

// lintTrial is a trial of mappings on alerts, as readAlerts fills it. The nil lintTrial is none.
type lintTrial struct{ *mappingtest.Trial }

func (t *lintTrial) add(number int, alert []byte) { t.Add(number, alert) }
func (t *lintTrial) skip()                        { t.Skip() }
func (t *lintTrial) merge(o *lintTrial)           { t.Merge(o.Trial) }

// trial holds the mappings against the alerts that are named, or that the configuration names; nil if none are. failed is true if
// some of them could not be read, which is said. c is nil if mapping files are named.
func (f lintFlags) trial(s cli.Streams, g globals, c *config.Config, sources []engine.Source) (t *lintTrial, failed bool, err error) {
	named, of := f.alerts, "--alerts"
	if len(named) == 0 {
		if c == nil {
			c, _ = g.installed() // an author may have none, or one with faults
		}
		named, of = c.Mappings.Sample, "mappings.sample"
	}
	if len(named) == 0 {
		return nil, false, nil
	}
	files, err := alertFiles(named)
	if err != nil {
		return nil, false, cli.WrongUsef("%s: %w", of, err)
	}
	e, _ := app.Compile(sources) // lint reports the faults
	t, failed = readAlerts(s, files, func() *lintTrial { return &lintTrial{mappingtest.NewTrial(e)} })
	return t, failed, nil
}

// vocabulary returns the names in the alerts.
func (t *lintTrial) vocabulary() string {
	if t == nil {
		return ""
	}
	return t.Vocabulary()
}

// faults returns what the mappings do with the alerts, but are hardly meant to.
func (t *lintTrial) faults(sources []engine.Source) yamlfile.Faults {
	if t == nil {
		return nil
	}
	return withLines(t.Faults(), sources)
}

// withLines adds the lines of the files to faults.
func withLines(faults yamlfile.Faults, sources []engine.Source) yamlfile.Faults {
	lines := map[string][]string{}
	for _, src := range sources {
		lines[src.Name] = strings.Split(string(src.Data), "\n")
	}
	for i := range faults {
		f := &faults[i]
		if n := f.Line - 1; n >= 0 && n < len(lines[f.File]) {
			f.Text = lines[f.File][n]
			f.Column = 1 + len(f.Text) - len(strings.TrimLeft(f.Text, " -"))
		}
	}
	return faults
}

// summary says how many alerts were tried, and of how many the nearest names are.
func (t *lintTrial) summary() string {
	n, sampled := t.Alerts(), t.Sampled()
	if sampled == n {
		return "checked against " + cli.Plural(n, "alert")
	}
	return fmt.Sprintf("checked against %s; nearest names are from %d of them, the first %d of each decoder and rule", cli.Plural(n, "alert"), sampled, mappingtest.SampledOfEach)
}

// readProfiles reads the profiles that are named. vocabulary has their names.
func (f lintFlags) readProfiles() (profiles []*mappingtest.Profile, vocabulary string, err error) {
	for _, name := range f.profiles {
		data, err := cli.ReadNamed(name)
		if err != nil {
			return nil, "", cli.WrongUsef("--profile: %w", err)
		}
		p, err := mappingtest.ParseProfile(string(data))
		if err != nil {
			return nil, "", cli.WrongUsef("--profile: %s:%w", name, err)
		}
		profiles, vocabulary = append(profiles, p), vocabulary+string(data)+"\n"
	}
	return profiles, vocabulary, nil
}
