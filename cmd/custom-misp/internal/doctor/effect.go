package doctor

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/cmd/custom-misp/internal/config"
	"custom-misp/engine"
	"custom-misp/engine/atomicfile"
	"custom-misp/engine/enrich"
	"custom-misp/misp"
)

// checkEffect looks for settings that are right in form and change nothing, or everything.
func (i *examination) checkEffect(ctx context.Context) []Finding {
	if i.configErr != nil {
		return []Finding{skipped("the configuration has faults")}
	}
	findings := i.commentedValues()
	if declared, _, err := app.Sources(i.config); err == nil {
		for _, w := range app.SourceWarnings(i.config, declared) {
			findings = append(findings, warning(w.Remedy, "%s:%d: %s", w.File, w.Line, w.Message))
		}
	}
	if i.config.Lookup.Policy != config.PolicyLive {
		findings = append(findings, i.staleTooSoon()...)
		findings = append(findings, i.filteredSources(ctx)...)
	}
	if len(findings) == 0 {
		return []Finding{good("no setting without effect is known")}
	}
	return findings
}

// hasComment reports whether there is a # behind a blank.
func hasComment(value string) bool {
	return strings.Contains(value, " #") || strings.Contains(value, "\t#")
}

// commentedValues finds values to ignore with a comment behind them, which is part of the value.
func (i *examination) commentedValues() []Finding {
	var findings []Finding
	for _, file := range i.config.Ignore.Files {
		data, err := atomicfile.ReadRegular(file, cli.MaxFile)
		if err != nil {
			continue // which other checks say
		}
		for n, line := range strings.Split(string(data), "\n") {
			if line = strings.TrimSpace(line); !strings.HasPrefix(line, "#") && hasComment(line) {
				findings = append(findings, problem(fmt.Sprintf(`sed -i 's|^\([^#].*[^[:space:]]\)[[:space:]]\{1,\}#.*|\1|' %s`, file),
					"%s:%d: the comment behind the value counts as part of it, so the value is not ignored", file, n+1))
				break
			}
		}
	}
	for _, value := range i.config.Ignore.Values {
		if hasComment(value) {
			findings = append(findings, problem("take the comment out of the value in ignore.values in "+i.config.File,
				"ignore.values: a comment counts as part of the value, so the value is not ignored"))
		}
	}
	return findings
}

// staleTooSoon finds a mirror that is reported as stale although all is well.
func (i *examination) staleTooSoon() []Finding {
	var longest time.Duration
	var key string
	if i.config.MirrorsMISP() {
		longest, key = i.config.Mirror.Interval, "mirror.interval"
	}
	if len(i.config.Mirror.Feeds)+len(i.config.Mirror.Lists) > 0 && i.config.Mirror.FeedInterval > longest {
		longest, key = i.config.Mirror.FeedInterval, "mirror.feed_interval"
	}
	if i.config.Serve.StaleAfter > longest {
		return nil
	}
	return []Finding{warning(fmt.Sprintf("set serve.stale_after in %s to twice the value of %s or more", i.config.File, key),
		"serve.stale_after (%s) is not longer than %s (%s): the mirror is reported as stale between two syncs", i.config.Serve.StaleAfter, key, longest)}
}

// maxRead is how many attributes of the mirror are read to find settings without effect.
const maxRead = 3_000_000

// filteredSources reads the mirror for what the filters of look-ups leave of it.
func (i *examination) filteredSources(ctx context.Context) []Finding {
	m, err := app.Mirror(i.config)
	if err != nil {
		return nil // which checkDaemon says
	}
	defer m.Close()
	whole := m.Filter()
	conditions := conditionsOf(whole)
	if len(conditions) == 0 {
		return nil
	}
	left := newSurvey(whole, conditions)
	for a, err := range m.All() {
		if err != nil {
			continue
		}
		if left.read++; left.read > maxRead || left.read%1024 == 0 && ctx.Err() != nil {
			return []Finding{{Check: "effect", Status: StatusSkipped, Found: "the mirror is too large to find settings without effect in it"}}
		}
		left.add(a, i.now())
	}
	return i.surveyed(left)
}

