package mirror

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"custom-misp/misp"
)

// Declared is a declared source: a file in any form, at a path or an address, and what reads it. A copy that the reader
// refuses, or that has far fewer indicators than the one before, leaves the set as it was.
type Declared struct {
	located
	file DeclaredFile
}

// A DeclaredFile says where the file of a declared source is, and how it is read.
type DeclaredFile struct {
	Name string
	Kind Kind // KindSource if it is empty
	Access
	// Shrink is the share of the indicators of the set that a new copy needs; 0 to take any. A smaller one is refused until it
	// comes twice.
	Shrink float64
	// Form changes when the declaration does: then the file is read again although it is the same.
	Form string
	// Measure judges a file.
	Measure func(ctx context.Context, file File, now time.Time) (Measured, error)
	// Collect asks for what is new, page by page; nil for a source that is one file. It is then measured as a file with an
	// object in each line. CollectForm changes when it has to collect something else.
	Collect     func(ctx context.Context, c *Collection) error
	CollectForm string
}

// A File is what a reader reads, as often as it likes.
type File interface {
	io.ReaderAt
	Size() int64
}

// Measured is a file that was judged to be good.
type Measured interface {
	// Total is how many different indicators it has.
	Total() int
	// Failure says what of it yields nothing; empty if all does.
	Failure() string
	// Each yields its attributes.
	Each(ctx context.Context, do func(misp.Attribute) error) error
}

// NewDeclared returns a declared source.
func NewDeclared(f DeclaredFile) *Declared {
	return &Declared{located{f.Name, f.place()}, f}
}

func (d *Declared) describe() (Kind, string) { return cmp.Or(d.file.Kind, KindSource), d.from.shown() }

// ErrRefused is a copy that may be good, and has far fewer indicators than the one before. It is taken when it comes again.
var ErrRefused = errors.New("refused")

func (d *Declared) sync(ctx context.Context, w *writer, y *Syncer, full bool) error {
	if d.file.Collect != nil {
		return d.collect(ctx, w, y, full)
	}
	began := y.now()
	have := validators{}
	if !full && w.set != nil && w.state.Form == d.file.Form {
		have = w.state.validators() // of the copy that the set was made of, also if others were refused since
	}
	file, got, err := d.open(ctx, w.dir, have)
	if errors.Is(err, errSame) {
		return w.keep(y.done(began, func(s *State) { s.Refused = 0 }))
	}
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // only read
	return d.take(ctx, w, y, file, got, began, full)
}

// take makes the set of a file, unless it is refused.
func (d *Declared) take(ctx context.Context, w *writer, y *Syncer, file File, got validators, began time.Time, full bool) error {
	measured, err := d.file.Measure(ctx, file, began)
	if err != nil {
		return d.from.trouble("", err, "the copy that was there stays; look at it with: custom-misp source preview "+d.name)
	}
	if err := d.refuse(w, y, measured.Total(), full); err != nil {
		return err
	}
	what := "source " + d.name
	if d.file.Kind == KindCSV {
		what = "list " + d.name
	}
	event := misp.Event{UUID: identify(what).String(), Info: what, Published: true}
	event.ID = event.UUID
	done := y.done(began, func(s *State) {
		s.setValidators(got)
		s.FullAt, s.Form, s.Indicators = began.UTC(), d.file.Form, measured.Total()
		s.Partial, s.Refused = measured.Failure(), 0
	})
	return w.replace(ctx, func(b *builder) error {
		return measured.Each(ctx, func(a misp.Attribute) error {
			if a.Event.UUID == "" {
				level := a.Event.ThreatLevel
				a.Event = event
				a.Event.ThreatLevel = level
			}
			if a.UUID == "" {
				a.UUID = identify(what + "\x00" + a.Type + "\x00" + a.Value).String()
			}
			if a.Event.ID == "" {
				a.Event.ID = a.Event.UUID
			}
			a.Event.Published = true
			return b.Add(a, "")
		})
	}, done)
}

// refuse returns an error for a copy with far fewer indicators than the set, unless it came before, or is accepted.
func (d *Declared) refuse(w *writer, y *Syncer, total int, full bool) error {
	before := w.state.Indicators
	if full && y.Accept || w.set == nil || before == 0 || float64(total) >= d.file.Shrink*float64(before) {
		return nil
	}
	if w.state.Refused == total+1 {
		return nil // it comes twice
	}
	w.state.Refused = total + 1
	return d.from.trouble("", fmt.Errorf("%w: it has %d indicators, and the copy before %d", ErrRefused, total, before),
		"if this is right, run custom-misp source accept "+d.name+"; the same smaller copy is taken when it comes again")
}

// open returns the file of a source, and what tells its version; errSame if it is still that of have.
func (d *Declared) open(ctx context.Context, dir string, have validators) (_ *fetched, got validators, err error) {
	if d.several() {
		f, tag, err := d.gather(ctx, dir, have.tag)
		return f, validators{tag: tag}, err
	}
	r, got, err := d.from.open(ctx, "", have, d.from.max.list)
	if err != nil {
		return nil, got, err
	}
	f, err := d.copyOf(ctx, r, dir)
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, validators{}, err
	}
	return f, got, nil
}

// copyOf returns a file that can be read again and again: the file itself, or what was fetched, which is deleted when it is
// closed.
func (d *Declared) copyOf(ctx context.Context, r io.Reader, dir string) (*fetched, error) {
	if f, ok := r.(*os.File); ok {
		again, st, err := openRegular(f.Name())
		if err != nil {
			return nil, d.from.trouble("", err, "let the user that this program runs as read it")
		}
		return &fetched{again, st.Size()}, nil
	}
	f, err := os.CreateTemp(dir, "fetched-*")
	if err != nil {
		return nil, err
	}
	_ = os.Remove(filepath.Clean(f.Name())) // it is only read here
	n, err := io.Copy(f, io.LimitReader(reading(ctx, r), d.from.max.list+1))
	switch {
	case err != nil:
		err = d.from.trouble("", err, "the next sync tries again")
	case n > d.from.max.list:
		err = d.from.tooLong("", d.from.max.list)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &fetched{f, n}, nil
}

// fetched is a file with its size.
type fetched struct {
	*os.File
	size int64
}

// Size implements File.
func (f *fetched) Size() int64 { return f.size }

// Fetch returns the file of a declared source, for a look at it; of one that is collected, the first pages. The caller has to
// close it.
func (d *Declared) Fetch(ctx context.Context, dir string) (FetchedFile, error) {
	if d.file.Collect != nil {
		return d.fetchCollected(ctx, dir)
	}
	f, _, err := d.open(ctx, dir, validators{})
	if err != nil {
		return nil, err // and not a file that is nil
	}
	return f, nil
}

// A FetchedFile is a file that was fetched.
type FetchedFile interface {
	File
	io.Closer
}
