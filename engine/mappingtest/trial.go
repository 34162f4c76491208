package mappingtest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"custom-misp/engine"
	"custom-misp/engine/yamlfile"
)

// A Trial holds mappings against many alerts, for [Trial.Faults]. Every alert counts; what a fault says of the nearest name is
// from a sample. It is for one goroutine; several of one engine can be merged.
type Trial struct {
	engine           *engine.Engine
	alerts           int
	tally            engine.Tally
	sample           sample
	groups, decoders map[string]bool
	skipped          int
	kinds            []string // of the last alert
}

// NewTrial returns a trial of the mappings of e.
func NewTrial(e *engine.Engine) *Trial {
	return &Trial{engine: e, groups: map[string]bool{}, decoders: map[string]bool{}}
}

// Skip counts something that is not an alert.
func (t *Trial) Skip() { t.skipped++ }

// Add tries the mappings on an alert. number is its place in the input, and rises from one alert to the next.
func (t *Trial) Add(number int, alert []byte) {
	t.alerts++
	_, _ = t.engine.PickTally(alert, &t.tally) // which counts what fails
	t.kinds = append(t.kinds[:0], kindOf(alert))
	for _, id := range t.tally.Matched() {
		t.kinds = append(t.kinds, matchedBy(id))
	}
	t.sample.add(number, alert, t.kinds...)
	see := func(names map[string]bool, name string) {
		if len(names) < maxNames && name != "" {
			names[strings.Clone(name)] = true
		}
	}
	see(t.decoders, gjson.GetBytes(alert, "decoder.name").String())
	gjson.GetBytes(alert, "rule.groups").ForEach(func(_, g gjson.Result) bool {
		see(t.groups, strings.TrimSpace(g.String()))
		return true
	})
}

// Merge adds what another trial of the same engine counted.
func (t *Trial) Merge(o *Trial) {
	t.alerts += o.alerts
	t.tally.Merge(&o.tally)
	t.sample.merge(&o.sample)
	t.skipped += o.skipped
	for _, names := range []struct{ to, from map[string]bool }{{t.groups, o.groups}, {t.decoders, o.decoders}} {
		for name := range names.from {
			names.to[name] = true
		}
	}
}

// Alerts returns how many alerts were tried.
func (t *Trial) Alerts() int { return t.alerts }

// Sampled returns how many alerts are in the sample.
func (t *Trial) Sampled() int { return len(t.sample.all()) }

// Vocabulary returns the names in the alerts, of fields those of the sample, as [engine.ParseVocabulary] reads them.
func (t *Trial) Vocabulary() string {
	var v Vocabulary
	for _, alert := range t.sample.all() {
		v.Add(alert)
	}
	for name := range t.groups {
		v.AddKey("group", name)
	}
	for name := range t.decoders {
		v.AddKey("decoder", name)
	}
	return v.String()
}

// Faults returns, as warnings, what mappings that are not built in do with the alerts, but are hardly meant to: match none, pick
// nothing, drop every value. They have the number of alerts. It is empty if there were none.
func (t *Trial) Faults() yamlfile.Faults {
	if t.Alerts() == 0 {
		return nil
	}
	var faults yamlfile.Faults
	counts := map[string]engine.MappingCount{}
	for _, c := range t.tally.Counts() {
		counts[c.ID] = c
	}
	mappings := slices.DeleteFunc(t.engine.Mappings(), func(m engine.Mapping) bool { return m.Builtin })
	var never []string
	for _, m := range mappings {
		if counts[m.ID].Matched == 0 {
			never = append(never, m.ID)
		}
	}
	sampled := t.sample.all()
	conditions := t.engine.Conditions(sampled, never...)
	for _, m := range mappings {
		found := &mappingFaults{mapping: m, count: counts[m.ID]}
		if found.count.Matched == 0 {
			found.neverMatches(t, conditions[m.ID], sampled)
		} else {
			found.picks(t.engine, t.sample.of(matchedBy(m.ID)))
		}
		for _, f := range found.faults {
			f.Alerts = t.Alerts()
			faults = append(faults, f)
		}
	}
	return faults
}

