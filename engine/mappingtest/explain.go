package mappingtest

import (
	"fmt"
	"io"
	"strconv"
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
			writeContext(w, m, style)
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
		fmt.Fprintf(w, "  %s%s %s%s  %s %s\n", style.Good, o.Type, printable(o.Value), style.End, o.Picks[0].Mapping, printable(o.Picks[0].Path))
	}
}

// WriteMapping writes for people what one mapping did with an alert.
func WriteMapping(w io.Writer, m engine.MappingTrace, style Style) { writeMapping(w, m, "", style) }

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return printable(s)
}

func writeMapping(w io.Writer, m engine.MappingTrace, indent string, s Style) {
	m.File = printable(m.File)
	switch {
	case len(m.Missing) > 0:
		fmt.Fprintf(w, "%s%s%s (%s:%d): not considered, the alert has no %s%s\n", indent, s.Dim, m.ID, m.File, m.Line,
			printable(strings.Join(m.Missing, ", ")), s.End)
		return
	case m.Error != "":
		fmt.Fprintf(w, "%s%s (%s:%d): %sfailed: %s%s\n", indent, m.ID, m.File, m.Line, s.Bad, oneLine(m.Error), s.End)
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
		fmt.Fprintf(w, "%s  %s %s\n", indent, value, oneLine(c.Expression))
		if c.Error != "" {
			fmt.Fprintf(w, "%s        %s%s%s\n", indent, s.Bad, oneLine(c.Error), s.End)
		}
		for _, f := range c.Fields {
			fmt.Fprintf(w, "%s        %s%s is %q%s%s\n", indent, s.Dim, printable(f.Path), f.Value, neighbours(f.Near, nil), s.End)
		}
	}
	for _, p := range m.Picks {
		p.Path = printable(p.Path)
		if len(p.Names) > 0 {
			if p.Left == "" && len(p.Candidates) == 0 {
				continue // a fallback has many
			}
			p.Path = printable(fmt.Sprintf("%s, … below %s", p.Names[0], p.Path))
		}
		switch {
		case p.Left != "":
			fmt.Fprintf(w, "%s  pick %s as %s: %snot applied, %s%s\n", indent, p.Path, p.Type, s.Dim, p.Left, s.End)
		case p.Found == "":
			fmt.Fprintf(w, "%s  pick %s as %s: %snot in the alert%s%s\n", indent, p.Path, p.Type, s.Dim, neighbours(p.Near, p.Beside), s.End)
		case len(p.Candidates) == 0:
			fmt.Fprintf(w, "%s  pick %s as %s: %sno candidate in %s%s\n", indent, p.Path, p.Type, s.Bad, shorten(p.Found), s.End)
		default:
			fmt.Fprintf(w, "%s  pick %s as %s:\n", indent, p.Path, p.Type)
		}
		for _, c := range p.Candidates {
			if c.Dropped != "" {
				fmt.Fprintf(w, "%s    %sdropped%s %s: %s\n", indent, s.Bad, s.End, shorten(c.Text), printable(c.Dropped))
			} else {
				fmt.Fprintf(w, "%s    %spicked%s  %s %s\n", indent, s.Good, s.End, c.Type, printable(c.Value))
			}
		}
		for _, c := range p.Cuts {
			fmt.Fprintf(w, "%s    %sbound%s   %s\n", indent, s.Bad, s.End, engine.Cut{What: c.What, Number: c.Number})
		}
	}
}

// neighbours says what the alert has instead of a path; empty if nothing is like it.
func neighbours(near string, beside []string) string {
	switch {
	case near != "":
		return "; " + printable(near) + " is"
	case len(beside) > 0:
		return "; there is " + printable(strings.Join(beside, ", "))
	}
	return ""
}

// writeContext writes what events of a mapping show, and then the names of what the alert does not have: the built-in ones
// have many.
func writeContext(w io.Writer, m engine.MappingTrace, s Style) {
	var none []string
	for _, c := range m.Context {
		if c.Value == "" {
			none = append(none, printable(c.Name))
			continue
		}
		fmt.Fprintf(w, "  context %s from %s: %s%s%s\n", printable(c.Name), printable(c.Path), s.Dim, shorten(c.Value), s.End)
	}
	if len(none) > 0 && !m.Builtin {
		fmt.Fprintf(w, "  context %s: %snot in the alert%s\n", strings.Join(none, ", "), s.Dim, s.End)
	}
}

// shorten quotes a text from an alert for a terminal.
func shorten(s string) string {
	if r := []rune(s); len(r) > 100 {
		s = string(r[:100]) + "…"
	}
	return fmt.Sprintf("%q", s)
}

// printable keeps a text from an alert or a file from steering the terminal: what cannot be printed becomes an escape.
func printable(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return strings.ToValidUTF8(s, unknownText)
	}
	var b strings.Builder
	for _, r := range s {
		if strconv.IsPrint(r) {
			b.WriteRune(r)
			continue
		}
		q := strconv.QuoteRune(r)
		b.WriteString(q[1 : len(q)-1])
	}
	return b.String()
}

// oneLine is printable for what may have several lines, such as an expression.
func oneLine(s string) string {
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimSpace(line)
	}
	return printable(strings.TrimSpace(strings.Join(lines, " ")))
}
