package mappingtest

import (
	"fmt"
	"io"
	"strings"

	"custom-misp/engine"
)

// A Style says how good and bad news are set off from the rest of a text.
type Style struct{ Good, Bad, Dim, End string }

// Plain sets nothing off; Colour does so for terminals.
var (
	Plain  = Style{}
	Colour = Style{Good: "\x1b[32m", Bad: "\x1b[31m", Dim: "\x1b[2m", End: "\x1b[0m"}
)

// WriteExplanation writes an explanation for people: the mappings that were considered, step by step, then the
// others, a site's own in a line each, then what was picked.
func WriteExplanation(w io.Writer, x engine.Explanation, style Style) {
	fmt.Fprintf(w, "groups: %s; decoder: %s\n", orNone(strings.Join(x.Groups, ", ")), orNone(x.Decoder))
	for _, m := range x.Mappings {
		if len(m.Missing) == 0 {
			writeMapping(w, m, "", style)
		}
	}
	others := 0
	for _, m := range x.Mappings {
		switch {
		case len(m.Missing) > 0 && m.Builtin:
			others++
		case len(m.Missing) > 0:
			writeMapping(w, m, "", style)
		}
	}
	if others > 0 {
		fmt.Fprintf(w, "%s%d other built-in mappings: not considered, the alert has no group, decoder or field that they need%s\n", style.Dim, others, style.End)
	}
	if len(x.Observables) == 0 {
		fmt.Fprintln(w, "\nnothing is picked")
		return
	}
	fmt.Fprintln(w, "\npicked:")
	for _, o := range x.Observables {
		fmt.Fprintf(w, "  %s%s %s%s  %s %s\n", style.Good, o.Type, printable(o.Value), style.End, o.Picks[0].Mapping, o.Picks[0].Path)
	}
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return printable(s)
}

func writeMapping(w io.Writer, m engine.MappingTrace, indent string, s Style) {
	switch {
	case len(m.Missing) > 0:
		fmt.Fprintf(w, "%s%s%s (%s:%d): not considered, the alert has no %s%s\n", indent, s.Dim, m.ID, m.File, m.Line,
			strings.Join(m.Missing, ", "), s.End)
		return
	case m.Error != "":
		fmt.Fprintf(w, "%s%s (%s:%d): %sfailed: %s%s\n", indent, m.ID, m.File, m.Line, s.Bad, m.Error, s.End)
	case m.Matched:
		fmt.Fprintf(w, "%s%s (%s:%d): %smatches%s\n", indent, m.ID, m.File, m.Line, s.Good, s.End)
	default:
		fmt.Fprintf(w, "%s%s (%s:%d): %sdoes not match%s\n", indent, m.ID, m.File, m.Line, s.Bad, s.End)
	}
	for _, c := range m.Conjuncts {
		value := s.Bad + "false" + s.End
		if c.Value {
			value = s.Good + "true " + s.End
		}
		fmt.Fprintf(w, "%s  %s %s\n", indent, value, c.Expression)
		if c.Error != "" {
			fmt.Fprintf(w, "%s        %s%s%s\n", indent, s.Bad, c.Error, s.End)
		}
		for _, f := range c.Fields {
			fmt.Fprintf(w, "%s        %s%s is %q%s\n", indent, s.Dim, f.Path, f.Value, s.End)
		}
	}
	for _, p := range m.Picks {
		switch {
		case p.Found == "":
			fmt.Fprintf(w, "%s  pick %s as %s: %snot in the alert%s\n", indent, p.Path, p.Type, s.Dim, s.End)
		case len(p.Candidates) == 0:
			fmt.Fprintf(w, "%s  pick %s as %s: %sno candidate in %s%s\n", indent, p.Path, p.Type, s.Bad, shorten(p.Found), s.End)
		default:
			fmt.Fprintf(w, "%s  pick %s as %s:\n", indent, p.Path, p.Type)
		}
		for _, c := range p.Candidates {
			if c.Dropped != "" {
				fmt.Fprintf(w, "%s    %sdropped%s %s: %s\n", indent, s.Bad, s.End, shorten(c.Text), c.Dropped)
			} else {
				fmt.Fprintf(w, "%s    %spicked%s  %s %s\n", indent, s.Good, s.End, c.Type, printable(c.Value))
			}
		}
		for _, c := range p.Cuts {
			fmt.Fprintf(w, "%s    %sbound%s   %s\n", indent, s.Bad, s.End, engine.Cut{What: c.What, Number: c.Number})
		}
	}
}

// shorten quotes a text from an alert for a terminal.
func shorten(s string) string {
	if r := []rune(s); len(r) > 100 {
		s = string(r[:100]) + "…"
	}
	return fmt.Sprintf("%q", s)
}

// printable keeps a text from an alert from steering the terminal.
func printable(s string) string {
	q := fmt.Sprintf("%q", s)
	return strings.ReplaceAll(q[1:len(q)-1], `\\`, `\`)
}