// conditionsOf returns what a filter asks for, as a filter for each key of the configuration.
func conditionsOf(f engine.Filter) map[string]engine.Filter {
	all := map[string]engine.Filter{}
	put := func(key string, set bool, one engine.Filter) {
		if set {
			one.Missing, one.MissingOf = f.Missing, f.MissingOf
			all[key] = one
		}
	}
	put("lookup.to_ids", f.ToIDs != nil && *f.ToIDs, engine.Filter{ToIDs: f.ToIDs})
	put("lookup.published", f.Published != nil && *f.Published, engine.Filter{Published: f.Published})
	put("lookup.tags", len(f.Tags) > 0, engine.Filter{Tags: f.Tags})
	put("lookup.exclude_tags", len(f.ExcludeTags) > 0, engine.Filter{ExcludeTags: f.ExcludeTags})
	put("lookup.orgs", len(f.Orgs) > 0, engine.Filter{Orgs: f.Orgs})
	put("lookup.exclude_orgs", len(f.ExcludeOrgs) > 0, engine.Filter{ExcludeOrgs: f.ExcludeOrgs})
	put("lookup.min_threat_level", f.MinThreatLevel != "", engine.Filter{MinThreatLevel: f.MinThreatLevel})
	put("lookup.max_age", f.MaxAge != nil, engine.Filter{MaxAge: f.MaxAge})
	return all
}

// A survey counts what filters leave of a mirror.
type survey struct {
	whole      engine.Filter
	conditions map[string]engine.Filter
	read       int
	attributes map[string]int             // by source
	accepted   map[string]int             // by source
	by         map[string]map[string]bool // source → key → some attribute is accepted
	tags       map[string]bool            // that the filter asks for → some attribute has it
}

func newSurvey(whole engine.Filter, conditions map[string]engine.Filter) *survey {
	s := &survey{
		whole: whole, conditions: conditions, attributes: map[string]int{}, accepted: map[string]int{}, by: map[string]map[string]bool{},
		tags: map[string]bool{},
	}
	for _, tag := range whole.Tags {
		s.tags[tag] = false
	}
	return s
}

func (s *survey) add(a misp.Attribute, now time.Time) {
	s.attributes[a.Origin]++
	if enrich.Accepts(s.whole, engine.MatchExact, a, now) {
		s.accepted[a.Origin]++
	}
	if s.by[a.Origin] == nil {
		s.by[a.Origin] = map[string]bool{}
	}
	for key, f := range s.conditions {
		if !s.by[a.Origin][key] && enrich.Accepts(f, engine.MatchExact, a, now) {
			s.by[a.Origin][key] = true
		}
	}
	for tag, seen := range s.tags {
		if !seen && misp.AnyTag([]string{tag}, a.Tags) {
			s.tags[tag] = true
		}
	}
}

// surveyed says which sources and tags the filters leave nothing of.
func (i *examination) surveyed(s *survey) []Finding {
	var findings []Finding
	for _, source := range slices.Sorted(maps.Keys(s.attributes)) {
		if s.accepted[source] > 0 {
			continue
		}
		var keys []string
		for _, key := range slices.Sorted(maps.Keys(s.conditions)) {
			if !s.by[source][key] {
				keys = append(keys, key)
			}
		}
		by := strings.Join(keys, ", ")
		if by == "" {
			by = "the settings of lookup together"
		}
		findings = append(findings, warning("change "+by+" in "+i.config.File+" if "+source+" is to give hits, or take the source out",
			"%s: %s, and no look-up can find one, because of %s", source, cli.Plural(s.attributes[source], "attribute"), by))
	}
	if s.read == 0 {
		return findings
	}
	for _, tag := range slices.Sorted(maps.Keys(s.tags)) {
		if !s.tags[tag] {
			findings = append(findings, warning("write the tag as MISP has it, or take it out of lookup in "+i.config.File, "no attribute in the mirror has the tag %q", tag))
		}
	}
	return findings
}
