package misp

import "slices"

const (
	// MaxTags is how many tags of an attribute, and of an event, are kept: the first ones. Later ones are left out, but
	// for labels of the Traffic Light Protocol.
	MaxTags = 500
	// MaxTag is the longest tag, in bytes, that is kept; MISP's own are at most 255 characters long.
	MaxTag = 1024
	// MaxWarninglists is how many names of warninglists an attribute keeps, the first ones; MISP comes with about 100.
	MaxWarninglists = 200
)

// A TagList collects tags in the order in which they are added: each once, within [MaxTags] and [MaxTag]. The zero
// TagList is empty.
type TagList struct {
	tags []string
	seen map[string]bool // once there are more than few
	late [6]bool         // labels of TLP that were added after MaxTags
}

// few is how many tags are compared faster one by one than by a set.
const few = 16

// Add adds a tag, unless the list has it or has no room for it. An empty tag is none.
func (l *TagList) Add(tag string) {
	switch {
	case tag == "" || len(tag) > MaxTag:
		return
	case len(l.tags) >= MaxTags:
		l.addLate(tag)
		return
	case len(l.tags) < few:
		if slices.Contains(l.tags, tag) {
			return
		}
	default:
		if l.seen == nil {
			l.seen = set(l.tags)
		}
		if l.seen[tag] {
			return
		}
		l.seen[tag] = true
	}
	l.tags = append(l.tags, tag)
}

// addLate adds a label of TLP to a list that has no room for other tags.
func (l *TagList) addLate(tag string) {
	i := tlpLabel(tag)
	if i < 0 || l.late[i] || l.seen[tag] {
		return
	}
	l.late[i] = true
	l.tags = append(l.tags, tag)
}

// Tags returns what was added. The list must not be added to after that.
func (l *TagList) Tags() []string { return slices.Clip(l.tags) }

func set(tags []string) map[string]bool {
	s := make(map[string]bool, 4*len(tags))
	for _, t := range tags {
		s[t] = true
	}
	return s
}

// JoinTags returns the tags of an attribute: its own ones, then those of its event, without repeats and within
// [MaxTags]. The result may share memory with either.
func JoinTags(own, event []string) []string {
	switch {
	case len(own) == 0 && len(event) <= MaxTags:
		return slices.Clip(event)
	case len(event) == 0 && len(own) <= MaxTags:
		return slices.Clip(own)
	}
	var l TagList
	for _, t := range own {
		l.Add(t)
	}
	for _, t := range event {
		l.Add(t)
	}
	return l.Tags()
}

// OwnTags returns the tags of a that its event does not have.
func (a Attribute) OwnTags() []string {
	of := a.Event.Tags
	has := func(tag string) bool { return slices.Contains(of, tag) }
	if len(of) > few && len(a.Tags) > few {
		s := set(of)
		has = func(tag string) bool { return s[tag] }
	}
	var own []string
	for _, t := range a.Tags {
		if !has(t) {
			own = append(own, t)
		}
	}
	return own
}
