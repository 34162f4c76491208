package examples_test

import (
	"cmp"
	"encoding/xml"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"
)

// This file evaluates rules as analysisd does, as far as the rules of the examples and of the export use them.

// A rule is one of Wazuh's, with the elements that the examples use; any other fails the test.
type rule struct {
	ID             int      `xml:"id,attr"`
	Level          int      `xml:"level,attr"`
	Frequency      int      `xml:"frequency,attr"`
	Timeframe      int      `xml:"timeframe,attr"` // seconds
	IfSID          string   `xml:"if_sid"`
	IfLevel        int      `xml:"if_level"`
	IfGroup        string   `xml:"if_group"`
	IfMatchedSID   string   `xml:"if_matched_sid"`
	IfMatchedGroup string   `xml:"if_matched_group"`
	DecodedAs      string   `xml:"decoded_as"`
	Location       []text   `xml:"location"`
	Field          []cond   `xml:"field"`
	List           []list   `xml:"list"`
	SameField      []string `xml:"same_field"`
	Description    string   `xml:"description"`
	Options        string   `xml:"options"`
	Group          string   `xml:"group"`
	Rest           []struct {
		XMLName xml.Name
	} `xml:",any"`

	groups []string
}

// A text is an expression for a whole text. Of the types that Wazuh knows, the examples use OSMatch, which has no type
// attribute, and pcre2.
type text struct {
	Type    string `xml:"type,attr"`
	Pattern string `xml:",chardata"`
}

func (x text) matches(s string) bool {
	if x.Type == "pcre2" {
		return regexp.MustCompile(x.Pattern).MatchString(s)
	}
	return osMatch(x.Pattern, s)
}

type cond struct {
	Name  string `xml:"name,attr"`
	Regex string `xml:",chardata"`
}

// A list is a field that must be in a list, by its name.
type list struct {
	Field  string `xml:"field,attr"`
	Lookup string `xml:"lookup,attr"`
	Name   string `xml:",chardata"`
}

// parents returns the ids that a rule is a child of by if_sid or, without one, by if_matched_sid.
func (r *rule) parents() []string {
	return strings.Split(strings.ReplaceAll(cmp.Or(r.IfSID, r.IfMatchedSID), " ", ""), ",")
}

// isRoot reports whether a rule is a child of none.
func (r *rule) isRoot() bool {
	return cmp.Or(r.IfSID, r.IfMatchedSID, r.IfGroup, r.IfMatchedGroup) == "" && r.IfLevel == 0
}

// isChildOf reports whether a rule is tried below another one, that was loaded before it.
func (r *rule) isChildOf(parent *rule) bool {
	if slices.Contains(r.parents(), strconv.Itoa(parent.ID)) {
		return true
	}
	if group := cmp.Or(r.IfGroup, r.IfMatchedGroup); group != "" && slices.Contains(parent.groups, group) {
		return true
	}
	return r.IfLevel > 0 && parent.Level >= r.IfLevel
}

// An event is what rules see of one: the location as it was in the header in the queue, without the id of the agent, and
// the log, which the decoder json takes.
type event struct {
	location string
	json     []byte
}

// An analysisd evaluates rules in the order in which they were loaded.
type analysisd struct {
	rules []rule
	lists map[string][]string // by their name
	now   time.Time
	past  []raisedBefore
}

// raisedBefore is an event that a rule was chosen for. Rules with a frequency see no others.
type raisedBefore struct {
	at   time.Time
	rule *rule
	event
}

// take returns the rule that is chosen for an event, nil for none.
func (d *analysisd) take(e event) *rule {
	r := d.choose(nil, e)
	if r != nil {
		d.past = append(d.past, raisedBefore{d.now, r, e})
	}
	return r
}

// choose returns the rule that analysisd chooses for an event, nil for none: of the rules below parent, those of
// level 0 first and then by falling level, the first that matches and then what is below it (contract wazuh.md, c).
func (d *analysisd) choose(parent *rule, e event) *rule {
	below := []*rule{}
	for i := range d.rules {
		r := &d.rules[i]
		if parent == r { // children are loaded behind it
			below = below[:0]
			continue
		}
		if parent == nil && r.isRoot() || parent != nil && r.isChildOf(parent) {
			below = append(below, r)
		}
	}
	slices.SortStableFunc(below, func(a, b *rule) int {
		priority := func(r *rule) int { return (r.Level + 99) % 100 } // 0 becomes the highest
		return cmp.Compare(priority(b), priority(a))
	})
	for _, r := range below {
		if d.matches(r, e) {
			if deeper := d.choose(r, e); deeper != nil {
				return deeper
			}
			return r
		}
	}
	return nil
}

func (d *analysisd) matches(r *rule, e event) bool {
	if slices.ContainsFunc(r.Location, func(l text) bool { return !l.matches(e.location) }) {
		return false
	}
	if slices.ContainsFunc(r.Field, func(c cond) bool {
		v := gjson.GetBytes(e.json, c.Name)
		return !v.Exists() || !osRegex(c.Regex).MatchString(v.String())
	}) {
		return false
	}
	if slices.ContainsFunc(r.List, func(l list) bool {
		v := gjson.GetBytes(e.json, l.Field)
		return !v.Exists() || !slices.Contains(d.lists[l.Name], v.String())
	}) {
		return false
	}
	return r.Frequency == 0 || d.often(r, e)
}

// often reports whether this event is the one that reaches the frequency of a rule: events for which the rule that it names was
// chosen, within its time, with the same fields.
func (d *analysisd) often(r *rule, e event) bool {
	n := 1
	for _, p := range d.past {
		if p.at.Before(d.now.Add(-time.Duration(r.Timeframe) * time.Second)) {
			continue
		}
		if r.IfMatchedSID != "" && r.IfMatchedSID != strconv.Itoa(p.rule.ID) || r.IfMatchedGroup != "" && !slices.Contains(p.rule.groups, r.IfMatchedGroup) {
			continue
		}
		if !slices.ContainsFunc(r.SameField, func(f string) bool {
			now, then := gjson.GetBytes(e.json, f), gjson.GetBytes(p.json, f)
			return !now.Exists() || now.String() != then.String()
		}) {
			n++
		}
	}
	return n >= r.Frequency
}

// osMatch is Wazuh's simplest kind of expression: texts, one of which must be contained, with ^ and $ for the beginning and the
// end, regardless of case.
func osMatch(pattern, s string) bool {
	s = strings.ToLower(s)
	return slices.ContainsFunc(strings.Split(strings.ToLower(pattern), "|"), func(p string) bool {
		p, begins := strings.CutPrefix(p, "^")
		p, ends := strings.CutSuffix(p, "$")
		switch {
		case begins && ends:
			return s == p
		case begins:
			return strings.HasPrefix(s, p)
		case ends:
			return strings.HasSuffix(s, p)
		}
		return strings.Contains(s, p)
	})
}

// osRegex translates the few words of Wazuh's own expressions that the examples use: \. is any character, a plain
// dot is a dot.
func osRegex(s string) *regexp.Regexp {
	s = strings.NewReplacer(`\.`, `.`, `.`, `\.`, `\w`, `[A-Za-z0-9@_-]`).Replace(s)
	return regexp.MustCompile("(?i)" + s)
}
