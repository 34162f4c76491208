package source

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A comparison of a pattern of STIX: path = 'value'.
type comparison struct{ path, operator, value string }

// A pattern of STIX in the part of the language that publishers use: comparisons joined by AND and OR.
type pattern struct {
	groups [][]comparison // joined by OR; each of comparisons joined by AND
}

var errPattern = errors.New("a pattern that is not understood")

// parsePattern reads a pattern. What is beyond is an error that names it: qualifiers, NOT, FOLLOWEDBY.
func parsePattern(text string) (pattern, error) {
	if len(text) > maxPattern {
		return pattern{}, fmt.Errorf("a pattern of more than %d bytes", maxPattern)
	}
	tokens, err := patternTokens(text)
	if err != nil {
		return pattern{}, err
	}
	p := patternParser{tokens: tokens}
	groups, err := p.expression()
	if err != nil {
		return pattern{}, err
	}
	if p.at < len(p.tokens) {
		word := strings.ToUpper(p.tokens[p.at].text)
		if slices.Contains([]string{"FOLLOWEDBY", "WITHIN", "REPEATS", "START", "STOP"}, word) {
			return pattern{}, fmt.Errorf("the operator %s of a pattern", word)
		}
		return pattern{}, errPattern
	}
	return pattern{groups}, nil
}

// A patternToken is a word, an operator, a bracket, or a text in quotes.
type patternToken struct {
	text   string
	quoted bool
}

func patternTokens(s string) ([]patternToken, error) {
	var tokens []patternToken
	for i := 0; i < len(s); {
		switch c := s[i]; {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			i++
		case strings.IndexByte("[]()=", c) >= 0:
			tokens = append(tokens, patternToken{text: s[i : i+1]})
			i++
		case c == '!' || c == '<' || c == '>':
			end := i + 1
			if end < len(s) && s[end] == '=' {
				end++
			}
			tokens = append(tokens, patternToken{text: s[i:end]})
			i = end
		case c == '\'':
			text, end, ok := quotedText(s, i)
			if !ok {
				return nil, errPattern
			}
			tokens = append(tokens, patternToken{text, true})
			i = end
		default:
			end := wordEnd(s, i)
			tokens = append(tokens, patternToken{text: s[i:end]})
			i = end
		}
		if len(tokens) > 10*maxComparisons {
			return nil, fmt.Errorf("a pattern of more than %d comparisons", maxComparisons)
		}
	}
	return tokens, nil
}

// quotedText reads a text in quotes, with its escapes.
func quotedText(s string, i int) (text string, end int, ok bool) {
	var b strings.Builder
	for i++; i < len(s); i++ {
		switch s[i] {
		case '\\':
			if i++; i < len(s) {
				b.WriteByte(s[i])
			}
		case '\'':
			return b.String(), i + 1, true
		default:
			b.WriteByte(s[i])
		}
	}
	return "", 0, false
}

// wordEnd returns where a path, a keyword or a number ends. Parts of a path may be in quotes: file:hashes.'SHA-256'.
func wordEnd(s string, i int) int {
	inside := false
	for ; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\'' && (inside || i > 0 && s[i-1] == '.'):
			inside = !inside
		case inside:
		case c == '[':
			end := strings.IndexByte(s[i:], ']')
			if end < 0 {
				return i
			}
			i += end // an index: [*]
		case strings.IndexByte(" \t\r\n=()]!<>'", c) >= 0:
			return i
		}
	}
	return len(s)
}

type patternParser struct {
	tokens []patternToken
	at     int
	depth  int
	count  int
}

func (p *patternParser) peek() string {
	if p.at < len(p.tokens) && !p.tokens[p.at].quoted {
		return strings.ToUpper(p.tokens[p.at].text)
	}
	return ""
}

// expression reads terms joined by OR and AND, of observations or of comparisons. It returns them as a list of groups.
func (p *patternParser) expression() ([][]comparison, error) {
	if p.depth++; p.depth > maxDepth {
		return nil, errPattern
	}
	defer func() { p.depth-- }()
	groups, err := p.conjunction()
	for err == nil && p.peek() == "OR" {
		p.at++
		var more [][]comparison
		if more, err = p.conjunction(); err == nil {
			groups = append(groups, more...)
		}
	}
	return groups, err
}

func (p *patternParser) conjunction() ([][]comparison, error) {
	groups, err := p.term()
	for err == nil && p.peek() == "AND" {
		p.at++
		var more [][]comparison
		if more, err = p.term(); err != nil {
			break
		}
		if len(groups)*len(more) > maxComparisons {
			return nil, fmt.Errorf("a pattern of more than %d comparisons", maxComparisons)
		}
		var product [][]comparison
		for _, a := range groups {
			for _, b := range more {
				product = append(product, slices.Concat(a, b))
			}
		}
		groups = product
	}
	return groups, err
}

func (p *patternParser) term() ([][]comparison, error) {
	switch open := p.peek(); open {
	case "[", "(":
		p.at++
		groups, err := p.expression()
		if err != nil {
			return nil, err
		}
		if want := map[string]string{"[": "]", "(": ")"}[open]; p.peek() != want {
			return nil, errPattern
		}
		p.at++
		return groups, nil
	case "NOT", "":
		if open == "NOT" {
			return nil, errors.New("the operator NOT of a pattern")
		}
		return nil, errPattern
	}
	c, err := p.comparison()
	return [][]comparison{{c}}, err
}

func (p *patternParser) comparison() (comparison, error) {
	if p.count++; p.count > maxComparisons {
		return comparison{}, fmt.Errorf("a pattern of more than %d comparisons", maxComparisons)
	}
	if p.at+2 >= len(p.tokens) {
		return comparison{}, errPattern
	}
	c := comparison{path: p.tokens[p.at].text, operator: strings.ToUpper(p.tokens[p.at+1].text), value: p.tokens[p.at+2].text}
	if c.operator == "NOT" {
		return comparison{}, errors.New("the operator NOT of a pattern")
	}
	if c.operator != "=" {
		return comparison{}, fmt.Errorf("the operator %s of a pattern", short(c.operator))
	}
	if !strings.Contains(c.path, ":") {
		return comparison{}, errPattern
	}
	p.at += 3
	return c, nil
}
