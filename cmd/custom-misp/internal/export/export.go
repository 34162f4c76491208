// Package export writes the mirror as lists that other programs match with. What it writes follows from the mirror and
// the filter alone, so that the same mirror gives the same bytes; a reader sees a whole file or the one before; and memory
// does not grow with the mirror.
package export

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/misp"
	"custom-misp/misp/mirror"
)

// A Form is what a mirror can be written as.
type Form struct {
	Name     string
	Short    string // what it is, in one line
	Long     string
	ToStdout bool // it may go to standard output: one file, and no others with it
	ForWazuh bool // the files are Wazuh's, so that its user writes them

	files []listFile
	// lines turns a value into the lines that it is in the files; why says what it is left out for if there are none,
	// and is empty for what the form has no place for by its nature.
	lines func(value) (lines []line, why string)
	// expand returns the keys that stand for that of a wide line.
	expand func(key string) []string
	// beside returns the files that go with them, given the numbers of lines. One that is there stays if it is the
	// administrator's to change.
	beside func(counts []int) []extraFile
}

// A listFile is one with a line a value.
type listFile struct {
	path string // below --dir
	head string
}

type extraFile struct {
	path string
	what string // in the table
	text string
	keep bool // if it is there
}

// A line is a line of one of the files. There is one line with a key.
type line struct {
	file      int
	key, text string
	// wide says that the form expands the key to many: a network that thousands of attributes have is expanded once. The text
	// is then what all its lines end with.
	wide bool
}

// A value is one value of an attribute: one of the two that a composite type has, or all of it.
type value struct {
	engine.Indicator
	Type engine.Type // of the value: sha256 of a filename|sha256
	Text string      // in normal form, with capitals where they may matter
	misp.Attribute
}

// Forms returns everything that the mirror can be written as.
func Forms() []Form { return []Form{cdbForm(), csvForm(), suricataForm()} }

// Write writes what the mirror knows and the filter accepts: to files below dir, with a table of them on out, or for an
// empty dir to out itself, which the form has to allow. Of attributes with one of the tags in withhold, texts and tags stay
// out. left says how many values were left out, by reason.
func Write(ctx context.Context, m *mirror.Mirror, form Form, filter engine.Filter, withhold []string, dir string, out io.Writer) (left map[string]int, err error) {
	x := exporter{form: form, withhold: withhold, left: map[string]int{}}
	defer x.lines.close() //nolint:errcheck // only temporary files
	defer x.wide.close()  //nolint:errcheck // likewise
	if err := x.collect(ctx, m, filter, time.Now()); err != nil {
		return nil, err
	}
	if dir == "" {
		return x.left, x.write(func(int) (io.Writer, error) { return out, nil })
	}
	return x.left, x.writeTo(dir, out)
}

// An exporter writes one form.
type exporter struct {
	form     Form
	withhold []string
	lines    sorter
	wide     sorter         // lines that are expanded when all are known
	left     map[string]int // why → values
	counts   []int          // lines of each file
}

// collect sorts the lines of what the filter accepts.
func (x *exporter) collect(ctx context.Context, m *mirror.Mirror, filter engine.Filter, now time.Time) error {
	n, everywhere := 0, filter
	for a, err := range m.All() {
		if err != nil {
			return fmt.Errorf("%w; custom-misp sync fetches the source again", err)
		}
		if n++; n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		filter := everywhere
		if own, ok := m.Filters[a.Origin]; ok {
			filter = own
		}
		rejectsListed := filter.Warninglists != nil && *filter.Warninglists
		rank := rankOf(a)
		for _, v := range valuesOf(a) {
			kind := engine.MatchExact
			if v.Family == networkFamily {
				kind = engine.MatchNetwork
			}
			// A list cannot say that a value has expired.
			match, ok := enrich.NewMatch(filter, engine.Observable{}, kind, a, now)
			if !ok || match.Expired || rejectsListed && isListed(ctx, m, match) {
				continue
			}
			if err := x.add(x.withheld(v), rank); err != nil {
				return err
			}
		}
	}
	return x.expand(ctx)
}

// isListed reports whether a match is on a warninglist of the mirror.
func isListed(ctx context.Context, m *mirror.Mirror, match enrich.Match) bool {
	return len(m.Warn(ctx, []enrich.Match{match})[0].Attribute.Warninglists) > 0
}

// add adds the lines of a value.
func (x *exporter) add(v value, rank string) error {
	lines, why := x.form.lines(v)
	if why != "" {
		x.left[why]++
	}
	for _, l := range lines {
		to := &x.lines
		if l.wide {
			to = &x.wide
		}
		if err := to.add(sorted{key: string(rune(l.file)) + l.key, rank: rank, line: l.text}); err != nil { //nolint:gosec // a handful of files
			return err
		}
	}
	return nil
}

