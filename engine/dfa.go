package engine

import (
	"encoding/binary"
	"regexp/syntax"
	"slices"
	"sync"
	"sync/atomic"
	"unicode"
	"unicode/utf8"
)

// A dfa decides whether a regular expression matches a text, with one step for each character however large the
// expression is. It makes its states when it first meets them, and forgets them all when they take too much memory.
//
// A state is what Go's regexp would keep at a place of the text: the instructions that it may go on with, and what the
// character before was, for ^, $, \b and their like. Which match is the leftmost, and where groups are, is not kept, so a
// dfa says only whether there is a match. Safe for concurrent use: a state is complete before an atomic pointer shows it
// to other goroutines, and only its pointers change after that.
type dfa struct {
	prog     *syntax.Prog
	anchored bool // a match can begin at the beginning of the text only
	context  bool // the characters around a place decide, not only that there are none
	ascii    [utf8.RuneSelf]uint8
	bounds   []rune  // where classes of characters begin, ascending
	classOf  []uint8 // for each of bounds, the class that begins there
	runes    []rune  // one of each class; the last class is the end of the text, -1

	start atomic.Pointer[dfaState]
	mu    sync.Mutex // for the rest
	known map[string]*dfaState
	size  int // bytes that the known states take, about
}

type dfaState struct {
	at   []uint32                   // instructions
	prev rune                       // one of the kind of the character before, -1 for none
	next []atomic.Pointer[dfaState] // by class; nil if not met yet
}

var (
	dfaMatch = new(dfaState) // there is a match
	dfaNone  = new(dfaState) // there is none, whatever follows
)

const (
	maxDFAProgram = 2000      // instructions of an expression that a dfa is made for
	maxDFABounds  = 2000      // classes of characters before those that are alike are joined
	maxDFASize    = 128 << 10 // bytes that the states of one expression take; then they are made anew
	maxDFASteps   = 500       // states that are made for one text, and one more for each KiB; then regexp takes over
)

// newDFA returns a dfa for an expression, nil if it is too large for one.
func newDFA(prog *syntax.Prog) *dfa {
	if len(prog.Inst) > maxDFAProgram {
		return nil
	}
	d := &dfa{prog: prog, anchored: prog.StartCond()&syntax.EmptyBeginText != 0}
	for i := range prog.Inst {
		if in := &prog.Inst[i]; in.Op == syntax.InstEmptyWidth && emptyOp(in)&^(syntax.EmptyBeginText|syntax.EmptyEndText) != 0 {
			d.context = true
		}
	}
	if !d.classify() {
		return nil
	}
	d.reset()
	return d
}

// classify divides the characters into classes that every instruction treats alike; false if there are too many.
func (d *dfa) classify() bool {
	d.bounds = []rune{0}
	for i := range d.prog.Inst {
		d.bounds = appendBounds(d.bounds, &d.prog.Inst[i])
	}
	if d.context {
		d.bounds = append(d.bounds, '\n', '\n'+1, '0', '9'+1, 'A', 'Z'+1, '_', '_'+1, 'a', 'z'+1)
	}
	slices.Sort(d.bounds)
	d.bounds = slices.Compact(d.bounds)
	if len(d.bounds) > maxDFABounds {
		return false
	}
	known := map[string]uint8{}
	var alike []byte
	for _, r := range d.bounds {
		alike = alike[:0]
		for i := range d.prog.Inst {
			if in := &d.prog.Inst[i]; isRuneInst(in.Op) {
				alike = append(alike, bool01(in.MatchRune(r)))
			}
		}
		if d.context {
			alike = append(alike, bool01(r == '\n'), bool01(syntax.IsWordChar(r)))
		}
		class, ok := known[string(alike)]
		if !ok {
			if len(d.runes) == 255 {
				return false
			}
			class = uint8(len(d.runes)) //nolint:gosec // below 255
			known[string(alike)] = class
			d.runes = append(d.runes, r)
		}
		d.classOf = append(d.classOf, class)
	}
	d.runes = append(d.runes, -1)
	for c := range d.ascii {
		d.ascii[c] = d.class(rune(c))
	}
	return true
}

// appendBounds appends where an instruction begins or ends to match characters.
func appendBounds(to []rune, in *syntax.Inst) []rune {
	switch in.Op {
	case syntax.InstRune, syntax.InstRune1:
		if len(in.Rune) == 1 {
			to = append(to, in.Rune[0], in.Rune[0]+1)
			if syntax.Flags(in.Arg)&syntax.FoldCase != 0 { //nolint:gosec // what the compiler put there
				for r := unicode.SimpleFold(in.Rune[0]); r != in.Rune[0]; r = unicode.SimpleFold(r) {
					to = append(to, r, r+1)
				}
			}
			return to
		}
		for i := 0; i+1 < len(in.Rune); i += 2 {
			to = append(to, in.Rune[i], in.Rune[i+1]+1)
		}
	case syntax.InstRuneAnyNotNL:
		to = append(to, '\n', '\n'+1)
	case syntax.InstRuneAny, syntax.InstAlt, syntax.InstAltMatch, syntax.InstCapture, syntax.InstEmptyWidth, syntax.InstMatch,
		syntax.InstFail, syntax.InstNop:
	}
	return to
}

