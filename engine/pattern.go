package engine

import (
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"sync"
)

// A pattern is a regular expression of a mapping. What it finds is what Go's regexp finds, with less work where a text
// that every match has is missing. Whether there is a match at all, which expressions ask, a dfa says: it takes one step for
// each character, so that a long text has no more than a small cost whatever the expression is. A dfa does not know where
// a match begins, so picks need regexp; over real alerts, to ask a dfa first made picks no faster.
type pattern struct {
	regexp  func() *regexp.Regexp // made when it is first needed
	group   int                   // that is the value of a pick: the one named value, else the first, else all
	literal string                // that every match has; may be empty
	anyOf   []string              // of which every match has one; empty for not known
	program func() regexProgram   // made when it is first needed
}

// A regexProgram is what a regular expression is compiled to.
type regexProgram struct {
	size int  // instructions
	dfa  *dfa // nil if it is too large for one
}

// newPattern returns the pattern of an expression that is compiled.
func newPattern(re *regexp.Regexp) *pattern {
	tree, err := syntax.Parse(re.String(), syntax.Perl)
	if err != nil {
		panic(err) // it compiled
	}
	return patternOf(tree, func() *regexp.Regexp { return re })
}

// lazyPattern returns the pattern of an expression that is known to compile, when it is first needed.
func lazyPattern(expr string) func() *pattern {
	return sync.OnceValue(func() *pattern {
		tree, err := syntax.Parse(expr, syntax.Perl)
		if err != nil {
			panic(err) // it compiles
		}
		return lazyPatternOf(expr, tree)()
	})
}

// lazyPatternOf is lazyPattern for an expression that is parsed.
func lazyPatternOf(expr string, tree *syntax.Regexp) func() *pattern {
	return sync.OnceValue(func() *pattern {
		return patternOf(tree, sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) }))
	})
}

func patternOf(tree *syntax.Regexp, compiled func() *regexp.Regexp) *pattern {
	group := slices.Index(tree.CapNames(), "value")
	if group < 0 {
		group = min(1, tree.MaxCap())
	}
	tree = tree.Simplify()
	p := &pattern{regexp: compiled, group: group, literal: literalOf(tree), anyOf: literalsOf(tree)}
	p.program = sync.OnceValue(func() regexProgram {
		prog, err := syntax.Compile(tree)
		if err != nil {
			panic(err) // it compiled
		}
		return regexProgram{len(prog.Inst), newDFA(prog)}
	})
	return p
}

// literalOf returns the longest text that literalOf can tell is in every match, "" for none.
func literalOf(re *syntax.Regexp) string {
	switch re.Op {
	case syntax.OpLiteral:
		if s := string(re.Rune); re.Flags&syntax.FoldCase == 0 && !strings.ContainsRune(s, unicodeReplacement) {
			return s
		}
	case syntax.OpCapture, syntax.OpPlus:
		return literalOf(re.Sub[0])
	case syntax.OpRepeat:
		if re.Min > 0 {
			return literalOf(re.Sub[0])
		}
	case syntax.OpConcat:
		longest := ""
		for _, sub := range re.Sub {
			if s := literalOf(sub); len(s) > len(longest) {
				longest = s
			}
		}
		return longest
	default:
	}
	return ""
}

// literalsOf returns texts of which it can tell that one is in every match, nil for none: those of an alternation.
func literalsOf(re *syntax.Regexp) []string {
	const most, shortest = 12, 3
	switch re.Op {
	case syntax.OpCapture, syntax.OpPlus:
		return literalsOf(re.Sub[0])
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			if list := literalsOf(sub); list != nil {
				return list
			}
		}
	case syntax.OpAlternate:
		var list []string
		for _, sub := range re.Sub {
			if s := literalOf(sub); len(s) >= shortest {
				list = append(list, s)
			} else if inner := literalsOf(sub); inner != nil {
				list = append(list, inner...)
			} else {
				return nil
			}
		}
		if len(list) <= most {
			return list
		}
	default:
	}
	return nil
}

// lacks reports whether a text lacks what every match has.
func (p *pattern) lacks(text string) bool {
	if p.literal != "" && !strings.Contains(text, p.literal) {
		return true
	}
	return p.anyOf != nil && !slices.ContainsFunc(p.anyOf, func(s string) bool { return strings.Contains(text, s) })
}

// unicodeReplacement is what an expression matches invalid bytes with, which are not these bytes.
const unicodeReplacement = '\ufffd'

// matches reports whether the pattern matches a text. The steps are taken from work; errWork says that too few are left.
func (p *pattern) matches(text string, work *int) (bool, error) {
	*work -= len(text)
	found, known := p.mayMatch(text)
	if known {
		return found, nil
	}
	if *work -= regexpWork * len(text) * p.program().size; *work < 0 {
		return false, errWork
	}
	return p.regexp().MatchString(text), nil
}

// mayMatch reports whether the pattern matches a text; known is false if only regexp can tell.
func (p *pattern) mayMatch(text string) (found, known bool) {
	if p.lacks(text) {
		return false, true
	}
	if dfa := p.program().dfa; dfa != nil {
		return dfa.match(text)
	}
	return false, false
}

// tooLong reports whether regexp may take too long for a text. Nearly all texts are short: what a value can be is not.
func (p *pattern) tooLong(text string) bool {
	return len(text) > MaxValue && len(text)*p.program().size > maxPatternWork
}

// findAll calls yield with each match in a text, as [regexp.Regexp.FindAllStringSubmatchIndex] returns them, until it
// returns false. Of a text that would take too long, it reads the first and the last part; unread is how many bytes are
// between them.
func (p *pattern) findAll(text string, yield func(text string, match []int) bool) (unread int, more bool) {
	if p.lacks(text) {
		return 0, true
	}
	texts := []string{text}
	if p.tooLong(text) {
		texts = firstAndLast(text, max(maxPatternWork/p.program().size, MaxValue))
		unread = len(text) - len(texts[0]) - len(texts[1])
	}
	for _, part := range texts {
		for _, match := range p.regexp().FindAllStringSubmatchIndex(part, maxCandidates+1) {
			if !yield(part, match) {
				return unread, false
			}
		}
	}
	return unread, true
}

// patternRemedy returns what to do about an expression that does not compile, by what regexp says about it.
func patternRemedy(cause string) string {
	for code, remedy := range map[syntax.ErrorCode]string{
		syntax.ErrInvalidRepeatSize: "repeat at most 1,000 times; counts of repeats in repeats multiply",
		syntax.ErrLarge:             "write a shorter one; counts of repeats multiply its size",
		syntax.ErrNestingDepth:      "nest at most 1,000 groups and repeats",
	} {
		if strings.Contains(cause, string(code)) {
			return remedy
		}
	}
	return "write RE2 syntax"
}
