package source

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"custom-misp/misp/internal/jsonscan"
)

// readOTX reads format otx: pulses of AlienVault OTX, also several documents. Of a pulse that comes more than once, the last
// one counts.
func (p *pass) readOTX(reopen func() (io.Reader, error)) error {
	last, several := map[string]int{}, false
	number := 0
	err := eachOTX(reopen, func(raw json.RawMessage, rest []string) error {
		number++
		if id, _ := pulseVersion(raw); id != "" && len(rest) > 0 && len(last) < maxValues {
			several = several || last[id] > 0
			last[id] = number
		}
		return p.ctx.Err()
	})
	if err != nil {
		return err
	}
	n := 0
	number = 0
	return eachOTX(reopen, func(raw json.RawMessage, rest []string) error {
		number++
		if several && len(rest) > 0 {
			if id, _ := pulseVersion(raw); last[id] > number {
				return nil
			}
		}
		return p.pulse(raw, rest, &n)
	})
}

// eachOTX calls do with each pulse of a file, or with each indicator of one that is alone.
func eachOTX(reopen func() (io.Reader, error), do func(raw json.RawMessage, rest []string) error) error {
	return eachDocument(reopen, "no pulses of OTX", func(w *jsonWalker, first json.Token) error {
		if first == json.Delim('[') {
			return w.inside(first, []string{"*", "indicators", "*"}, do)
		}
		return w.pulses(do)
	})
}

// pulses reads an answer with pages of pulses, or one pulse.
func (w *jsonWalker) pulses(do func(raw json.RawMessage, rest []string) error) error {
	for w.dec.More() {
		key, err := w.token()
		if err != nil {
			return err
		}
		next, err := w.token()
		if err != nil {
			return err
		}
		switch key {
		case "results":
			err = w.inside(next, []string{"*"}, func(raw json.RawMessage, _ []string) error { return do(raw, []string{"indicators", "*"}) })
		case "indicators":
			err = w.inside(next, []string{"*"}, do)
		default:
			err = w.skip(next)
		}
		if err != nil {
			return err
		}
	}
	_, err := w.token()
	return err
}

// pulse reads the indicators of a pulse, or one of them if rest is empty.
func (p *pass) pulse(raw json.RawMessage, rest []string, n *int) error {
	if len(rest) == 0 {
		return p.pulseIndicator(raw, nil, n)
	}
	for item := range jsonscan.Elements(jsonscan.Member(raw, "indicators")) {
		if err := p.pulseIndicator(item, raw, n); err != nil {
			return err
		}
	}
	return nil
}

func (p *pass) pulseIndicator(raw, pulse []byte, n *int) error {
	*n++
	e, err := newObject(*n, raw, pulse)
	if err != nil {
		return p.skip(*n, reasonJSON, string(raw[:min(len(raw), maxShown)]))
	}
	text := func(of map[string]any, name string) string { return textOf(of[name]) }
	if active := strings.ToLower(text(e.row, "is_active")); active == "0" || active == "false" {
		return p.skip(*n, reasonInactive, e.text)
	}
	e.given = []given{{word: text(e.row, "type"), raw: text(e.row, "indicator")}}
	e.own.firstSeen, _ = dateOf(text(e.row, "created"))
	e.own.lastSeen, _ = dateOf(text(e.parent, "modified"))
	e.own.expires, _ = dateOf(text(e.row, "expiration"))
	e.own.comment = text(e.parent, "name")
	if id := text(e.parent, "id"); id != "" {
		e.own.reference = fmt.Sprintf("https://otx.alienvault.com/pulse/%s", short(id))
	}
	e.own.tags = append(textsOf(e.parent["tags"]), textsOf(e.parent["malware_families"])...)
	if tlp := text(e.parent, "tlp"); tlp != "" {
		e.own.tags = append(e.own.tags, "tlp:"+strings.ToLower(tlp))
	}
	return p.add(e)
}
