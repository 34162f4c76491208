package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"

	"custom-misp/engine/enrich"
)

// A Collection is what is collected of a source that gives its objects page by page, as a server of TAXII does. What was
// collected is kept beside the set, so that the next sync asks only for what is new; a sync that fails or is killed goes on
// behind the last page that was complete. The set is made anew of all of it when a walk is complete.
type Collection struct {
	from  place
	log   *collectLog
	now   func() time.Time
	pages int   // of this sync
	bytes int64 // of these pages
	first int   // pages that are enough for a preview; 0 for all
}

// A Page is an answer.
type Page struct {
	Status int
	Header http.Header
	Body   []byte // of status 200 alone
}

// ErrEnough ends a walk of which the first pages are enough. What collects returns it as it is.
var ErrEnough = errors.New("these pages are enough")

// Now returns the time.
func (c *Collection) Now() time.Time { return c.now().UTC() }

// Place returns the address of the source, with all secrets.
func (c *Collection) Place() string { return c.from.at }

// Ask asks for a page at an address, which has to be on the server of the source: no other one gets its keys. An error about
// an answer of another status than 200 comes beside the page. Others are about the connection, or about bounds. All are
// [enrich.Trouble], or [ErrEnough].
func (c *Collection) Ask(ctx context.Context, address string, header http.Header) (Page, error) {
	most := c.from.max
	switch {
	case !sameServer(address, c.from.at):
		return Page{}, c.Trouble(errors.New("it leads to another server, which does not get the keys of this one"), "name the address of that server as url, if it is right")
	case c.first > 0 && c.pages >= c.first:
		return Page{}, ErrEnough
	case c.pages >= most.pages:
		return Page{}, c.Trouble(fmt.Errorf("more than %d pages in one sync", most.pages), "the next sync goes on; if the server never ends, ask its owner")
	case c.bytes > most.list:
		return Page{}, c.Trouble(fmt.Errorf("%w: pages of more than %d bytes in one sync", errLong, most.list), "the next sync goes on; if the server never ends, ask its owner")
	}
	c.pages++
	bounded, cancel := context.WithTimeout(ctx, most.pageTime)
	defer cancel()
	tooSlow := func() bool { return bounded.Err() != nil && ctx.Err() == nil }
	resp, err := c.from.get(bounded, address, "", header)
	switch {
	case err != nil && tooSlow():
		return Page{}, c.slow()
	case err != nil:
		return Page{}, err
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	page := Page{Status: resp.StatusCode, Header: resp.Header}
	if resp.StatusCode != http.StatusOK {
		return page, c.from.refused("", resp)
	}
	body, err := contentOf(resp)
	if err == nil {
		page.Body, err = io.ReadAll(io.LimitReader(body, most.page+1))
	}
	c.bytes += int64(len(page.Body))
	switch {
	case err != nil && tooSlow():
		return Page{}, c.slow()
	case err != nil:
		return Page{}, c.Trouble(err, "the next sync tries again")
	case int64(len(page.Body)) > most.page:
		return Page{}, c.Trouble(fmt.Errorf("%w: a page of more than %d bytes", errLong, most.page), "have the server give smaller pages, or ask for fewer objects (taxii.limit)")
	}
	return page, nil
}

// slow is the error of a page that does not come in time.
func (c *Collection) slow() error {
	return c.Trouble(fmt.Errorf("a page took more than %s", c.from.max.pageTime), "the next sync tries again")
}

// sameServer reports whether two addresses are of one server, and an address with secrets is not sent without TLS.
func sameServer(a, b string) bool {
	x, xerr := url.Parse(a)
	y, yerr := url.Parse(b)
	return xerr == nil && yerr == nil && x.Scheme == y.Scheme && x.Host == y.Host && x.User.String() == y.User.String()
}

// Cursor returns what was kept with the last page of a name; empty for none.
func (c *Collection) Cursor(name string) string { return c.log.cursors[name] }

// Keep keeps the objects of a page, each in JSON, and where to go on, under a name. Both are on the disk when it returns.
func (c *Collection) Keep(name, cursor string, objects [][]byte) error {
	if err := c.log.page(name, cursor, objects, c.from.max.list); err != nil {
		if errors.Is(err, errLong) {
			return c.Trouble(err, "collect less: fewer collections, or what is newer (taxii)")
		}
		return err
	}
	return nil
}

// Trouble returns an error that names the source, without secrets.
func (c *Collection) Trouble(err error, remedy string) error { return c.from.trouble("", err, remedy) }

// Waiting returns the same trouble with the wait that another one has, which is about the same answer.
func Waiting(err, answer error) error {
	t, ok := errors.AsType[*enrich.Trouble](err)
	if a, has := errors.AsType[*enrich.Trouble](answer); ok && has {
		t.Wait = a.Wait
	}
	return err
}

// collect brings the set up to date with what a walk collects.
func (d *Declared) collect(ctx context.Context, w *writer, y *Syncer, full bool) (err error) {
	began := y.now()
	log, err := openCollected(w.dir, d.file.CollectForm, full && !y.Accept, began)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	c := &Collection{from: d.from, log: log, now: y.now}
	if err := d.file.Collect(ctx, c); err != nil {
		return err
	}
	if err := log.complete(y.now()); err != nil {
		return err
	}
	tag := log.tag()
	if !full && w.set != nil && w.state.Form == d.file.Form && w.state.Tag == tag {
		return w.keep(y.done(began, func(s *State) { s.Refused = 0 }))
	}
	return d.take(ctx, w, y, log, validators{tag: tag}, began, full)
}

// previewPages are the pages that a look at a source asks for.
const previewPages = 10

// fetchCollected collects the first pages of a source, for a look at it.
func (d *Declared) fetchCollected(ctx context.Context, dir string) (FetchedFile, error) {
	if dir == "" {
		dir = os.TempDir()
	}
	tmp, err := os.MkdirTemp(dir, "collected-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp) //nolint:errcheck // the file is open, and only read here
	log, err := openCollected(tmp, d.file.CollectForm, true, time.Now())
	if err != nil {
		return nil, err
	}
	c := &Collection{from: d.from, log: log, now: time.Now, first: previewPages}
	if err := d.file.Collect(ctx, c); err != nil && !errors.Is(err, ErrEnough) {
		return nil, errors.Join(err, log.Close())
	}
	return log, nil
}
