package mappingtest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"custom-misp/engine"
	"custom-misp/engine/yamlfile"
)

// Alerts returns how many alerts the profile is of.
func (p *Profile) Alerts() int { return p.alerts }

// Faults returns, as warnings, which mappings that are not built in cannot match an alert of the profile, and which picks find no
// value, or none of their type, in those that they may match. A value is not known: what depends on one may be.
func (p *Profile) Faults(e *engine.Engine) yamlfile.Faults {
	if len(p.kinds) == 0 {
		return nil
	}
	kinds := p.sorted()
	alerts := make([][]byte, len(kinds))
	seen := Trial{groups: map[string]bool{}, decoders: map[string]bool{}}
	for i, k := range kinds {
		alerts[i] = k.skeleton()
		seen.decoders[k.decoder] = true
		for _, g := range k.groups {
			seen.groups[g] = true
		}
	}
	mappings := slices.DeleteFunc(e.Mappings(), func(m engine.Mapping) bool { return m.Builtin })
	ids := make([]string, len(mappings))
	for i, m := range mappings {
		ids[i] = m.ID
	}
	conditions := e.PossibleConditions(alerts, ids...)
	var faults yamlfile.Faults
	for _, m := range mappings {
		f := &mappingFaults{mapping: m}
		list := conditions[m.ID]
		for i := range list {
			byRule(&list[i], kinds)
		}
		var may []int
		for k := range kinds {
			if !slices.ContainsFunc(list, func(c engine.Condition) bool { return !c.Met[k] }) {
				may = append(may, k)
			}
		}
		if len(may) == 0 {
			f.impossible(&seen, list, alerts)
		} else {
			f.profiledPicks(kinds, alerts, may)
		}
		for _, fault := range f.faults {
			fault.Alerts = p.alerts
			faults = append(faults, fault)
		}
	}
	return faults
}

// byRule takes back what a condition on nothing but rule.id may be of: a profile has the ids of rules.
func byRule(c *engine.Condition, kinds []*profiledKind) {
	if len(c.Fields) != 1 || c.Fields[0].Path != "rule.id" || len(c.Groups)+len(c.Decoders) > 0 || !strings.HasPrefix(c.Expression, "rule.id ") {
		return
	}
	for i, k := range kinds {
		c.Met[i] = c.Met[i] && (len(c.Fields[0].Texts) == 0 || len(k.rules) >= maxProfiledRules ||
			slices.ContainsFunc(c.Fields[0].Texts, func(id string) bool { return k.rules[id] }))
	}
}

// skeleton returns an alert with the names of a kind. Texts are empty, numbers 0.
func (k *profiledKind) skeleton() []byte {
	root := map[string]any{"rule": map[string]any{"groups": k.groups}, "decoder": map[string]any{"name": k.decoder}}
	for path, f := range k.fields {
		var value any = ""
		switch {
		case f&formObject != 0:
			value = map[string]any{}
		case f&formObjects != 0:
			value = []any{map[string]any{}}
		case f&formList != 0:
			value = []any{""}
		case f == formNumber:
			value = 0
		}
		put(root, stepsOf(path), value)
	}
	text, err := json.Marshal(root)
	if err != nil {
		return nil // not of these types
	}
	return text
}

// put sets the value at a path of an object. What is there as an object or a list of objects stays.
func put(object map[string]any, steps []string, value any) {
	name := unescapeStep(steps[0])
	if len(steps) == 1 {
		if _, there := object[name]; !there {
			object[name] = value
		}
		return
	}
	if steps[1] == "#" && len(steps) > 2 {
		list, ok := object[name].([]any)
		if !ok || len(list) == 0 {
			list = []any{map[string]any{}}
		}
		item, ok := list[0].(map[string]any)
		if !ok {
			item = map[string]any{}
			list[0] = item
		}
		object[name] = list
		put(item, steps[2:], value)
		return
	}
	inner, ok := object[name].(map[string]any)
	if !ok {
		inner = map[string]any{}
		object[name] = inner
	}
	put(inner, steps[1:], value)
}

