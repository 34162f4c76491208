package misptest

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A values filter is what MISP understands by the value of a question; nil for no filter at all.
type values struct {
	any  []term // one of them has to fit, if there is one
	none []term // what must not fit
}

// valuesOf reads a value. Most forms of nothing are no filter: null, false, "", "0", "!", an empty list.
func valuesOf(v any) *values {
	switch v := v.(type) {
	case string:
		return valuesOfText(strings.TrimSpace(v))
	case float64:
		return &values{any: []term{number(v)}}
	case []any:
		return valuesOfList(v)
	case map[string]any:
		return valuesOfObject(v)
	case bool:
		if v {
			return &values{any: []term{never}}
		}
	}
	return nil
}

// valuesOfText splits a text at || and &&, which both mean or.
func valuesOfText(s string) *values {
	if s == "" || s == "0" {
		return nil
	}
	var list []any
	for part := range strings.SplitSeq(strings.ReplaceAll(s, "&&", "||"), "||") {
		list = append(list, part)
	}
	return valuesOfList(list)
}

// valuesOfList takes ! for not, and an empty item for a value that is empty.
func valuesOfList(list []any) *values {
	f := &values{}
	for _, item := range list {
		s, isText := item.(string)
		not, negated := strings.CutPrefix(s, "!")
		switch {
		case negated && not == "":
		case negated:
			f.none = append(f.none, text(not))
		case isText:
			f.any = append(f.any, text(s))
		default:
			f.any = append(f.any, itemTerm(item))
		}
	}
	if len(f.any)+len(f.none) == 0 {
		return nil
	}
	return f
}

// valuesOfObject takes the items of {"OR": […]} literally, except for % and empty ones.
func valuesOfObject(o map[string]any) *values {
	list, ok := o["OR"].([]any)
	if !ok {
		return &values{any: []term{never}}
	}
	if len(list) == 0 {
		return nil
	}
	f := &values{}
	for _, item := range list {
		f.any = append(f.any, itemTerm(item))
	}
	return f
}

func itemTerm(item any) term {
	switch item := item.(type) {
	case string:
		return text(item)
	case float64:
		return number(item)
	}
	return never // lists, booleans
}

func (f *values) fit(a *attribute) bool {
	has := a.compared()
	fits := func(t term) bool { return slices.ContainsFunc(has, t) }
	return (len(f.any) == 0 || slices.ContainsFunc(f.any, fits)) && !slices.ContainsFunc(f.none, fits)
}

// flagFits judges to_ids and published. false is no filter, 0 means the flag is off, any text but "0" and
// "exclude" that it is on: "false" too.
func flagFits(filter any, flag bool) bool {
	switch f := filter.(type) {
	case bool:
		return !f || flag
	case float64:
		return flag == (f != 0)
	case string:
		return f == "" || flag == (f != "0" && f != "exclude")
	case []any:
		return slices.ContainsFunc(f, func(item any) bool { return flag == on(item) })
	}
	return true
}

// deletedFits judges deleted: without it, or with 0 or false, what lives; with 1, true or "only", what does not;
// with both in a list, both.
func deletedFits(filter any, deleted bool) bool {
	if list, ok := filter.([]any); ok {
		return slices.ContainsFunc(list, func(item any) bool { return deleted == on(item) })
	}
	return deleted == on(filter)
}

// on is what PHP takes for true.
func on(v any) bool {
	switch v := v.(type) {
	case bool:
		return v
	case float64:
		return v != 0
	case string:
		return v != "" && v != "0"
	}
	return false
}

// wordFits judges the filters on type, category, organisation, event and threat level: any of some words, ! for
// not. Nothing is implied: sha256 does not ask for filename|sha256.
func wordFits(words []string, has string) bool {
	return wordsFit(words, func(want string) bool { return strings.EqualFold(want, has) })
}

// tagsFit judges the filter on tags, of an attribute and of its event: as with words, % at either end for any
// text; {"AND": […]} for all and {"NOT": […]} for none.
func tagsFit(filter any, tags []string) bool {
	has := func(want string) bool {
		return slices.ContainsFunc(tags, func(tag string) bool { return text(want)(fold(tag)) })
	}
	o, ok := filter.(map[string]any)
	if !ok {
		return wordsFit(texts(filter), has)
	}
	lacks := func(want string) bool { return !has(want) }
	or := texts(o["OR"])
	return (len(or) == 0 || slices.ContainsFunc(or, has)) &&
		!slices.ContainsFunc(texts(o["AND"]), lacks) && !slices.ContainsFunc(texts(o["NOT"]), has)
}

func wordsFit(words []string, has func(string) bool) bool {
	asked, found := false, false
	for _, want := range words {
		if not, negated := strings.CutPrefix(want, "!"); negated {
			if has(not) {
				return false
			}
			continue
		}
		asked, found = true, found || has(want)
	}
	return !asked || found
}

// texts returns the texts of a list, or the one that stands alone; an empty one is no filter.
func texts(v any) []string {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	var out []string
	for _, item := range list {
		if item != nil && item != "" {
			out = append(out, fmt.Sprint(item))
		}
	}
	return out
}

var errLimit = errors.New("no number")

// limitOf reads the limit of a question: 0, less and none for no limit; an error where MISP fails.
func limitOf(v any) (int, error) {
	if v == nil {
		return 0, nil
	}
	n, err := strconv.ParseFloat(fmt.Sprint(v), 64)
	if err != nil {
		return 0, errLimit
	}
	return max(0, int(n)), nil
}

// pageOf reads the page of a question; the first for anything else.
func pageOf(v any) int {
	n, err := strconv.ParseFloat(fmt.Sprint(v), 64)
	if err != nil {
		return 1
	}
	return max(1, int(n))
}
