package mappingtest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"custom-misp/engine"
)

// picks warns of the picks that took nothing from the alerts that their mapping matches, and says why. matched are some of these.
func (f *mappingFaults) picks(e *engine.Engine, matched [][]byte) {
	var traces []engine.MappingTrace // of the mapping, for each alert
	for i, c := range f.count.Picks {
		if c.Picked > 0 {
			continue
		}
		if traces == nil {
			traces = tracesOf(e, f.mapping.ID, matched)
		}
		p := pickFault{mappingFaults: f, count: c, line: f.mapping.Picks[i].Line, alerts: matched}
		for _, t := range traces {
			if i < len(t.Picks) {
				p.traces = append(p.traces, t.Picks[i])
			}
		}
		p.find()
	}
}

func tracesOf(e *engine.Engine, mapping string, alerts [][]byte) []engine.MappingTrace {
	traces := make([]engine.MappingTrace, 0, len(alerts))
	for _, alert := range alerts {
		for _, t := range e.Explain(alert).Mappings {
			if t.ID == mapping {
				traces = append(traces, t)
			}
		}
	}
	return traces
}

// A pickFault is about a pick that took nothing.
type pickFault struct {
	*mappingFaults
	count  engine.PickCount
	line   int
	alerts [][]byte           // some that the mapping matches
	traces []engine.PickTrace // of these alerts
}

func (f pickFault) find() {
	c, title, matched := f.count, f.count.Title(), alertCount(f.mappingFaults.count.Matched)
	switch {
	case c.NotApplied == f.mappingFaults.count.Matched:
		f.warn(f.line, seeExplain, "pick %s applies to none of the %s that mapping %q matches: its when is false, or another mapping picked from them", title, matched, f.mapping.ID)
	case len(c.Dropped) > 0:
		f.dropped()
	case len(c.Names) > 0:
		f.warn(f.line, f.nearestMember(), "pick %s takes nothing from the %s that mapping %q matches: they have no member of such a name below %s, or it holds no value of the type",
			title, matched, f.mapping.ID, c.Path)
	case c.Empty == 0:
		f.warn(f.line, f.nearestField(c.Path), "pick %s finds no value in the %s that mapping %q matches", title, matched, f.mapping.ID)
	default:
		f.empty()
	}
}

// empty warns of a pick that found something, but no candidate in it.
func (f pickFault) empty() {
	text := ""
	for _, alert := range f.alerts {
		v := gjson.GetBytes(alert, f.count.Path)
		if names := namesIn(v); len(names) > 0 {
			f.warn(f.line, objectRemedy(f.count.Path, v, names), "pick %s is of an object with members, from which nothing is taken", f.count.Title())
			return
		}
		if text == "" {
			text = v.String()
		}
	}
	if text == "" {
		f.warn(f.line, f.nearestField(f.count.Path), "pick %s finds an empty text or null in the %s that have it", f.count.Title(), alertCount(f.count.Empty))
		return
	}
	f.warn(f.line, "compare prefix, part, regex and decode with the text",
		"pick %s: prefix, part, regex or decode leave nothing of the text in the %s that have it, such as %s", f.count.Title(), alertCount(f.count.Empty), shorten(text))
}

// objectRemedy returns what to write for a path that leads to an object, or to a list of objects.
func objectRemedy(path string, v gjson.Result, names []string) string {
	if v.IsArray() {
		return fmt.Sprintf("it is a list of objects; write %s.#.NAME, with one of: %s", path, firstOf(names))
	}
	return fmt.Sprintf("write %s.NAME, with one of: %s", path, firstOf(names))
}

// dropped warns of a pick of which every value was dropped.
func (f pickFault) dropped() {
	all := 0 // values
	var reasons []string
	for i, why := range f.count.Reasons() {
		n := f.count.Dropped[why]
		all += n
		if i < maxBeside {
			reasons = append(reasons, fmt.Sprintf("%s (%d%s)", why, n, f.example(why)))
		}
	}
	f.warn(f.line, f.dropRemedy(), "pick %s: every value that it finds is dropped, %d in all: %s", f.count.Title(), all, strings.Join(reasons, ", "))
}

// example returns a text that was dropped for a reason, as the end of a clause; empty if there is none at hand.
func (f pickFault) example(why string) string {
	if c := f.candidate(why); c.Text != "" {
		return ", such as " + shorten(c.Text)
	}
	return ""
}

// candidate returns a candidate that was dropped for a reason.
func (f pickFault) candidate(why string) engine.CandidateTrace {
	for _, t := range f.traces {
		for _, c := range t.Candidates {
			if c.Dropped == why {
				return c
			}
		}
	}
	return engine.CandidateTrace{}
}

