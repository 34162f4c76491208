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

// A nameTree holds names and the picks that list them. The zero nameTree matches nothing. A call makes one for each alert, so it
// is small: a node has a list of those that follow it, and only the root, from which most names go nowhere, has a table.
type nameTree struct {
	nodes []nameNode // the first is the root
	first [nameBytes]uint16
	ends  []nameEnd // the first is that of a node at which no name ends
}

// A nameNode is what was read of a name, from its end.
type nameNode struct {
	code          uint8  // its last byte, the first of the name that was read
	end           uint16 // in ends
	next, sibling uint16 // the first node that follows, and the next one that follows the same; 0 for none
}

// A nameEnd has the picks of names that end at a node: those that are the whole name, those that may begin anywhere, and those
// that begin where a word does.
type nameEnd struct{ whole, anywhere, word nameSet }

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
		t.nodes, t.ends = make([]nameNode, 1, 64), make([]nameEnd, 1, 16)
	}
	begin, any := strings.CutPrefix(name, "*")
	at := uint16(0)
	for _, c := range slices.Backward([]byte(begin)) {
		code := nameCodes[c]
		if code&(notInName|between) != 0 {
			continue
		}
		next := t.follow(at, code)
		if next == 0 {
			next = uint16(len(t.nodes)) //nolint:gosec // as many as bytes of names in a file, and see full
			t.nodes = append(t.nodes, nameNode{code: code, sibling: t.nodes[at].next})
			t.nodes[at].next = next
			if at == 0 {
				t.first[code] = next
			}
		}
		at = next
	}
	n := &t.nodes[at]
	if n.end == 0 {
		n.end = uint16(len(t.ends)) //nolint:gosec // not more than nodes
		t.ends = append(t.ends, nameEnd{})
	}
	end := &t.ends[n.end]
	switch {
	case !any:
		end.whole.add(s)
	case begin != "" && strings.IndexByte("_- ", begin[0]) >= 0:
		end.word.add(s)
	default:
		end.anywhere.add(s)
	}
}

// follow returns the node behind a byte, 0 for none.
func (t *nameTree) follow(at uint16, code uint8) uint16 {
	if at == 0 {
		return t.first[code]
	}
	next := t.nodes[at].next
	for next != 0 && t.nodes[next].code != code {
		next = t.nodes[next].sibling
	}
	return next
}

// full reports whether the tree cannot take another name of so many bytes.
func (t *nameTree) full(bytes int) bool { return len(t.nodes)+bytes >= 1<<16-1 }

// match returns what the names stand for that a member has. within are the names of the objects that hold it, the outermost
// first.
func (t *nameTree) match(name string, within []string) nameSet {
	if len(t.nodes) == 0 {
		return nameSet{}
	}
	at := uint16(0)
	found := t.ends[t.nodes[0].end].anywhere
	for {
		for i := len(name) - 1; i >= 0; i-- {
			code := nameCodes[name[i]]
			if code == between {
				continue
			}
			if code == notInName {
				return found
			}
			if at = t.follow(at, code); at == 0 {
				return found
			}
			if end := t.nodes[at].end; end != 0 {
				t.ends[end].addTo(&found, name, i)
			}
		}
		if at = t.follow(at, nameDot); at == 0 || len(within) == 0 {
			return found
		}
		name, within = within[len(within)-1], within[:len(within)-1]
	}
}

// addTo adds what names stand for that end at a place of a name.
func (e *nameEnd) addTo(found *nameSet, name string, at int) {
	found.add(e.anywhere)
	if e.word != (nameSet{}) && beginsWord(name, at) {
		found.add(e.word)
	}
	if e.whole != (nameSet{}) && (isFirst(name, at) || nameCodes[name[at-1]] == nameDot) {
		found.add(e.whole)
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
