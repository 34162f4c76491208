package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"custom-misp/engine/atomicfile"
	"custom-misp/engine/enrich"
	"custom-misp/misp/api"
)

const (
	feedTimeout = 5 * time.Minute // for one file
	patience    = time.Minute     // with a server that asks for a wait before another try
)

// errLong is a file that is longer than is allowed.
var errLong = errors.New("too long")

// errSame is a file that has not changed since its tag was taken.
var errSame = errors.New("not modified")

// A place is where files are read from: a directory, or an address.
type place struct {
	at   string // path or URL; a slash is put before a file's name
	max  limits
	http *retryablehttp.Client // nil for a directory
}

// located is what feeds and lists have in common.
type located struct {
	name string
	from place
}

// Name implements Origin.
func (l located) Name() string { return l.name }

// newPlace returns the place at a path or an http(s) URL.
func newPlace(at, userAgent string) place {
	p := place{at: at, max: usualLimits}
	if !IsURL(at) {
		return p
	}
	p.http = retryablehttp.NewClient()
	p.http.Logger = nil
	p.http.RetryMax = 3
	p.http.HTTPClient.Timeout = feedTimeout
	p.http.CheckRetry = checkRetry
	p.http.Backoff = api.Backoff
	p.http.ErrorHandler = retryablehttp.PassthroughErrorHandler
	p.http.HTTPClient.CheckRedirect = follow
	p.http.RequestLogHook = func(_ retryablehttp.Logger, r *http.Request, _ int) { r.Header.Set("User-Agent", userAgent) }
	return p
}

// checkRetry says whether another try may help. It does not obey a server that asks for a longer wait than patience:
// the sync fails, and the next one tries again.
func checkRetry(ctx context.Context, resp *http.Response, err error) (bool, error) {
	if err == nil && api.AskedWait(resp) > patience {
		return false, nil
	}
	return retryablehttp.DefaultRetryPolicy(ctx, resp, err)
}

// follow says whether to follow a redirect.
func follow(r *http.Request, via []*http.Request) error {
	r.Header.Del("Referer") // it would send a key in the address to another server
	switch {
	case len(via) >= 10:
		return errors.New("stopped after 10 redirects")
	case via[0].URL.Scheme == "https" && r.URL.Scheme != "https":
		return errors.New("redirected to an address without TLS")
	}
	return nil
}

// IsURL reports whether a place is an address, and not a path.
func IsURL(at string) bool {
	return strings.HasPrefix(at, "https://") || strings.HasPrefix(at, "http://")
}

// shown is the place as logs and state.json may contain it: without a password, and without a query, which may contain
// a key.
func (p place) shown() string {
	if p.http == nil {
		return p.at
	}
	u, err := url.Parse(p.at)
	if err != nil {
		scheme, _, _ := strings.Cut(p.at, "://")
		return scheme + "://…" // any part of it may be a key
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}

// name returns where a file is; that of the place itself for an empty name.
func (p place) name(file string) string {
	switch {
	case file == "":
		return p.at
	case p.http == nil:
		return filepath.Join(p.at, file)
	}
	u, err := url.Parse(p.at)
	if err != nil {
		return p.at
	}
	u.Path = path.Join(u.Path, file)
	return u.String()
}

// errAbsent is a file that the place does not have; trying again does not help.
type errAbsent struct{ error }

// Unwrap returns what happened.
func (e errAbsent) Unwrap() error { return e.error }

// open begins to read a file. tag is what an earlier open of it returned; errSame if the file is still that. A file that
// says that it is longer than a number of bytes is refused at once; the caller bounds what it reads.
func (p place) open(ctx context.Context, file, tag string, most int64) (content io.ReadCloser, newTag string, err error) {
	if p.http == nil {
		content, newTag, size, err := openFile(p.name(file), tag)
		if err == nil && size > most {
			return nil, "", errors.Join(p.tooLong(file, most), content.Close())
		}
		return content, newTag, err
	}
	req, err := retryablehttp.NewRequestWithContext(ctx, http.MethodGet, p.name(file), nil)
	if err != nil {
		return nil, "", p.trouble(file, errors.New("no valid address"), "is the address right?")
	}
	if tag != "" {
		req.Header.Set("If-None-Match", tag)
	}
	resp, err := p.http.Do(req)
	if err != nil {
		if resp != nil { // the time ended behind the answer
			_ = resp.Body.Close()
		}
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // the address may hold a key
		}
		return nil, "", p.trouble(file, err, "is the address right, and reachable from here?")
	}
	switch resp.StatusCode {
	case http.StatusOK:
		if resp.ContentLength > most {
			return nil, "", errors.Join(p.tooLong(file, most), resp.Body.Close())
		}
		if newTag = resp.Header.Get("ETag"); len(newTag) > maxTag {
			newTag = ""
		}
		return resp.Body, newTag, nil
	case http.StatusNotModified:
		return nil, tag, errors.Join(errSame, resp.Body.Close())
	}
	answered := fmt.Errorf("answered %d %s", resp.StatusCode, http.StatusText(resp.StatusCode)) // its own text may be anything
	switch resp.StatusCode {
	case http.StatusNotFound, http.StatusGone:
		return nil, "", errAbsent{errors.Join(p.trouble(file, answered, "is the address right?"), resp.Body.Close())}
	}
	return nil, "", errors.Join(p.trouble(file, answered, "see what it says in a browser"), resp.Body.Close())
}

// openFile opens a file, unless it is still what it was, and returns its tag and its size.
func openFile(name, tag string) (content io.ReadCloser, newTag string, size int64, err error) {
	f, st, err := openRegular(name)
	if err != nil {
		t := &enrich.Trouble{Code: enrich.CodeFeed, Err: err, Remedy: "let the user that this program runs as read it"}
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, atomicfile.ErrNotRegular) {
			t.Remedy = "is the path right?"
			return nil, "", 0, errAbsent{t}
		}
		return nil, "", 0, t
	}
	now := fmt.Sprintf("%d-%d", st.Size(), st.ModTime().UnixNano())
	if now == tag {
		return nil, tag, 0, errors.Join(errSame, f.Close())
	}
	return f, now, st.Size(), nil
}

func (p place) tooLong(file string, most int64) error {
	return p.trouble(file, fmt.Errorf("%w: more than %d bytes", errLong, most), "is this the right file? If so, split it")
}

// read reads a file of at most a number of bytes.
func (p place) read(ctx context.Context, file, tag string, most int64) (data []byte, newTag string, err error) {
	r, newTag, err := p.open(ctx, file, tag, most)
	if err != nil {
		return nil, newTag, err
	}
	defer r.Close() //nolint:errcheck // only read
	data, err = io.ReadAll(io.LimitReader(reading(ctx, r), most+1))
	if err == nil && int64(len(data)) > most {
		return nil, "", p.tooLong(file, most)
	}
	if err != nil {
		return nil, "", p.trouble(file, err, "download it again")
	}
	return data, newTag, nil
}

// trouble returns an error that names the file, without secrets.
func (p place) trouble(file string, err error, remedy string) error {
	name := p.shown()
	if file != "" {
		name = strings.TrimSuffix(name, "/") + "/" + file
	}
	return &enrich.Trouble{Code: enrich.CodeFeed, Err: fmt.Errorf("%s: %w", name, err), Remedy: remedy}
}