// impossible says why no kind of alert can meet a match.
func (f *mappingFaults) impossible(seen *Trial, conditions []engine.Condition, alerts [][]byte) {
	var texts, remedies []string
	for i, c := range conditions {
		if slices.Contains(c.Met, true) {
			continue
		}
		texts = append(texts, oneLine(c.Expression))
		near := alertsWhere(conditions, i, alerts)
		if len(near) == 0 {
			near = alerts
		}
		if r := seen.remedyOf(c, near, nil); r != "" && !slices.Contains(remedies, r) {
			remedies = append(remedies, r)
		}
	}
	start := fmt.Sprintf("mapping %q cannot match an alert like those of the profile", f.mapping.ID)
	if len(texts) == 0 {
		for _, c := range conditions {
			texts = append(texts, oneLine(c.Expression))
		}
		f.warn(f.mapping.Line, "join by and only what one alert has", "%s: no kind of alert has all of %s", start, strings.Join(texts, ", "))
		return
	}
	f.warn(f.mapping.Line, orText(strings.Join(remedies, "; "), "compare it with the groups, decoders and fields in the profile"),
		"%s: none can meet %s", start, strings.Join(texts, ", nor "))
}

// profiledPicks warns of picks that find nothing in the kinds of alerts that their mapping may match.
func (f *mappingFaults) profiledPicks(kinds []*profiledKind, alerts [][]byte, may []int) {
	matched := make([][]byte, 0, len(may))
	for _, k := range may {
		matched = append(matched, alerts[k])
	}
	for i, p := range f.mapping.Picks {
		top, _, _ := strings.Cut(p.Path, ".")
		if len(p.Names) > 0 || envelope[top] || strings.ContainsAny(p.Path, `*?()[]{}|@!`) {
			continue
		}
		fault := pickFault{mappingFaults: f, line: p.Line, alerts: matched}
		fault.count.Path, fault.count.Type = p.Path, p.Type
		var forms form
		var object gjson.Result
		for _, k := range may {
			if v := gjson.GetBytes(alerts[k], p.Path); len(namesIn(v)) > 0 {
				object = v
			}
			forms |= kinds[k].fields[p.Path] | kinds[k].fields[strings.TrimSuffix(p.Path, ".#")]
		}
		switch {
		case object.Exists() && forms&^(formObject|formObjects) == 0:
			f.warn(p.Line, objectRemedy(p.Path, object, namesIn(object)), "pick %s is of an object with members, from which nothing is taken", p.Path)
		case forms == 0:
			f.warn(p.Line, strings.ReplaceAll(fault.nearestField(p.Path), `\\*`, "*"), "pick %s finds no value in alerts that mapping %q may match, as the profile has them", p.Path, f.mapping.ID)
		case f.mapping.Picks[i].Whole:
			f.formOf(p, forms)
		}
	}
}

// wholeForms are the forms of which a value of a family can be.
var wholeForms = map[engine.Family]form{
	engine.Type("ip-dst").Family():        formAddress | formPrivate,
	engine.Type("hostname").Family():      formName | formURL,
	engine.Type("url").Family():           formURL | formName,
	engine.Type("email-src").Family():     formEmail,
	engine.Type("md5").Family():           formMD5,
	engine.Type("sha1").Family():          formSHA1,
	engine.Type("sha256").Family():        formSHA256,
	engine.Type("sha512").Family():        formSHA512,
	engine.Type("vulnerability").Family(): formCVE,
}

// formOf warns of a pick of whole texts that have never the form of its type.
func (f *mappingFaults) formOf(p engine.MappingPick, forms form) {
	wanted := wholeForms[p.Type.Family()]
	values := forms &^ (formList | formObject | formObjects)
	switch {
	case wanted == 0 || values == 0:
	case !p.Private && values == formPrivate && wanted&formPrivate != 0:
		f.warn(p.Line, "nothing else is wrong if all are your own; private: true picks them too", "pick %s finds only addresses that are not public, and drops them", p.Path)
	case values&formJSON != 0:
	case values&wanted == 0 && values&formWithin != 0:
		f.warn(p.Line, "use split, prefix, regex or scan: true", "pick %s finds longer texts with values in them, and never one that is of type %s alone", p.Path, p.Type)
	case values&wanted == 0 && values&formText == 0:
		f.warn(p.Line, "another type, or another path", "pick %s finds %s, and never a value of type %s", p.Path, values, p.Type)
	}
}