// mappingFaults collects the faults of one mapping.
type mappingFaults struct {
	mapping engine.Mapping
	count   engine.MappingCount
	faults  yamlfile.Faults
}

func (f *mappingFaults) warn(line int, remedy, format string, args ...any) {
	f.faults = append(f.faults, yamlfile.Fault{
		Warning: true, File: f.mapping.File, Line: line, Column: 1, Message: fmt.Sprintf(format, args...), Remedy: remedy,
	})
}

// seeExplain is the remedy where nothing better is known.
const seeExplain = "custom-misp explain -m FILE ALERT shows each condition with its value"

// neverMatches says why a mapping matches no alert: by the condition that alone is in the way, if there is one.
func (f *mappingFaults) neverMatches(t *Trial, conditions []engine.Condition, sampled [][]byte) {
	m := f.mapping
	if f.count.Failed > 0 {
		remedy, why := failedCondition(conditions)
		f.warn(m.Line, remedy, "mapping %q matches none of %s, and match fails on %d of them%s", m.ID, alertCount(t.Alerts()), f.count.Failed, why)
		return
	}
	alone, count := -1, 0
	var never []int
	for i, c := range conditions {
		n, met := 0, 0
		for a := range sampled {
			if c.Met[a] {
				met++
			} else if othersMet(conditions, i, a) {
				n++
			}
		}
		if met == 0 {
			never = append(never, i)
		}
		if n > count {
			alone, count = i, n
		}
	}
	start := fmt.Sprintf("mapping %q matches none of %s", m.ID, alertCount(t.Alerts()))
	of := ""
	if len(sampled) < t.Alerts() {
		of = " of a sample of " + fmt.Sprint(len(sampled))
	}
	switch {
	case len(conditions) == 1:
		f.warn(m.Line, orText(t.remedyOf(conditions[0], sampled, nil), seeExplain), "%s: %s is true in none%s",
			start, oneLine(conditions[0].Expression), t.valuesOf(conditions[0], sampled))
	case alone >= 0:
		rest := alertsWhere(conditions, alone, sampled)
		c := conditions[alone]
		f.warn(m.Line, orText(t.remedyOf(c, rest, rest), seeExplain), "%s: %s is false in the %d%s that meet the other conditions%s",
			start, oneLine(c.Expression), count, of, t.valuesOf(c, rest))
	case len(never) > 0:
		texts, remedies := []string{}, []string{}
		for _, i := range never {
			texts = append(texts, oneLine(conditions[i].Expression))
			if r := t.remedyOf(conditions[i], sampled, nil); r != "" && !slices.Contains(remedies, r) {
				remedies = append(remedies, r)
			}
		}
		f.warn(m.Line, orText(strings.Join(remedies, "; "), seeExplain), "%s: %s is true in none%s", start, strings.Join(texts, ", and "), of)
	default:
		parts := make([]string, 0, len(conditions))
		for _, c := range conditions {
			parts = append(parts, fmt.Sprintf("%s is false in %d", oneLine(c.Expression), len(sampled)-countTrue(c.Met)))
		}
		f.warn(m.Line, seeExplain, "%s: %s%s", start, strings.Join(parts, ", "), of)
	}
}

// failedCondition returns what to write for a condition that fails where a field is absent, and why it fails.
func failedCondition(conditions []engine.Condition) (remedy, why string) {
	for _, c := range conditions {
		if c.Error != "" && len(c.Fields) > 0 {
			return fmt.Sprintf("if the field may be absent, write has(%q) and before it", c.Fields[0].Path), ": " + oneLine(c.Error)
		}
	}
	return seeExplain, ""
}

func alertCount(n int) string {
	if n == 1 {
		return "1 alert"
	}
	return fmt.Sprintf("%d alerts", n)
}

func countTrue(met []bool) int {
	n := 0
	for _, ok := range met {
		if ok {
			n++
		}
	}
	return n
}

// othersMet reports whether all conditions but one are true of an alert.
func othersMet(conditions []engine.Condition, but, alert int) bool {
	for i, c := range conditions {
		if i != but && !c.Met[alert] {
			return false
		}
	}
	return true
}