// expand adds the lines that wide ones stand for.
func (x *exporter) expand(ctx context.Context) error {
	return x.wide.each(func(l sorted) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		file := l.key[:1]
		for _, key := range x.form.expand(l.key[1:]) {
			if err := x.lines.add(sorted{key: file + key, rank: l.rank, line: key + l.line}); err != nil {
				return err
			}
		}
		return nil
	})
}

// withheld returns a value without the texts and tags that stay in MISP.
func (x *exporter) withheld(v value) value {
	if misp.AnyTag(x.withhold, v.Tags) {
		v.Attribute = v.Withheld()
	}
	return v
}

// write gives the lines of each file, in the order of the files, to a writer of its own.
func (x *exporter) write(open func(file int) (io.Writer, error)) error {
	x.counts = make([]int, len(x.form.files))
	at := -1
	var w io.Writer
	upTo := func(file int) error {
		for at < file {
			at++
			var err error
			if w, err = open(at); err != nil {
				return err
			}
			if _, err = io.WriteString(w, x.form.files[at].head); err != nil {
				return err
			}
		}
		return nil
	}
	err := x.lines.each(func(l sorted) error {
		if err := upTo(int(l.key[0])); err != nil {
			return err
		}
		x.counts[at]++
		_, err := io.WriteString(w, l.line+"\n")
		return err
	})
	return cmp.Or(err, upTo(len(x.form.files)-1))
}

// writeTo writes all files of the form below a directory, and a table of them.
func (x *exporter) writeTo(dir string, out io.Writer) (err error) {
	var files []*outFile
	defer func() {
		for _, f := range files {
			f.discard()
		}
	}()
	err = x.write(func(file int) (io.Writer, error) {
		f, err := newOutFile(filepath.Join(dir, x.form.files[file].path))
		if err == nil {
			files = append(files, f)
		}
		return f, err
	})
	if err != nil {
		return err
	}
	table := cli.NewTable(out, "FILE", "ENTRIES")
	for i, f := range files {
		if err := f.commit(); err != nil {
			return err
		}
		table.Row(f.name, x.counts[i])
	}
	for _, b := range x.beside() {
		name := filepath.Join(dir, b.path)
		if _, err := os.Lstat(name); err == nil && b.keep {
			table.Row(name, "kept as it is; remove it to have it anew")
			continue
		}
		f, err := newOutFile(name)
		if err != nil {
			return err
		}
		files = append(files, f)
		_, err = io.WriteString(f, b.text)
		if err := cmp.Or(err, f.commit()); err != nil {
			return err
		}
		table.Row(name, b.what)
	}
	return table.Flush()
}

func (x *exporter) beside() []extraFile {
	if x.form.beside == nil {
		return nil
	}
	return x.form.beside(x.counts)
}

// rankOf orders attributes with one value as matches are ordered: for detection first, then by threat level, then
// the newest.
func rankOf(a misp.Attribute) string {
	flag, threat := byte(1), byte(4)
	if a.ToIDs {
		flag = 0
	}
	if l := a.Event.ThreatLevel; l >= 1 && l <= 3 {
		threat = byte(l) //nolint:gosec // 1 to 3
	}
	return string(binary.BigEndian.AppendUint64([]byte{flag, threat}, ^uint64(max(0, a.Timestamp.Unix())))) + a.UUID //nolint:gosec // not negative
}

// Families that are told apart here; those of hashes and texts have the name of their type.
const (
	ipFamily      engine.Family = "ip"
	networkFamily engine.Family = "network" // an address type that holds one
	hostFamily    engine.Family = "host"
	urlFamily     engine.Family = "url"
	emailFamily   engine.Family = "email"
)

// valuesOf returns what an attribute can be found by, with its capitals: indicators have none, but programs that
// compare texts need them, in URLs above all.
func valuesOf(a misp.Attribute) []value {
	var values []value
	for _, i := range engine.Literals(engine.Type(a.Type), a.Value) {
		v := value{Indicator: i, Type: engine.Type(a.Type), Text: i.Key, Attribute: a}
		halves := []string{a.Value}
		if engine.Type(a.Type).Family() == "" { // a composite type
			v.Type = plainType(i.Family)
			if first, _, _ := strings.Cut(a.Type, "|"); engine.Type(first).Family() == v.Type.Family() {
				v.Type = engine.Type(first)
			}
			first, second, _ := strings.Cut(a.Value, "|")
			halves = []string{first, second}
		}
		for _, half := range halves {
			if text, err := v.Type.Normal(half); err == nil && strings.ToLower(text) == i.Key {
				v.Text = text
				break
			}
		}
		values = append(values, v)
	}
	return values
}

// plainType returns a type of a family that has one value.
func plainType(f engine.Family) engine.Type {
	switch f {
	case ipFamily, networkFamily:
		return "ip-dst"
	case hostFamily:
		return "hostname"
	}
	return engine.Type(f)
}
