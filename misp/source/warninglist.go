package source

import (
	"archive/zip"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"path"
	"slices"
	"strings"

	"github.com/google/uuid"

	"custom-misp/misp"
	"custom-misp/misp/mirror"
)

// A warninglist is what a list of the misp-warninglists repository says of itself. MISP's own answer has the same with other
// names, see readList.
type warninglist struct {
	name     string
	kind     string   // one of mirror.WarninglistKinds
	matching []string // types of attributes that it is about; empty for all
	found    bool     // there is a list, which may be empty
}

// readWarninglists reads format warninglist: one list, or those of an archive. The entries are counted by the kind of their
// list. A list of an archive that cannot be used is counted, and the others are read.
func (p *pass) readWarninglists(c Content) error {
	members, err := listsOf(c, p.source.member)
	if err != nil {
		return err
	}
	if members == nil {
		return p.readWarninglist("", func() (io.Reader, error) { return open(c, p.source.member) })
	}
	left := int64(maxFile)
	for _, f := range members {
		err := p.readWarninglist(f.Name, func() (io.Reader, error) {
			r, err := f.Open()
			if err != nil {
				return nil, fmt.Errorf("a zip archive that cannot be read: %w", err)
			}
			return &shared{r, &left}, nil
		})
		switch unusable, ok := errors.AsType[*unusableList](err); {
		case ok:
			err = p.skip(0, unusable.Error(), f.Name)
		case errors.Is(err, errTruncated):
			err = p.skip(0, errTruncated.Error(), f.Name)
		}
		if err != nil {
			return err
		}
	}
	p.report.Notes = append(p.report.Notes, fmt.Sprintf("%d lists", len(members)))
	return nil
}

// A shared reader fails when it and others have read a number of bytes.
type shared struct {
	r    io.Reader
	left *int64
}

// Read implements io.Reader.
func (s *shared) Read(b []byte) (int, error) {
	if *s.left <= 0 {
		return 0, errTooLarge
	}
	n, err := s.r.Read(b[:min(int64(len(b)), *s.left)])
	*s.left -= int64(n)
	return n, err
}

// listsOf returns the lists of an archive: the files list.json, as the repository has them, or if there are none, all that end
// in .json. It is nil for a file that is no archive, and where member names one file.
func listsOf(c Content, member string) ([]*zip.File, error) {
	var head [4]byte
	if n, _ := c.ReadAt(head[:], 0); string(head[:n]) != "PK\x03\x04" || member != "" {
		return nil, nil
	}
	archive, err := zip.NewReader(c, c.Size())
	if err != nil {
		return nil, fmt.Errorf("the zip archive is damaged: %w; fetch it again", err)
	}
	lists := slices.DeleteFunc(slices.Clone(archive.File), func(f *zip.File) bool { return path.Base(f.Name) != mirror.WarninglistFile })
	if len(lists) == 0 {
		lists = slices.DeleteFunc(archive.File, func(f *zip.File) bool { return path.Ext(f.Name) != ".json" })
	}
	switch {
	case len(lists) == 0:
		return nil, fmt.Errorf("the zip archive has no file %s, and none that ends in .json", mirror.WarninglistFile)
	case len(lists) > mirror.MaxWarninglists:
		return nil, fmt.Errorf("the zip archive has %d lists, more than %d", len(lists), mirror.MaxWarninglists)
	}
	return lists, nil
}

// An unusableList is a list of which nothing can be used.
type unusableList struct{ error }

// readWarninglist reads a list: once for what it says of itself, which follows its entries in most files, and once for these.
func (p *pass) readWarninglist(file string, content func() (io.Reader, error)) error {
	in, err := content()
	if err != nil {
		return err
	}
	w, err := readList(in, nil)
	if err != nil {
		return err
	}
	w.kind = cmp.Or(w.kind, "string")
	switch {
	case !slices.Contains(mirror.WarninglistKinds(), w.kind):
		return &unusableList{fmt.Errorf("a warninglist of the type %q, which is unknown; known are %s", short(w.kind), strings.Join(mirror.WarninglistKinds(), ", "))}
	case !w.found:
		return &unusableList{fmt.Errorf("the warninglist %q has no list", short(w.name))}
	}
	w.name = short(cmp.Or(w.name, path.Base(path.Dir(file)), p.source.Name))
	if p.report.Name == "" {
		p.report.Name = w.name
	}
	if in, err = content(); err != nil {
		return err
	}
	clear(p.seen) // of the list before
	event := misp.Event{UUID: listID(w.name), Info: w.name, Tags: w.matching}
	number, patterns := 0, 0
	_, err = readList(in, func(text string) error {
		number++
		text = trim(text)
		if reason := w.fault(text, &patterns); reason != "" {
			return p.skip(number, reason, text)
		}
		return p.addListed(&w, number, text, event)
	})
	return err
}