// alertsWhere returns the alerts of which all conditions but one are true.
func alertsWhere(conditions []engine.Condition, but int, alerts [][]byte) [][]byte {
	var rest [][]byte
	for a, alert := range alerts {
		if !conditions[but].Met[a] && othersMet(conditions, but, a) {
			rest = append(rest, alert)
		}
	}
	return rest
}

func orText(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// remedyOf returns what to write instead of a condition that is false in some alerts: the nearest group, decoder, field or
// value. In rest, all other conditions are true; it is nil if that is not known.
func (t *Trial) remedyOf(c engine.Condition, alerts, rest [][]byte) string {
	for _, g := range c.Groups {
		if near := nearName(g, t.groups); near != "" {
			return fmt.Sprintf("did you mean the group %q?", near)
		}
	}
	for _, d := range c.Decoders {
		if near := nearName(d, t.decoders); near != "" {
			return fmt.Sprintf("did you mean the decoder %q?", near)
		}
	}
	for _, field := range c.Fields {
		values := valuesAt(alerts, field.Path)
		for _, text := range field.Texts {
			if near := nearName(text, values); near != "" {
				return fmt.Sprintf("did you mean %q?", near)
			}
		}
		if len(values) == 0 {
			if near, _ := nearIn(alerts, field.Path); near != "" {
				return didYouMean(field.Path, near)
			}
		}
	}
	switch {
	case rest == nil:
	case len(c.Groups) > 0:
		return "these alerts have the groups " + quotedNames(groupsOf(rest))
	case len(c.Decoders) > 0:
		return "these alerts have the decoder " + quotedNames(valuesAt(rest, "decoder.name"))
	}
	return ""
}

// valuesOf says what the fields of a condition are in some alerts, "" if it has none.
func (t *Trial) valuesOf(c engine.Condition, alerts [][]byte) string {
	for _, field := range c.Fields {
		values := valuesAt(alerts, field.Path)
		if len(values) == 0 {
			return fmt.Sprintf(", which have no %s", field.Path)
		}
		if len(field.Texts) > 0 || !strings.HasPrefix(field.Path, "data") {
			return fmt.Sprintf(", where %s is %s", field.Path, quotedNames(values))
		}
	}
	return ""
}

func groupsOf(alerts [][]byte) map[string]bool {
	groups := map[string]bool{}
	for _, alert := range alerts {
		gjson.GetBytes(alert, "rule.groups").ForEach(func(_, g gjson.Result) bool {
			groups[strings.TrimSpace(g.String())] = true
			return true
		})
	}
	return groups
}

// maxValuesAt is how many values of a field are looked at.
const maxValuesAt = 500

func valuesAt(alerts [][]byte, path string) map[string]bool {
	values := map[string]bool{}
	for _, alert := range alerts {
		if v := gjson.GetBytes(alert, path); v.Exists() && len(v.String()) <= 100 && len(values) < maxValuesAt {
			values[v.String()] = true
		}
	}
	return values
}

// quotedNames returns a few names in quotes, sorted.
func quotedNames(names map[string]bool) string {
	const shown = 6
	list := make([]string, 0, len(names))
	for name := range names {
		list = append(list, fmt.Sprintf("%q", printable(name)))
	}
	slices.Sort(list)
	if len(list) > shown {
		return strings.Join(list[:shown], ", ") + fmt.Sprintf(" and %d more", len(list)-shown)
	}
	return strings.Join(list, ", ")
}

// nearName returns the name that a text that is none of them is another spelling of, or near to; "" if none is, and if it is one.
func nearName(text string, names map[string]bool) string {
	if names[text] || text == "" {
		return ""
	}
	words := make([]string, 0, len(names))
	for name := range names {
		words = append(words, name)
	}
	slices.Sort(words)
	for _, word := range words {
		if spelling(word) == spelling(text) {
			return word
		}
	}
	near := yamlfile.Nearest(text, words)
	if d := len(near) - len(text); near == "" || len(text) < 4 || near[0] != text[0] || d < -3 || d > 3 {
		return "" // of short words, each is near to another
	}
	if strings.Trim(near, "0123456789") == strings.Trim(text, "0123456789") {
		return "" // another number is another thing
	}
	return near
}
