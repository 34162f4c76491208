package misp_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"custom-misp/misp"
)

func numbered(n int) []string {
	tags := make([]string, n)
	for i := range tags {
		tags[i] = "tag " + strconv.Itoa(i)
	}
	return tags
}

func collected(tags ...string) []string {
	var l misp.TagList
	for _, t := range tags {
		l.Add(t)
	}
	return l.Tags()
}

// TestTagList keeps the first tags, each once, and labels of TLP wherever they are.
func TestTagList(t *testing.T) {
	t.Parallel()
	many := numbered(misp.MaxTags)
	for name, tt := range map[string]struct{ add, want []string }{
		"none":                  {nil, nil},
		"empty and too long":    {[]string{"", strings.Repeat("x", misp.MaxTag+1), strings.Repeat("x", misp.MaxTag)}, []string{strings.Repeat("x", misp.MaxTag)}},
		"few, with repeats":     {[]string{"a", "b", "a", "A"}, []string{"a", "b", "A"}},
		"as many as there may":  {slices.Concat(many, many), many},
		"too many":              {numbered(2 * misp.MaxTags), many},
		"TLP beyond":            {slices.Concat(many, []string{"x", "tlp:red", "tlp:RED", "tlp:red", "tlp:clear", "tlp:none", "tlp:"}), slices.Concat(many, []string{"tlp:red", "tlp:clear"})},
		"TLP before and beyond": {slices.Concat([]string{"tlp:red"}, many, []string{"tlp:red", "TLP:amber+strict"}), slices.Concat([]string{"tlp:red"}, many[:misp.MaxTags-1], []string{"TLP:amber+strict"})},
	} {
		if d := cmp.Diff(tt.want, collected(tt.add...)); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
	if got := misp.TLP(collected(slices.Concat(numbered(100_000), []string{"tlp:red"})...)); got != "red" {
		t.Errorf("the label is lost: %q", got)
	}
}

// TestJoinTags takes tags apart and puts them together again.
func TestJoinTags(t *testing.T) {
	t.Parallel()
	many := numbered(misp.MaxTags)
	for name, tt := range map[string]struct{ own, event, want []string }{
		"none":           {nil, nil, nil},
		"own":            {[]string{"a"}, nil, []string{"a"}},
		"event's":        {nil, []string{"a"}, []string{"a"}},
		"both":           {[]string{"a", "b"}, []string{"b", "c"}, []string{"a", "b", "c"}},
		"many":           {many[:300], many[200:400], many[:400]},
		"too many":       {numbered(2 * misp.MaxTags), nil, many},
		"too many of it": {nil, numbered(2 * misp.MaxTags), many},
	} {
		got := misp.JoinTags(tt.own, tt.event)
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
		again := misp.Attribute{Tags: got, Event: misp.Event{Tags: tt.event}}.OwnTags()
		for _, tag := range again {
			if slices.Contains(tt.event, tag) {
				t.Errorf("%s: %s is the event's", name, tag)
			}
		}
		if d := cmp.Diff(got, misp.JoinTags(again, tt.event), cmpopts.SortSlices(strings.Compare)); d != "" {
			t.Errorf("%s, again (-want +got):\n%s", name, d)
		}
	}
	// What is joined can be added to without a change of what it was joined from.
	event := make([]string, 1, 10)
	event[0] = "a"
	_ = append(misp.JoinTags(nil, event), "b")
	if got := event[:2][1]; got != "" {
		t.Errorf("tags of the event were written to: %q", got)
	}
}

// TestTagsAreLinear has as many tags as an answer of 32 MiB has room for.
func TestTagsAreLinear(t *testing.T) {
	t.Parallel()
	tags := numbered(1_000_000)
	start := time.Now()
	got := misp.JoinTags(tags, tags)
	own := misp.Attribute{Tags: tags, Event: misp.Event{Tags: tags}}.OwnTags()
	ids := misp.MitreIDs(slices.Repeat([]string{`misp-galaxy:mitre-attack-pattern="x - T1059.001"`}, 10_000))
	if took := time.Since(start); len(got) != misp.MaxTags || len(own) != 0 || len(ids) != 1 || took > 20*time.Second {
		t.Errorf("%d, %d, %d in %s", len(got), len(own), len(ids), took)
	}
}

func ExampleTagList() {
	var l misp.TagList
	for i := range 100_000 {
		l.Add(fmt.Sprintf("tag %d", i))
	}
	l.Add("tlp:red")
	tags := l.Tags()
	fmt.Println(len(tags), misp.TLP(tags))
	// Output: 501 red
}
