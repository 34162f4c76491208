package engine

import (
	"math"
	"regexp/syntax"
	"strings"
	"unicode"
)

// This file says whether a regular expression can find a value of a type at all: from the characters that a normal form of the
// type can have, and how many. It errs on the side of yes.

// yields reports whether the part of a regular expression that a pick takes can be a value of a type.
func yields(expr string, t Type) bool {
	tree, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return true
	}
	f, ok := spellingOf(t)
	if !ok {
		return true
	}
	l := f.lengths(taken(tree))
	if !l.possible || l.most < f.least || l.least > f.most {
		return false
	}
	for _, one := range f.needs {
		if !l.has(one) {
			return false
		}
	}
	return true
}

// taken returns the part of a regular expression that is the value: the group named value, else the first, else all of it.
func taken(tree *syntax.Regexp) *syntax.Regexp {
	var first, named *syntax.Regexp
	var walk func(*syntax.Regexp)
	walk = func(re *syntax.Regexp) {
		if re.Op == syntax.OpCapture {
			if first == nil {
				first = re
			}
			if re.Name == "value" && named == nil {
				named = re
			}
		}
		for _, sub := range re.Sub {
			walk(sub)
		}
	}
	walk(tree)
	switch {
	case named != nil:
		return named
	case first != nil:
		return first
	}
	return tree
}

// A spelling is what values of a type look like before they are brought into their normal form.
type spelling struct {
	allowed     func(rune) bool
	least, most int
	needs       []string // of each, one character must be there
}

func spellingOf(t Type) (spelling, bool) {
	if n, ok := hashLengths[t]; ok {
		if strings.HasPrefix(string(t), "x509-") {
			return spelling{oneOfRunes("0123456789abcdefABCDEF:"), n, 2 * n, nil}, true
		}
		return spelling{oneOfRunes("0123456789abcdefABCDEF"), n, n, nil}, true
	}
	switch t.Family() {
	case familyIP:
		return spelling{oneOfRunes("0123456789abcdefABCDEF.:[]()%/"), 2, 200, []string{".:"}}, true
	case familyHost:
		return spelling{noneOfRunes(`/=@\,;"'<>|?#&!`), 3, 300, []string{"."}}, true
	case familyURL:
		return spelling{noneOfRunes(""), 6, math.MaxInt, []string{":", "/"}}, true
	case familyEmail:
		return spelling{noneOfRunes(""), 3, math.MaxInt, []string{"@"}}, true
	case familyCVE:
		return spelling{oneOfRunes("cveCVE-0123456789"), 13, 28, []string{"-"}}, true
	default:
		return spelling{}, false
	}
}

func oneOfRunes(set string) func(rune) bool {
	return func(r rune) bool { return strings.ContainsRune(set, r) }
}

func noneOfRunes(set string) func(rune) bool {
	return func(r rune) bool { return !strings.ContainsRune(set, r) }
}

// lengths are how many characters a text has that an expression matches and that has only allowed ones. Blanks do not count.
type lengths struct {
	possible    bool
	least, most int
	anything    bool          // characters can be any
	runes       map[rune]bool // that can be there
	classes     [][]rune      // ranges of characters that can be there
}

func (l lengths) has(oneOf string) bool {
	if l.anything {
		return true
	}
	for _, r := range oneOf {
		if l.runes[r] {
			return true
		}
		for _, class := range l.classes {
			if inClass(class, r) {
				return true
			}
		}
	}
	return false
}

func inClass(class []rune, r rune) bool {
	for i := 0; i+1 < len(class); i += 2 {
		if class[i] <= r && r <= class[i+1] {
			return true
		}
	}
	return false
}

// add adds what can be in another part.
func (l *lengths) add(o lengths) {
	l.anything = l.anything || o.anything
	l.classes = append(l.classes, o.classes...)
	for r := range o.runes {
		if l.runes == nil {
			l.runes = map[rune]bool{}
		}
		l.runes[r] = true
	}
}

func (f spelling) lengths(re *syntax.Regexp) lengths {
	none := lengths{possible: true}
	switch re.Op {
	case syntax.OpLiteral:
		return f.literal(re)
	case syntax.OpCharClass:
		for i := 0; i+1 < len(re.Rune); i += 2 {
			for r := re.Rune[i]; r <= re.Rune[i+1] && r-re.Rune[i] < 300; r++ {
				if f.allowed(r) && !unicode.IsSpace(r) {
					return lengths{possible: true, least: 1, most: 1, classes: [][]rune{re.Rune}}
				}
			}
		}
		return lengths{possible: inClass(re.Rune, ' ') || inClass(re.Rune, '\t')}
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return lengths{possible: true, most: 1, anything: true}
	case syntax.OpCapture:
		return f.lengths(re.Sub[0])
	case syntax.OpStar:
		return f.repeat(re.Sub[0], 0, -1)
	case syntax.OpPlus:
		return f.repeat(re.Sub[0], 1, -1)
	case syntax.OpQuest:
		return f.repeat(re.Sub[0], 0, 1)
	case syntax.OpRepeat:
		return f.repeat(re.Sub[0], re.Min, re.Max)
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			l := f.lengths(sub)
			if !l.possible {
				return l
			}
			none.least, none.most = sum(none.least, l.least), sum(none.most, l.most)
			none.add(l)
		}
	case syntax.OpAlternate:
		return f.either(re.Sub)
	case syntax.OpNoMatch:
		return lengths{}
	default: // places, which have no characters
	}
	return none
}

func (f spelling) literal(re *syntax.Regexp) lengths {
	l := lengths{possible: true, runes: map[rune]bool{}}
	for _, r := range re.Rune {
		if unicode.IsSpace(r) {
			continue
		}
		if !f.allowed(r) && (re.Flags&syntax.FoldCase == 0 || !f.allowed(unicode.ToLower(r)) && !f.allowed(unicode.ToUpper(r))) {
			return lengths{}
		}
		l.runes[r] = true
		l.least, l.most = l.least+1, l.most+1
	}
	return l
}

func (f spelling) repeat(re *syntax.Regexp, least, most int) lengths {
	l := f.lengths(re)
	if !l.possible || most == 0 {
		return lengths{possible: least == 0 || most == 0}
	}
	l.least = times(l.least, least)
	if most < 0 && l.most > 0 {
		l.most = math.MaxInt
	} else if most > 0 {
		l.most = times(l.most, most)
	}
	return l
}

func (f spelling) either(alternatives []*syntax.Regexp) lengths {
	all := lengths{least: math.MaxInt}
	for _, sub := range alternatives {
		if l := f.lengths(sub); l.possible {
			all.possible = true
			all.least, all.most = min(all.least, l.least), max(all.most, l.most)
			all.add(l)
		}
	}
	return all
}

func sum(a, b int) int {
	if a > math.MaxInt-b {
		return math.MaxInt
	}
	return a + b
}

func times(a, b int) int {
	if a != 0 && b > math.MaxInt/a {
		return math.MaxInt
	}
	return a * b
}