// dropRemedy returns what to do about the most frequent reason.
func (f pickFault) dropRemedy() string {
	why := f.count.Reasons()[0]
	text := f.candidate(why).Text
	switch {
	case engine.DroppedByKeep(why):
		return "keep is false for every value; value is in normal form there, in small letters for names and hashes"
	case engine.DroppedAsPrivate(why):
		return "nothing else is wrong if all are your own; private: true picks them too"
	}
	if t, _, ok := engine.Recognise(text); ok && t.Family() != f.count.Type.Family() {
		return fmt.Sprintf("they look like type: %s", t)
	}
	if strings.ContainsAny(text, ",; |\t=") {
		return "the text holds more than the value: use split, prefix, regex or scan: true"
	}
	return "another type, or split, regex or decode, if the text holds more than the value"
}

// nearestField returns the remedy for a path that leads nowhere in the alerts.
func (f pickFault) nearestField(path string) string {
	taken := make([]string, 0, len(f.mapping.Picks))
	for _, p := range f.mapping.Picks {
		taken = append(taken, p.Path)
	}
	near, beside := nearIn(f.alerts, path, taken...)
	switch {
	case near != "":
		return didYouMean(path, near)
	case len(beside) > 0:
		return "beside it there are " + firstOf(beside)
	}
	return "custom-misp explain shows what is in an alert; custom-misp suggest writes picks for it"
}

// nearestMember is nearestField for a pick by name.
func (f pickFault) nearestMember() string {
	for _, name := range f.count.Names {
		if near, _ := nearIn(f.alerts, f.count.Path+"."+strings.TrimLeft(name, "*_")); near != "" {
			return fmt.Sprintf("did you mean %q?", near)
		}
	}
	return f.nearestField(f.count.Path + ".x")
}

func firstOf(names []string) string {
	if len(names) > maxBeside {
		return strings.Join(names[:maxBeside], ", ") + fmt.Sprintf(" and %d more", len(names)-maxBeside)
	}
	return strings.Join(names, ", ")
}

// searched is how many alerts are searched for what a path probably means.
const searched = 200

// nearIn returns the path that one which leads nowhere in some alerts is most like, and that is not taken; if there is none, the
// names beside it.
func nearIn(alerts [][]byte, path string, taken ...string) (near string, beside []string) {
	steps := stepsOf(path)
	for _, alert := range alertsWith(alerts, steps[len(steps)-1]) {
		root := gjson.ParseBytes(alert)
		if path, names := nearestPath(root, path); path != "" && !slices.Contains(taken, path) {
			return path, nil
		} else if len(beside) == 0 {
			beside = names
		}
	}
	return "", beside
}

// nearestPath is near, but for a member of the same name at another place: that has to be on the way to it, or below.
func nearestPath(root gjson.Result, path string) (string, []string) {
	found, beside := near(root, path, false)
	if found == "" {
		return "", beside
	}
	was, is := looseParent(path), looseParent(found)
	if was != is && !strings.HasPrefix(was+".", is+".") && !strings.HasPrefix(is+".", was+".") {
		return "", nil
	}
	return found, nil
}

// looseParent is a path without its last step, # of lists and what differs between spellings.
func looseParent(path string) string {
	var b strings.Builder
	steps := stepsOf(path)
	for _, step := range steps[:len(steps)-1] {
		if step != "#" {
			b.WriteString("." + spelling(step))
		}
	}
	return b.String()
}

// alertsWith returns alerts to search for a name: those in which it is, in whatever case, else the first ones.
func alertsWith(alerts [][]byte, name string) [][]byte {
	if len(alerts) <= searched {
		return alerts
	}
	name = strings.ToLower(strings.ReplaceAll(name, `\`, ""))
	var with [][]byte
	for _, alert := range alerts {
		if strings.Contains(strings.ToLower(string(alert)), name) {
			if with = append(with, alert); len(with) == searched {
				break
			}
		}
	}
	if len(with) == 0 {
		return alerts[:searched]
	}
	return with
}

// didYouMean returns the remedy for a path that is to be another, with what is different if that can be overlooked.
func didYouMean(path, near string) string {
	why := ""
	switch {
	case strings.Contains(near, `\.`) && !strings.Contains(path, `\.`):
		why = " (its name has a dot)"
	case strings.Count(near, "#") > strings.Count(path, "#"):
		why = " (it is in a list of objects)"
	case strings.Count(near, "#") < strings.Count(path, "#"):
		why = " (it is not in a list)"
	case strings.EqualFold(near, path):
		why = " (its name is in another case)"
	case looseParent(near) != looseParent(path):
		why = " (it is elsewhere)"
	}
	return fmt.Sprintf("did you mean %q?%s", near, why)
}
