package mirror

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/go-retryablehttp"

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

	headers http.Header // of each request; nil for none
	masked  string      // the place as logs may contain it; empty to make it of at
	fault   error       // why nothing can be asked for: an authority or a proxy that cannot be used
}

// An Access says where the files of a source are, and how they are asked for.
type Access struct {
	Place string // path or URL
	Shown string // the place without secrets; empty to make it of Place
	// Headers go with each request, but to no other host than that of Place.
	Headers   http.Header
	UserAgent string
	// CA holds the certificates (PEM) to trust instead of the system's; empty for the system's.
	CA []byte
	// Proxy is the address of the proxy; empty for what the environment says, [NoProxy] for none.
	Proxy string
	// RetryWait is the wait before a request is made again that failed, twice as long each time; 0 for a second.
	RetryWait time.Duration
}

// NoProxy is the proxy of an [Access] that needs none, whatever the environment says.
const NoProxy = "none"

// place returns where files are read from.
func (a Access) place() place {
	p := newPlace(a.Place, a.UserAgent)
	p.masked, p.headers = a.Shown, a.Headers
	if p.http != nil && a.RetryWait > 0 {
		p.http.RetryWaitMin = a.RetryWait
	}
	if p.http == nil || len(a.CA) == 0 && a.Proxy == "" {
		return p
	}
	transport := p.http.HTTPClient.Transport.(*http.Transport) //nolint:forcetypeassert // it is retryablehttp's
	if len(a.CA) > 0 {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(a.CA) {
			p.fault = errors.New("ca_file holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)")
		}
		transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}
	}
	switch proxy, err := url.Parse(a.Proxy); {
	case a.Proxy == "":
	case a.Proxy == NoProxy:
		transport.Proxy = nil
	case err != nil || proxy.Host == "":
		p.fault = errors.New("proxy is no address like http://proxy.example.org:3128") // it may hold a password
	default:
		transport.Proxy = http.ProxyURL(proxy)
	}
	return p
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
	p.http.RequestLogHook = func(_ retryablehttp.Logger, r *http.Request, _ int) {
		if r.Header.Get("User-Agent") == "" {
			r.Header.Set("User-Agent", userAgent)
		}
	}
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
	if r.URL.Host != via[0].URL.Host {
		for name := range via[0].Header {
			if name != "User-Agent" && name != "Accept" {
				r.Header.Del(name) // a key may be in any of them
			}
		}
	}
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
	if p.masked != "" {
		return p.masked
	}
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

func (p place) tooLong(file string, most int64) error {
	return p.trouble(file, fmt.Errorf("%w: more than %d bytes", errLong, most), "is this the right file? If so, split it")
}

// trouble returns an error that names the file, without secrets.
func (p place) trouble(file string, err error, remedy string) error {
	name := p.shown()
	if file != "" {
		name = strings.TrimSuffix(name, "/") + "/" + file
	}
	return &enrich.Trouble{Code: enrich.CodeFeed, Err: fmt.Errorf("%s: %w", name, err), Remedy: remedy}
}
