package source

import (
	"context"
	"fmt"
	"strings"

	"custom-misp/engine"
)

// guessList decides about a list with one value a line.
func guessList(_ Content, s sampled) *guess {
	p := newPass(context.Background(), &Source{Format: FormatLines}, zeroTime)
	prefixes := s.prefixes
	if len(prefixes) == 0 {
		prefixes = hash
	}
	families := map[engine.Family]int{}
	good, paths, words := 0, 0, 0
	for _, l := range s.rows {
		value := p.valueOfLine(l.text, prefixes)
		found, reason := p.values.auto(trim(value))
		switch reason {
		case "":
			good++
			families[familyOf(found[0].typ)]++
		case reasonPath:
			paths++
		}
		if value != l.text {
			words += len(strings.Fields(l.text)) - 1
		}
	}
	if len(s.rows) == 0 || good == 0 || 2*(good+paths) < len(s.rows) {
		return nil
	}
	g := &guess{format: FormatLines}
	if len(prefixes) != 1 || prefixes[0] != "#" {
		g.keys = append(g.keys, fmt.Sprintf("lines: {comment_prefix: [%s]}", quotedList(prefixes)))
	}
	values := "{type: auto}"
	if hosts := families["host"]; 100*hosts >= most*len(s.rows) {
		values += ", {type: hostname}" // also the names under no public suffix
	}
	g.keys = append(g.keys, "values: ["+values+"]")
	switch {
	case 10*(good+paths) < 9*len(s.rows):
		if scanned(s) > good {
			return nil // more is found in it as free text
		}
		g.doubt = fmt.Sprintf("%d of %d lines hold no indicator", len(s.rows)-good-paths, len(s.rows))
	case words > 3*len(s.rows):
		g.doubt = "there is text behind the values"
	}
	return g
}

func quotedList(list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = fmt.Sprintf("%q", s)
	}
	return strings.Join(quoted, ", ")
}