// addListed counts an entry of a list, or yields it.
func (p *pass) addListed(w *warninglist, number int, text string, event misp.Event) error {
	if err := p.count(); err != nil {
		return err
	}
	in := Indicator{Line: number, whole: true, Attribute: misp.Attribute{Type: w.kind, Value: w.normal(text), Event: event}}
	key := p.key(&in, &entry{line: number})
	if _, again := p.seen[key]; again {
		p.report.Repeated++
		return nil
	}
	p.seen[key] = used
	if p.yield == nil {
		p.counted(&in, used)
		return nil
	}
	in.UUID = listID(w.name + "\x00" + w.kind + "\x00" + in.Value)
	in.Type = mirror.WarninglistType(w.kind)
	return p.yield(key, in)
}

// listID returns the made-up UUID of a list, or of an entry.
func listID(text string) string {
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte("custom-misp:warninglist\x00"+text)).String()
}

// readList reads a list as the repository has it, or as MISP answers with it: in Warninglist, with WarninglistEntry for list
// and WarninglistType for matching_attributes. entry is called for each entry; nil to pass over them.
func readList(in io.Reader, entry func(text string) error) (warninglist, error) {
	r := listReader{w: newJSONWalker(in, maxObject), entry: entry}
	if err := r.object(0); err != nil {
		return r.list, err
	}
	return r.list, r.w.end()
}

type listReader struct {
	w     *jsonWalker
	entry func(text string) error
	list  warninglist
}

// object reads an object with the members of a list.
func (r *listReader) object(depth int) error {
	t, err := r.w.token()
	if err != nil {
		return err
	}
	if t != json.Delim('{') || depth > 2 {
		return &unusableList{errors.New("no warninglist: it is no JSON object")}
	}
	for r.w.dec.More() {
		t, err := r.w.token()
		if err != nil {
			return err
		}
		switch name, _ := t.(string); name {
		case "name":
			err = r.text(&r.list.name)
		case "type":
			err = r.text(&r.list.kind)
		case "matching_attributes", "WarninglistType":
			err = r.each(func(text string) error {
				if text != "" && text != "ALL" && len(r.list.matching) < maxListTypes {
					r.list.matching = append(r.list.matching, text)
				}
				return nil
			})
		case "list", "WarninglistEntry":
			r.list.found = true
			err = r.each(r.entry)
		case "Warninglist":
			err = r.object(depth + 1)
		default:
			err = r.pass()
		}
		if err != nil {
			return err
		}
	}
	_, err = r.w.token()
	return err
}

// maxListTypes is how many types of attributes a list may name; more are passed over. MISP has fewer than 200.
const maxListTypes = 500

// pass passes over a value.
func (r *listReader) pass() error {
	t, err := r.w.token()
	if err != nil {
		return err
	}
	return r.w.skip(t)
}

// text reads a text.
func (r *listReader) text(to *string) error {
	raw, err := r.w.raw()
	if err != nil {
		return err
	}
	if json.Unmarshal(raw, to) != nil {
		return &unusableList{errors.New("no warninglist: its name and type are no texts")}
	}
	return nil
}

// each reads a list of texts, or of objects that have them as value or type.
func (r *listReader) each(do func(text string) error) error {
	t, err := r.w.token()
	if err != nil {
		return err
	}
	if t != json.Delim('[') {
		r.list.found = false
		return r.w.skip(t)
	}
	for do == nil && r.w.dec.More() {
		if err := r.pass(); err != nil {
			return err
		}
	}
	for r.w.dec.More() {
		raw, err := r.w.raw()
		if err != nil {
			return err
		}
		var text string
		var object struct{ Value, Type string }
		switch {
		case json.Unmarshal(raw, &text) == nil:
		case json.Unmarshal(raw, &object) == nil:
			text = cmp.Or(object.Value, object.Type)
		default:
			text = string(raw)
		}
		if err := do(text); err != nil {
			return err
		}
	}
	_, err = r.w.token()
	return err
}

// fault returns why an entry can hold nothing; empty if it can. patterns counts those that are compared one by one.
func (w *warninglist) fault(text string, patterns *int) string {
	switch {
	case text == "":
		return reasonNoValue
	case len(text) > mirror.MaxListed:
		return fmt.Sprintf("an entry of more than %d bytes", mirror.MaxListed)
	case w.kind == "cidr":
		if _, err := netip.ParsePrefix(text); err != nil {
			if _, err := netip.ParseAddr(text); err != nil {
				return reasonNotIP
			}
		}
	case w.kind == "regex":
		if _, err := mirror.PHPPattern(text); err != nil {
			return "a pattern that cannot be used"
		}
	}
	if w.kind == "regex" || w.kind == "substring" {
		if *patterns++; *patterns > mirror.MaxPatterns {
			return fmt.Sprintf("a list of more than %d patterns or parts of values", mirror.MaxPatterns)
		}
	}
	return ""
}

// normal is an entry as it is compared.
func (w *warninglist) normal(text string) string {
	if w.kind == "hostname" {
		return strings.Trim(strings.ToLower(text), ".")
	}
	return text
}
