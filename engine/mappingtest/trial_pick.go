package mappingtest

import (
	"fmt"
	"strings"

	"custom-misp/engine"
)

// pick warns of a pick that took nothing from the alerts that its mapping matches, and says why. seen are paths in some of them.
func (f *mappingFaults) pick(p engine.PickTrial, seen shapes) {
	if p.Picked > 0 {
		return
	}
	title, matched := pickTitle(p), alertCount(f.mapping.Matched)
	switch {
	case p.Applied == 0:
		f.warn(p.Line, seeExplain, "pick %s applies to none of the %s that mapping %q matches: its when is false, or another mapping picked from them", title, matched, f.mapping.ID)
	case len(p.Names) > 0 && p.Found == 0:
		f.warn(p.Line, f.nearestMember(p, seen), "pick %s takes nothing from the %s that mapping %q matches: they have no member of such a name below %s, or it holds no value of the type",
			title, matched, f.mapping.ID, p.Path)
	case p.Found == 0:
		f.warn(p.Line, f.nearestField(p.Path, seen), "pick %s finds no value in the %s that mapping %q matches", title, matched, f.mapping.ID)
	case p.Tried == 0 && p.Object:
		f.warn(p.Line, objectRemedy(p.Path, seen), "pick %s: %s is an object with members, from which nothing is taken", title, p.Path)
	case p.Tried == 0:
		f.warn(p.Line, "compare prefix, part, regex and decode with the text",
			"pick %s: prefix, part, regex or decode leave nothing of the text in the %s that have it, such as %s", title, alertCount(p.Found), shorten(p.Passed))
	default:
		f.dropped(p, title)
	}
}

func pickTitle(p engine.PickTrial) string {
	if len(p.Names) > 0 {
		return fmt.Sprintf("%s below %s", p.Names[0], p.Path)
	}
	return p.Path
}

// nearestField returns the remedy for a path that leads nowhere in some alerts.
func (f *mappingFaults) nearestField(path string, seen shapes) string {
	if near, why := seen.nearest(path, f.paths()...); near != "" {
		return fmt.Sprintf("did you mean %q? (%s)", near, why)
	}
	if object, names := seen.members(path); len(names) > 0 {
		return fmt.Sprintf("%s has %s", object, firstOf(names))
	}
	return "custom-misp explain shows what is in an alert; custom-misp suggest writes picks for it"
}

// nearestMember is nearestField for a pick by name.
func (f *mappingFaults) nearestMember(p engine.PickTrial, seen shapes) string {
	for _, name := range p.Names {
		if near, _ := seen.nearest(p.Path + "." + strings.TrimLeft(name, "*_")); near != "" {
			return fmt.Sprintf("did you mean %q?", near)
		}
	}
	return f.nearestField(p.Path+".x", seen)
}

// paths returns what the picks of the mapping read.
func (f *mappingFaults) paths() []string {
	var paths []string
	for _, p := range f.mapping.Picks {
		if len(p.Names) == 0 {
			paths = append(paths, p.Path)
		}
	}
	return paths
}

func firstOf(names []string) string {
	const shown = 8
	if len(names) > shown {
		return strings.Join(names[:shown], ", ") + fmt.Sprintf(" and %d more", len(names)-shown)
	}
	return strings.Join(names, ", ")
}

// objectRemedy returns what to write for a path that leads to an object, or to a list of objects.
func objectRemedy(path string, seen shapes) string {
	if names := seen.below(path); len(names) > 0 {
		return fmt.Sprintf("write %s.NAME, with one of: %s", path, firstOf(names))
	}
	if names := seen.below(path + ".#"); len(names) > 0 {
		return fmt.Sprintf("it is a list of objects; write %s.#.NAME, with one of: %s", path, firstOf(names))
	}
	return "name a member of it"
}

// dropped warns of a pick of which every value was dropped.
func (f *mappingFaults) dropped(p engine.PickTrial, title string) {
	all := 0 // values
	reasons := make([]string, 0, len(p.Dropped))
	for _, d := range p.Dropped {
		all += d.Count
		reasons = append(reasons, fmt.Sprintf("%s (%d, such as %s)", d.Why, d.Count, shorten(d.Example)))
	}
	f.warn(p.Line, dropRemedy(p), "pick %s: all values that it finds are dropped, %d in %s: %s", title, all, alertCount(p.Tried), strings.Join(reasons, ", "))
}

// dropRemedy returns what to do about the most frequent reason.
func dropRemedy(p engine.PickTrial) string {
	d := p.Dropped[0]
	if !d.Kept && !d.Private {
		if t, _, ok := engine.Recognise(d.Example); ok && t.Family() != p.Type.Family() {
			return fmt.Sprintf("they look like type: %s", t)
		}
	}
	switch {
	case d.Kept:
		return "keep is false for every value; value is in normal form there, in small letters for names and hashes"
	case d.Private:
		return "nothing else is wrong if all are your own; private: true picks them too"
	case strings.ContainsAny(d.Example, ",; |\t"):
		return "the text holds more than the value: use split, regex or scan: true"
	}
	return "another type, or split, regex or decode, if the text holds more than the value"
}
