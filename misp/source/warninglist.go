package source

import (
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"custom-misp/misp"
)

// A warninglist of the misp-warninglists repository.
type warninglist struct {
	Name     string            `json:"name"`
	Type     string            `json:"type"`
	Matching []string          `json:"matching_attributes"`
	List     []json.RawMessage `json:"list"`
}

// warninglistTypes are the ways in which warninglists match.
var warninglistTypes = []string{"cidr", "hostname", "string", "substring", "regex"}

// readWarninglist reads format warninglist. Its entries are counted by the type of the list; they are no indicators.
func (p *pass) readWarninglist(in io.Reader) error {
	raw, err := newJSONWalker(in, maxObject).raw()
	if err != nil {
		return err
	}
	var w warninglist
	if err := json.Unmarshal(raw, &w); err != nil {
		return fmt.Errorf("no warninglist: %w", err)
	}
	switch {
	case w.Type == "":
		w.Type = "string"
	case !slices.Contains(warninglistTypes, w.Type):
		return fmt.Errorf("a warninglist of the type %q, which is unknown; known are %s", short(w.Type), strings.Join(warninglistTypes, ", "))
	}
	if w.List == nil {
		return fmt.Errorf("the warninglist %q has no list", short(w.Name))
	}
	p.report.Name = short(w.Name)
	for i, item := range w.List {
		var text string
		if json.Unmarshal(item, &text) != nil {
			text = string(item)
		}
		text = trim(text)
		if reason := w.fault(text); reason != "" {
			if err := p.skip(i+1, reason, text); err != nil {
				return err
			}
			continue
		}
		in := Indicator{Line: i + 1, Attribute: misp.Attribute{Type: w.Type, Value: w.normal(text)}}
		e := entry{line: i + 1}
		key := p.key(&in, &e)
		if err := p.count(); err != nil {
			return err
		}
		if _, again := p.seen[key]; again {
			p.report.Repeated++
			continue
		}
		p.seen[key] = used
		p.counted(&in, used)
	}
	return nil
}

// fault returns why an entry can hold nothing; empty if it can.
func (w *warninglist) fault(text string) string {
	switch {
	case text == "":
		return reasonNoValue
	case w.Type == "cidr":
		if _, err := netip.ParsePrefix(text); err != nil {
			if _, err := netip.ParseAddr(text); err != nil {
				return reasonNotIP
			}
		}
	case w.Type == "regex":
		if _, err := phpPattern(text); err != nil {
			return "a pattern that cannot be used"
		}
	}
	return ""
}

// normal is an entry as it is compared.
func (w *warninglist) normal(text string) string {
	if w.Type == "hostname" {
		return strings.Trim(strings.ToLower(text), ".")
	}
	return text
}

// phpPattern compiles a pattern as PHP writes it, /…/flags. The flag g, which PHP does not have, is passed over. Look-around
// is an error: RE2 has none.
func phpPattern(text string) (*regexp.Regexp, error) {
	end := strings.LastIndexByte(text, text[0])
	if strings.IndexByte("/#~@%!", text[0]) < 0 || end == 0 {
		return regexp.Compile(text)
	}
	flags := ""
	for _, f := range text[end+1:] {
		switch f {
		case 'i', 's', 'm':
			flags += string(f)
		case 'U', 'x', 'A', 'D':
			return nil, fmt.Errorf("flag %q of a pattern is not supported", f)
		}
	}
	if flags != "" {
		flags = "(?" + flags + ")"
	}
	pattern := strings.ReplaceAll(text[1:end], `\/`, "/")
	return regexp.Compile(flags + strings.ReplaceAll(pattern, `\@`, "@"))
}