// emptyOp returns what must be true of the place where an instruction of the kind InstEmptyWidth is.
func emptyOp(in *syntax.Inst) syntax.EmptyOp {
	return syntax.EmptyOp(in.Arg) //nolint:gosec // what the compiler put there
}

func isRuneInst(op syntax.InstOp) bool {
	return op == syntax.InstRune || op == syntax.InstRune1 || op == syntax.InstRuneAny || op == syntax.InstRuneAnyNotNL
}

func bool01(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// class returns the class of a character.
func (d *dfa) class(r rune) uint8 {
	i, ok := slices.BinarySearch(d.bounds, r)
	if !ok {
		i--
	}
	return d.classOf[i]
}

// match reports whether the expression matches a text. ok is false if that would take too many states.
func (d *dfa) match(text string) (matches, ok bool) {
	left := maxDFASteps + len(text)>>10
	s := d.start.Load()
	for i := 0; i <= len(text); {
		class := len(d.runes) - 1
		if i == len(text) {
			i++
		} else if c := text[i]; c < utf8.RuneSelf {
			class = int(d.ascii[c])
			i++
		} else {
			r, size := utf8.DecodeRuneInString(text[i:])
			class = int(d.class(r))
			i += size
		}
		next := s.next[class].Load()
		if next == nil {
			if left--; left < 0 {
				return false, false
			}
			next = d.step(s, class)
		}
		if next == dfaMatch || next == dfaNone {
			return next == dfaMatch, true
		}
		s = next
	}
	return false, true
}

// step makes the state that follows another one.
func (d *dfa) step(s *dfaState, class int) *dfaState {
	d.mu.Lock()
	defer d.mu.Unlock()
	if next := s.next[class].Load(); next != nil {
		return next // another goroutine made it
	}
	r := d.runes[class]
	f := follower{prog: d.prog, empty: syntax.EmptyOpContext(s.prev, r), r: r, seen: make([]bool, len(d.prog.Inst))}
	for _, pc := range s.at {
		f.follow(pc)
	}
	next := dfaNone
	switch {
	case f.match:
		next = dfaMatch
	case r >= 0:
		if !d.anchored {
			f.next = append(f.next, uint32(d.prog.Start)) //nolint:gosec // at most maxDFAProgram
		}
		if len(f.next) > 0 {
			next = d.state(f.next, r)
		}
	}
	s.next[class].Store(next)
	return next
}

// state returns the state at some instructions behind a character. d.mu is held.
func (d *dfa) state(at []uint32, prev rune) *dfaState {
	slices.Sort(at)
	at = slices.Compact(at)
	if !d.context && prev >= 0 {
		prev = 'a' // whatever it was
	}
	var kind byte // what EmptyOpContext makes of prev
	switch {
	case prev == '\n':
		kind = 1
	case prev >= 0 && syntax.IsWordChar(prev):
		kind = 2
	case prev >= 0:
		kind = 3
	}
	key := []byte{kind}
	for _, pc := range at {
		key = binary.LittleEndian.AppendUint16(key, uint16(pc)) //nolint:gosec // at most maxDFAProgram
	}
	if s := d.known[string(key)]; s != nil {
		return s
	}
	s := &dfaState{at: at, prev: prev, next: make([]atomic.Pointer[dfaState], len(d.runes))}
	if d.size += 8*len(s.next) + 8*len(at) + 150; d.size > maxDFASize && d.known != nil {
		d.reset() // texts that are being matched keep the old states as long as they need them
	}
	d.known[string(key)] = s
	return s
}

// reset forgets all states but the first. d.mu is held, or no one else has d.
func (d *dfa) reset() {
	d.known, d.size = map[string]*dfaState{}, 0
	d.start.Store(d.state([]uint32{uint32(d.prog.Start)}, -1)) //nolint:gosec // at most maxDFAProgram
}

// A follower collects what an expression goes on with behind a character.
type follower struct {
	prog  *syntax.Prog
	empty syntax.EmptyOp // that are true before the character
	r     rune           // the character, -1 at the end of the text
	seen  []bool         // by instruction
	next  []uint32
	match bool
}

func (f *follower) follow(pc uint32) {
	if f.seen[pc] || f.match {
		return
	}
	f.seen[pc] = true
	switch in := &f.prog.Inst[pc]; in.Op {
	case syntax.InstAlt, syntax.InstAltMatch:
		f.follow(in.Out)
		f.follow(in.Arg)
	case syntax.InstCapture, syntax.InstNop:
		f.follow(in.Out)
	case syntax.InstEmptyWidth:
		if emptyOp(in)&^f.empty == 0 {
			f.follow(in.Out)
		}
	case syntax.InstMatch:
		f.match = true
	case syntax.InstRune, syntax.InstRune1, syntax.InstRuneAny, syntax.InstRuneAnyNotNL:
		if f.r >= 0 && in.MatchRune(f.r) {
			f.next = append(f.next, in.Out)
		}
	case syntax.InstFail:
	}
}
