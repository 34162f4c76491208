package source

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"custom-misp/misp/internal/jsonscan"
)

// A jsonWalker reads a JSON document piece by piece, and hands out the pieces that a path leads to.
type jsonWalker struct {
	dec  *json.Decoder
	in   *budget
	most int // bytes of a piece
}

// A budget fails when a piece is too long. It is given anew for each one.
type budget struct {
	r    io.Reader
	left int
	most int
}

// Read implements io.Reader.
func (b *budget) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("a JSON object or text of more than %d bytes", b.most)
	}
	n, err := b.r.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

func newJSONWalker(r io.Reader, most int) *jsonWalker {
	b := &budget{r: r, left: most, most: most}
	return &jsonWalker{dec: json.NewDecoder(b), in: b, most: most}
}

// eachDocument calls read for each array and object of a file, behind its first token. Of anything else the error is none.
func eachDocument(reopen func() (io.Reader, error), none string, read func(w *jsonWalker, first json.Token) error) error {
	in, err := reopen()
	if err != nil {
		return err
	}
	w := newJSONWalker(in, maxObject)
	for {
		w.in.left = w.most
		first, err := w.dec.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return whole(err)
		}
		if first != json.Delim('[') && first != json.Delim('{') {
			return errors.New(none)
		}
		if err := read(w, first); err != nil {
			return err
		}
	}
}

func (w *jsonWalker) token() (json.Token, error) {
	w.in.left = w.most
	t, err := w.dec.Token()
	return t, whole(err)
}

// raw reads the next value as it is.
func (w *jsonWalker) raw() (json.RawMessage, error) {
	w.in.left = w.most
	var m json.RawMessage
	err := w.dec.Decode(&m)
	return m, whole(err)
}

// whole makes an error of a document that ends before it is complete.
func whole(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errTruncated
	}
	return err
}

var errTruncated = errors.New("the JSON ends in the middle; it is cut off, fetch it again")

// skip passes over the value that begins with a token.
func (w *jsonWalker) skip(t json.Token) error {
	depth := 0
	for {
		if d, ok := t.(json.Delim); ok {
			if d == '{' || d == '[' {
				depth++
			} else {
				depth--
			}
		}
		if depth == 0 {
			return nil
		}
		var err error
		if t, err = w.token(); err != nil {
			return err
		}
	}
}

// each calls do with each value that a path leads to: names, and * for each item of a list or member of an object. parts
// are names and stars; the walk goes down to the first star, and what do is given is one of its items. What is not of the
// form that the path expects is passed over.
func (w *jsonWalker) each(path []string, do func(raw json.RawMessage, rest []string) error) error {
	t, err := w.token()
	if err != nil {
		return err
	}
	if err := w.inside(t, path, do); err != nil {
		return err
	}
	return w.end()
}

// end checks that nothing follows the document.
func (w *jsonWalker) end() error {
	w.in.left = w.most
	switch _, err := w.dec.Token(); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return fmt.Errorf("behind the JSON document: %w", err)
	}
	return errors.New("more than one JSON document; if each line is one, the format is ndjson")
}

func (w *jsonWalker) inside(t json.Token, path []string, do func(raw json.RawMessage, rest []string) error) error {
	d, nested := t.(json.Delim)
	if !nested || len(path) == 0 {
		return w.skip(t)
	}
	head, rest := path[0], path[1:]
	if head != "*" && d == '[' {
		return w.skip(t)
	}
	for w.dec.More() {
		name, err := w.name(d)
		if err != nil {
			return err
		}
		if head == "*" {
			raw, rerr := w.raw()
			if err = rerr; err == nil {
				err = do(raw, rest)
			}
		} else {
			err = w.member(name == head, rest, do)
		}
		if err != nil {
			return err
		}
	}
	_, err := w.token()
	return err
}

// name reads the name of the next member of an object; it is empty for an item of a list.
func (w *jsonWalker) name(in json.Delim) (string, error) {
	if in != '{' {
		return "", nil
	}
	key, err := w.token()
	name, _ := key.(string)
	return name, err
}

// member goes into the value of a member, or passes over it.
func (w *jsonWalker) member(wanted bool, path []string, do func(raw json.RawMessage, rest []string) error) error {
	next, err := w.token()
	switch {
	case err != nil:
		return err
	case wanted:
		return w.inside(next, path, do)
	}
	return w.skip(next)
}

// readJSON reads format json.
func (p *pass) readJSON(in io.Reader) error {
	path := p.source.rows
	if len(path) == 0 {
		path = []string{"*"}
	}
	n := 0
	return newJSONWalker(in, maxObject).each(path, func(raw json.RawMessage, rest []string) error {
		return p.rows(raw, nil, rest, &n)
	})
}

// rows reads the rows below a value.
func (p *pass) rows(raw, parent []byte, rest []string, n *int) error {
	if len(rest) == 0 {
		*n++
		return p.object(*n, raw, parent)
	}
	if rest[0] != "*" {
		member := jsonscan.Member(raw, rest[0])
		if member == nil {
			return nil
		}
		if len(rest) > 1 && rest[1] == "*" {
			parent = raw
		}
		return p.rows(member, parent, rest[1:], n)
	}
	for item := range items(raw) {
		if err := p.rows(item, parent, rest[1:], n); err != nil {
			return err
		}
	}
	return nil
}

// items yields the items of a list, or the values of the members of an object.
func items(raw []byte) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		if bytes.HasPrefix(bytes.TrimLeft(raw, " \t\r\n"), []byte("{")) {
			for _, v := range jsonscan.Members(raw) {
				if !yield(v) {
					return
				}
			}
			return
		}
		for v := range jsonscan.Elements(raw) {
			if !yield(v) {
				return
			}
		}
	}
}

// object adds an entry of a JSON object. A row that is no object has its value as row.value.
func (p *pass) object(n int, raw, parent []byte) error {
	e, err := newObject(n, raw, parent)
	if err != nil {
		return p.skip(n, reasonJSON, string(raw[:min(len(raw), maxShown)]))
	}
	return p.add(e)
}

func newObject(n int, raw, parent []byte) (*entry, error) {
	e := &entry{line: n, text: string(raw[:min(len(raw), maxShown)])}
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		return nil, err
	}
	row, ok := v.(map[string]any)
	if !ok {
		row = map[string]any{"value": v}
	}
	e.row = row
	if parent != nil {
		e.parent = map[string]any{}
		for k, v := range jsonscan.Members(parent) {
			var member any
			if len(v) <= maxQuoted && json.Unmarshal(v, &member) == nil {
				e.parent[string(k)] = member
			}
		}
	}
	return e, nil
}

// readNDJSON reads format ndjson: an object in each line. What begins with data: is a stream of events.
func (p *pass) readNDJSON(lines *lineReader) error {
	return p.eachLine(lines, []string{"#", "event:", "id:", "retry:"}, nil, func(l line) error {
		text := trim(strings.TrimPrefix(l.text, "data:"))
		if text == "" || !utf8.ValidString(text) {
			return nil
		}
		e, err := newObject(l.number, []byte(text), nil)
		if err != nil {
			return p.skip(l.number, reasonJSON, l.text)
		}
		if t, ok := e.row["type"].(string); ok && t == "metadata" {
			return nil // the last line of Spamhaus's lists
		}
		return p.add(e)
	})
}
