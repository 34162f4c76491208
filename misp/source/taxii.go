package source

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"

	"custom-misp/misp/mirror"
)

// TAXIIType is the media type of TAXII 2.1, as the standard of OASIS has it.
const TAXIIType = "application/taxii+json;version=2.1"

// taxiiTypes are the types of objects that are asked for: indicators, and what says more about them.
var taxiiTypes = []string{"indicator", "marking-definition", "relationship", "malware", "threat-actor", "tool", "intrusion-set", "campaign"}

// A compiledTAXII says what to read of a server of TAXII.
type compiledTAXII struct {
	collections []string // ids, aliases or titles; empty for all that may be read
	since       time.Duration
	limit       int
}

// A taxiiCollection is a collection as a server describes it.
type taxiiCollection struct {
	ID      string `json:"id"`
	Title   string `json:"title"`
	Alias   string `json:"alias"`
	CanRead *bool  `json:"can_read"`

	at string // its address
}

// A taxiiAnswer is an answer to any question but that for objects.
type taxiiAnswer struct {
	Roots       []string          `json:"api_roots"`
	Collections []taxiiCollection `json:"collections"`
	Versions    []string          `json:"versions"`
	taxiiCollection
}

// A taxiiWalk reads collections.
type taxiiWalk struct {
	source *Source
	c      *mirror.Collection
}

// collectTAXII reads what is new in the collections of a server of TAXII 2.1. The address of the source is that of the
// discovery, of an API root, or of a collection.
func (s *Source) collectTAXII(ctx context.Context, c *mirror.Collection) error {
	w := &taxiiWalk{s, c}
	all, err := w.collections(ctx)
	if err != nil {
		return err
	}
	chosen, err := w.choose(all)
	if err != nil {
		return err
	}
	for _, in := range chosen {
		if err := w.walk(ctx, in); err != nil {
			return err
		}
	}
	return nil
}

// get asks a question about the server.
func (w *taxiiWalk) get(ctx context.Context, address, what string) (a taxiiAnswer, err error) {
	page, err := w.c.Ask(ctx, address, http.Header{"Accept": {TAXIIType}})
	if err != nil {
		return a, w.trouble(what, page, err)
	}
	if err := w.isTAXII(page); err != nil {
		return a, err
	}
	if err := json.Unmarshal(page.Body, &a); err != nil {
		return a, w.c.Trouble(fmt.Errorf("%s: an answer that is not of TAXII: %s", what, short(err.Error())), remedyAddress)
	}
	return a, nil
}

const remedyAddress = "is url the address of a TAXII 2.1 server: of its discovery (…/taxii2/), an API root, or a collection?"

// isTAXII refuses an answer that is a page, or of another version.
func (w *taxiiWalk) isTAXII(page mirror.Page) error {
	kind := strings.ToLower(page.Header.Get("Content-Type"))
	switch {
	case strings.Contains(kind, "html") || kindOf(page.Body) == "HTML":
		return w.c.Trouble(errors.New("it answers with an HTML page"), remedyAddress)
	case strings.Contains(kind, "version=2.0"):
		return w.c.Trouble(errors.New("the server speaks TAXII 2.0"), "TAXII 2.1 is needed; ask for its address")
	}
	return nil
}

// trouble says what to do about an answer of another status than 200.
func (w *taxiiWalk) trouble(what string, page mirror.Page, err error) error {
	answered := fmt.Errorf("%s: answered %d %s", what, page.Status, http.StatusText(page.Status))
	remedy := ""
	switch page.Status {
	case http.StatusUnauthorized:
		remedy = "the server wants to know who asks: declare auth: {user: NAME, password: {file: PATH}}, auth: {bearer: {file: PATH}}, or a header with the key, and check the key"
	case http.StatusForbidden:
		remedy = "the account may not read this; have it allowed at the server, or name other collections (taxii.collections)"
	case http.StatusNotFound, http.StatusGone:
		remedy = remedyAddress
	case http.StatusNotAcceptable, http.StatusUnsupportedMediaType:
		answered = fmt.Errorf("%w to a request for %s", answered, TAXIIType)
		remedy = "the server speaks another version of TAXII; ask for its address of TAXII 2.1"
	default:
		return err
	}
	return mirror.Waiting(w.c.Trouble(answered, remedy), err)
}

