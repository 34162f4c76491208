package engine

import (
	"slices"
	"strings"
)

// This file compares the names of members with the names that picks list. Products write one name in many ways, so case,
// underscores, hyphens and blanks make no difference: src_ip is srcip, SrcIp and src-ip. A dot stands between the names of a
// member and of the object that holds it: source.ip. A * at the beginning of a name matches any rest, and *_ before a word
// only one that ends where the word begins: *_ip is the end of client_ip, clientIp and ClientIP, but not of chip.
//
// All names of a mapping are in one tree that is followed from the last byte of a member's name. Most names end there within
// a few bytes, whatever the number of picks is.

// A nameTree holds names and the picks that list them. The zero nameTree matches nothing.
type nameTree struct{ nodes []nameNode }

// A nameNode is what was read of a name, from its end.
type nameNode struct {
	next [nameBytes]uint16 // 0 for none: the root follows nothing
	// The picks of names that end here: those that are the whole name, those that may begin anywhere, and those that begin
	// where a word does.
	whole, anywhere, word nameSet
}

// A nameSet is what names stand for.
type nameSet struct{ picked, except uint64 } // by the number of the pick

func (s *nameSet) add(o nameSet) {
	s.picked |= o.picked
	s.except |= o.except
}

const (
	maxNamed  = 64             // picks by name of a mapping
	nameBytes = 26 + 10 + 1    // letters, digits and the dot
	nameDot   = nameBytes - 1  //
	maxNames  = 2000           // names of a pick
	notInName = uint8(1 << 7)  // a byte that ends the comparison
	between   = notInName >> 1 // a byte between words
)

// nameCodes are the bytes of names as the tree has them.
var nameCodes = func() (codes [256]uint8) {
	for i := range codes {
		codes[i] = notInName
	}
	for i := range 26 {
		codes['a'+i], codes['A'+i] = uint8(i), uint8(i)
	}
	for i := range 10 {
		codes['0'+i] = uint8(26 + i)
	}
	codes['.'] = nameDot
	for _, c := range []byte("_- :/@()[]#") {
		codes[c] = between
	}
	return codes
}()

// nameFault returns the remedy for a name that can match no member, or "".
func nameFault(name string) string {
	const form = "write a name like src_ip, the end of one like *_ip, or one in an object like source.ip"
	if name == "*" {
		return ""
	}
	name = strings.TrimPrefix(name, "*")
	if name == "" || strings.Contains(name, "*") || strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".") || strings.Contains(name, "..") {
		return form
	}
	for i := range len(name) {
		if code := nameCodes[name[i]]; code == notInName || code == between && strings.IndexByte("_- ", name[i]) < 0 {
			return form
		}
	}
	if strings.Trim(name, "_- .") == "" {
		return form
	}
	return ""
}

// add adds a name that stands for a pick, or for what it leaves out.
func (t *nameTree) add(name string, s nameSet) {
	if len(t.nodes) == 0 {
		t.nodes = make([]nameNode, 1, 64)
	}
	begin, any := strings.CutPrefix(name, "*")
	at := uint16(0)
	for _, c := range slices.Backward([]byte(begin)) {
		code := nameCodes[c]
		if code&(notInName|between) != 0 {
			continue
		}
		next := t.nodes[at].next[code]
		if next == 0 {
			next = uint16(len(t.nodes)) //nolint:gosec // as many as bytes of names in a file, and see full
			t.nodes = append(t.nodes, nameNode{})
			t.nodes[at].next[code] = next
		}
		at = next
	}
	n := &t.nodes[at]
	switch {
	case !any:
		n.whole.add(s)
	case begin != "" && strings.IndexByte("_- ", begin[0]) >= 0:
		n.word.add(s)
	default:
		n.anywhere.add(s)
	}
}

// full reports whether the tree cannot take another name of so many bytes.
func (t *nameTree) full(bytes int) bool { return len(t.nodes)+bytes >= 1<<16-1 }

// match returns what the names stand for that a member has. within are the names of the objects that hold it, the outermost
// first.
func (t *nameTree) match(name string, within []string) nameSet {
	if len(t.nodes) == 0 {
		return nameSet{}
	}
	n := &t.nodes[0]
	found := n.anywhere
	for {
		for i := len(name) - 1; i >= 0; i-- {
			code := nameCodes[name[i]]
			if code == between {
				continue
			}
			if code == notInName {
				return found
			}
			next := n.next[code]
			if next == 0 {
				return found
			}
			n = &t.nodes[next]
			found.add(n.anywhere)
			if n.word != (nameSet{}) && beginsWord(name, i) {
				found.add(n.word)
			}
			if n.whole != (nameSet{}) && (isFirst(name, i) || nameCodes[name[i-1]] == nameDot) {
				found.add(n.whole)
			}
		}
		next := n.next[nameDot]
		if next == 0 || len(within) == 0 {
			return found
		}
		n = &t.nodes[next]
		name, within = within[len(within)-1], within[:len(within)-1]
	}
}

// isFirst reports whether nothing but bytes between words is before a place of a name.
func isFirst(name string, at int) bool {
	for at > 0 && nameCodes[name[at-1]] == between {
		at--
	}
	return at == 0
}

// beginsWord reports whether a word begins at a place of a name.
func beginsWord(name string, at int) bool {
	if at == 0 {
		return true
	}
	before := nameCodes[name[at-1]]
	return before == between || before == nameDot || before == notInName || isCapital(name[at]) && !isCapital(name[at-1])
}