// collections returns the collections that the address of the source leads to.
func (w *taxiiWalk) collections(ctx context.Context) ([]taxiiCollection, error) {
	place, query, _ := strings.Cut(w.c.Place(), "?")
	place = strings.TrimSuffix(strings.TrimSuffix(place, "/"), "/objects") + "/"
	if query != "" {
		query = "?" + query // perhaps a key
	}
	a, err := w.get(ctx, place+query, "the address of the source")
	switch {
	case err != nil:
		return nil, err
	case len(a.Roots) > 0:
		return w.ofRoots(ctx, place, query, a.Roots)
	case a.Collections != nil || strings.HasSuffix(place, "/collections/"):
		return located(a.Collections, place), nil
	case a.ID != "":
		a.at = place
		return []taxiiCollection{a.taxiiCollection}, nil
	case len(a.Versions) > 0 || a.Title != "":
		return w.ofRoot(ctx, place, query)
	}
	return nil, w.c.Trouble(errors.New("the answer names no API root and no collection"), remedyAddress)
}

// ofRoots returns the collections of all API roots that the discovery names.
func (w *taxiiWalk) ofRoots(ctx context.Context, place, query string, roots []string) (all []taxiiCollection, err error) {
	base, err := url.Parse(place)
	if err != nil {
		return nil, w.c.Trouble(errors.New("no valid address"), remedyAddress)
	}
	if len(roots) > maxRoots {
		return nil, w.c.Trouble(fmt.Errorf("the server has %d API roots, more than %d", len(roots), maxRoots), "give the address of one of them as url")
	}
	for _, root := range roots {
		at, err := base.Parse(strings.TrimSuffix(root, "/") + "/")
		if err != nil {
			return nil, w.c.Trouble(fmt.Errorf("the API root %q is no address", short(root)), remedyServer)
		}
		if at.Host != base.Host || at.Scheme != base.Scheme {
			return nil, w.c.Trouble(fmt.Errorf("the API root %s is on another server, which does not get the keys of this one", MaskURL(at.String())), "give its address as url, if it is right")
		}
		found, err := w.ofRoot(ctx, at.String(), query)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// ofRoot returns the collections of an API root.
func (w *taxiiWalk) ofRoot(ctx context.Context, root, query string) ([]taxiiCollection, error) {
	at := strings.TrimSuffix(root, "/") + "/collections/"
	a, err := w.get(ctx, at+query, "the collections of the API root")
	return located(a.Collections, at), err
}

// located notes the addresses of collections.
func located(list []taxiiCollection, at string) []taxiiCollection {
	for i := range list {
		list[i].at = at + url.PathEscape(list[i].ID) + "/"
	}
	return list
}

// choose returns the collections that are declared; all that may be read, if none are.
func (w *taxiiWalk) choose(all []taxiiCollection) (chosen []taxiiCollection, err error) {
	readable := func(c taxiiCollection) bool { return c.CanRead == nil || *c.CanRead }
	var names []string
	for _, c := range all[:min(len(all), maxCollections)] {
		names = append(names, short(cmp.Or(c.Title, c.Alias, c.ID)))
	}
	there := "there are: " + cmp.Or(strings.Join(names, ", "), "none")
	for _, name := range w.source.taxii.collections {
		i := slices.IndexFunc(all, func(c taxiiCollection) bool { return name == c.ID || name == c.Alias || name == c.Title })
		switch {
		case i < 0:
			return nil, w.c.Trouble(fmt.Errorf("there is no collection %q", name), there)
		case !readable(all[i]):
			return nil, w.c.Trouble(fmt.Errorf("the collection %q may not be read with this account", name), "have it allowed at the server")
		}
		chosen = append(chosen, all[i])
	}
	if len(w.source.taxii.collections) == 0 {
		chosen = slices.DeleteFunc(slices.Clone(all), func(c taxiiCollection) bool { return !readable(c) })
	}
	switch {
	case len(chosen) == 0:
		return nil, w.c.Trouble(errors.New("there is no collection that may be read with this account"), there)
	case len(chosen) > maxCollections:
		return nil, w.c.Trouble(fmt.Errorf("%d collections, more than %d", len(chosen), maxCollections), "name those to read with taxii.collections")
	}
	return chosen, nil
}

// An envelope is a page of objects.
type envelope struct {
	More    bool              `json:"more"`
	Next    json.RawMessage   `json:"next"`
	Objects []json.RawMessage `json:"objects"`
}

// next is what the server gives to ask for the next page with; some give a number.
func (e envelope) next() string {
	var text string
	if json.Unmarshal(e.Next, &text) == nil {
		return text
	}
	return strings.TrimSpace(strings.Trim(string(e.Next), `"`))
}

// A collectionWalk is a walk over what is new in a collection.
type collectionWalk struct {
	*taxiiWalk
	in      taxiiCollection
	name    string // of its cursor
	what    string // in errors
	cursor  cursor
	guard   *pageGuard
	first   string // the server's clock with the first page
	resumed bool   // the next page is that of an earlier sync
}

// walk reads what is new in a collection.
func (w *taxiiWalk) walk(ctx context.Context, in taxiiCollection) error {
	k := &collectionWalk{taxiiWalk: w, in: in, guard: newPageGuard()}
	k.name = fmt.Sprintf("%s %016x", in.ID, xxhash.Sum64String(in.at))
	k.what = "collection " + short(cmp.Or(in.Title, in.ID))
	k.cursor = cursorOf(w.c.Cursor(k.name))
	k.begin()
	for {
		more, err := k.page(ctx)
		if err != nil || !more {
			return err
		}
	}
}

// begin goes on with a walk that was not complete, or begins one.
func (k *collectionWalk) begin() {
	now := k.c.Now()
	if k.cursor.Walk == nil {
		from := k.cursor.After
		if from == "" && k.source.taxii.since > 0 {
			from = now.Add(-k.source.taxii.since).Format(taxiiTime)
		}
		k.cursor.Walk = &walkCursor{From: from}
		return
	}
	if age := now.Sub(k.cursor.Walk.At); age < 0 || age > longestResumed {
		k.restart()
	}
	if walk := k.cursor.Walk; walk.Next != "" {
		k.resumed = true
		k.guard.again(walk.From + "\x00" + walk.Next)
	}
}

// restart goes on behind what was read, without what the server gave for the next page: pages are in the order in which
// their objects were added.
func (k *collectionWalk) restart() {
	walk := k.cursor.Walk
	walk.Next, walk.From = "", cmp.Or(walk.Last, walk.From)
	k.resumed = false
}

// taxiiTime is the form of times of TAXII.
const taxiiTime = "2006-01-02T15:04:05.000000Z"

// question returns the address of the next page.
func (k *collectionWalk) question() string {
	walk := k.cursor.Walk
	q := url.Values{"limit": {strconv.Itoa(cmp.Or(k.source.taxii.limit, usualPageOfMany))}}
	if walk.From != "" {
		q.Set("added_after", walk.From)
	}
	if walk.Next != "" {
		q.Set("next", walk.Next)
	}
	if !walk.Unfilter {
		q.Set("match[type]", strings.Join(taxiiTypes, ","))
	}
	if _, query, ok := strings.Cut(k.c.Place(), "?"); ok {
		return k.in.at + "objects/?" + query + "&" + q.Encode()
	}
	return k.in.at + "objects/?" + q.Encode()
}

// page reads a page, and reports whether there are more.
func (k *collectionWalk) page(ctx context.Context) (more bool, err error) {
	walk := k.cursor.Walk
	page, err := k.c.Ask(ctx, k.question(), http.Header{"Accept": {TAXIIType}})
	if err != nil {
		return k.refused(page, err)
	}
	k.resumed = false
	if err := k.isTAXII(page); err != nil {
		return false, err
	}
	var e envelope
	if len(strings.TrimSpace(string(page.Body))) > 0 {
		if err := json.Unmarshal(page.Body, &e); err != nil {
			return false, k.c.Trouble(fmt.Errorf("%s: a page that is not of TAXII: %s", k.what, short(err.Error())), remedyServer)
		}
	}
	if k.first == "" {
		k.first = page.Header.Get("Date")
	}
	if last := page.Header.Get("X-TAXII-Date-Added-Last"); isDate(last) {
		walk.Last = later(walk.Last, last)
	}
	kept, fresh := k.kept(e.Objects)
	if err := k.goOn(e, fresh); err != nil {
		return false, k.c.Trouble(fmt.Errorf("%s: %w", k.what, err), remedyServer)
	}
	walk.At = k.c.Now()
	next := k.cursor
	if !e.More {
		next = cursor{After: k.end()}
	}
	return e.More, k.c.Keep(k.name, next.String(), kept)
}

// goOn sets where the next page is.
func (k *collectionWalk) goOn(e envelope, fresh int) error {
	walk := k.cursor.Walk
	if !e.More {
		return nil
	}
	if err := k.guard.page(fresh); err != nil {
		return err
	}
	switch next := e.next(); {
	case len(next) > maxCursor:
		return fmt.Errorf("what it gives for the next page has %d bytes, more than %d", len(next), maxCursor)
	case next != "":
		walk.Next = next
	case walk.Last != "" && later(walk.From, walk.Last) != walk.From:
		walk.Next, walk.From = "", walk.Last
	default:
		return errors.New("the server says that there is more, and not where")
	}
	if k.guard.again(walk.From + "\x00" + walk.Next) {
		return errSamePage
	}
	return nil
}

// refused goes on after an answer of another status than 200, if that makes sense.
func (k *collectionWalk) refused(page mirror.Page, err error) (more bool, _ error) {
	walk := k.cursor.Walk
	switch status := page.Status; {
	case k.resumed && status >= 400 && status < 500 && status != http.StatusTooManyRequests && status != http.StatusUnauthorized && status != http.StatusForbidden:
		k.restart() // the server has forgotten the page
		return true, nil
	case (status == http.StatusNotFound || status == http.StatusRequestedRangeNotSatisfiable) && walk.Next == "":
		// The collection is there: some servers say so that it has nothing that is new.
		return false, k.c.Keep(k.name, cursor{After: k.end()}.String(), nil)
	case status == http.StatusBadRequest && !walk.Unfilter && walk.Next == "":
		walk.Unfilter = true // not all servers know match
		return true, nil
	}
	if page.Status == 0 || page.Status == http.StatusOK {
		return false, err
	}
	return false, k.trouble(k.what, page, err)
}

// end returns what the next walk asks for: what was added later than all that this one has read. A server that does not say
// when that was has its own clock at the beginning of the walk, less some minutes.
func (k *collectionWalk) end() string {
	walk := k.cursor.Walk
	if walk.Last != "" {
		return walk.Last
	}
	if walk.From != "" {
		return walk.From
	}
	if at, err := http.ParseTime(k.first); err == nil {
		return at.Add(-5 * time.Minute).UTC().Format(taxiiTime)
	}
	return ""
}

// kept returns the objects of a page that say something about indicators, and how many did not come before. One that is too
// long leaves its name alone, to be counted.
func (k *collectionWalk) kept(objects []json.RawMessage) (kept [][]byte, fresh int) {
	for _, raw := range objects {
		if len(raw) == 0 || raw[0] != '{' {
			continue
		}
		var o stixObject
		if json.Unmarshal(raw, &o) != nil {
			o = stixObject{Type: stixIndicatorType} // counted as one that cannot be read
		}
		if k.guard.isNew(o.ID, o.version()) {
			fresh++
		}
		switch {
		case !slices.Contains(taxiiTypes, o.Type), o.Type == "relationship" && o.Relationship != "indicates":
		case len(raw) > maxKept:
			name, _ := json.Marshal(map[string]string{"type": o.Type, "id": o.ID, "modified": o.Modified}) // texts
			kept = append(kept, name)
		default:
			kept = append(kept, raw)
		}
	}
	return kept, fresh
}

func isDate(text string) bool {
	_, ok := dateOf(text)
	return ok
}

// later returns the later of two times, as it is written.
func later(a, b string) string {
	x, _ := dateOf(a)
	y, _ := dateOf(b)
	if y.After(x) {
		return b
	}
	return a
}
