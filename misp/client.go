// Package misp asks a MISP server: which of the values of an alert are known as indicators of compromise.
//
// A [Client] puts all of them into one question to /attributes/restSearch and trusts nothing of the answer that
// it has not compared itself: MISP compares loosely, takes wildcards, and answers some malformed questions with
// its whole database.
package misp

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"custom-misp/engine"
)

// Config says which MISP to ask, and how.
type Config struct {
	// URL is MISP's base address, with a path if it does not sit at the root.
	URL string
	// Key is the authentication key. It travels in one header, to that address only, and is in no error.
	Key string
	// CA holds the certificates (PEM) to trust instead of the system's; empty for the system's.
	CA []byte
	// InsecureSkipVerify accepts any certificate.
	InsecureSkipVerify bool
	// Timeout bounds one try; 0 for five seconds.
	Timeout time.Duration
	// Retries is how often a try is repeated that failed for a reason that may pass.
	Retries int
	// MaxAnswer is the longest answer that is read, in bytes; 0 for 32 MiB.
	MaxAnswer int64
	// Filter is what matches are filtered by where a mapping says nothing else.
	Filter engine.Filter
	// UserAgent names the program to MISP; empty for none.
	UserAgent string
	// Logger is told of retries, at debug level; nil for silence.
	Logger *slog.Logger
}

// Client asks one MISP server. It implements the Lookup of package enrich and is safe for concurrent use.
type Client struct {
	search    string // address of the search
	host      string // for errors
	key       string
	userAgent string
	maxAnswer int64
	filter    engine.Filter
	http      *retryablehttp.Client
}

const (
	firstWait = 100 * time.Millisecond // before the first retry, doubled for each further one
	longWait  = 5 * time.Second        // the longest of these
	patience  = time.Minute            // the longest wait that the server may ask for if the caller sets no deadline
)

// New checks the configuration. It does not talk to MISP. Errors never contain the key.
func New(c Config) (*Client, error) {
	base, err := url.Parse(c.URL)
	if err != nil || base.Hostname() == "" || !validPort(base.Port()) || base.Scheme != "http" && base.Scheme != "https" {
		return nil, fmt.Errorf("%q is not the address of a MISP, like https://misp.example.org", shownURL(c.URL, c.Key))
	}
	if base.User != nil || base.RawQuery != "" || base.ForceQuery || base.Fragment != "" {
		return nil, fmt.Errorf("the address of MISP must be host and path alone, without user, query and fragment: %q", shownURL(c.URL, c.Key))
	}
	if c.Key == "" || strings.ContainsFunc(c.Key, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("the key for MISP is empty or has characters that no key has; copy it anew from MISP")
	}
	if c.MaxAnswer <= 0 {
		c.MaxAnswer = 32 << 20
	}
	tlsConfig := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: c.InsecureSkipVerify} //nolint:gosec // as configured
	if len(c.CA) > 0 {
		tlsConfig.RootCAs = x509.NewCertPool()
		if !tlsConfig.RootCAs.AppendCertsFromPEM(c.CA) {
			return nil, errors.New("the CA file holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)")
		}
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = tlsConfig
	rc := retryablehttp.NewClient()
	rc.HTTPClient = &http.Client{
		Transport: wholeAnswers{transport, c.MaxAnswer},
		Timeout:   c.Timeout,
		// A redirect leads to a login page or to another host, and the key must go to neither.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	if c.Timeout <= 0 {
		rc.HTTPClient.Timeout = 5 * time.Second
	}
	rc.RetryMax = c.Retries
	rc.CheckRetry = checkRetry
	rc.Backoff = backoff
	rc.RetryWaitMin, rc.RetryWaitMax = firstWait, longWait
	rc.ErrorHandler = retryablehttp.PassthroughErrorHandler
	rc.Logger = nil
	if c.Logger != nil {
		rc.RequestLogHook = func(_ retryablehttp.Logger, r *http.Request, attempt int) {
			if attempt > 0 {
				c.Logger.Debug("asking MISP again", "host", r.URL.Host, "attempt", attempt+1)
			}
		}
	}
	return &Client{
		search: base.JoinPath("attributes", "restSearch").String(), host: base.Host, key: c.Key,
		userAgent: c.UserAgent, maxAnswer: c.MaxAnswer, filter: c.Filter, http: rc,
	}, nil
}

// shownURL returns an address as an error may show it: without what stands before an @ and after ? or #, where
// people put passwords and keys, and without the key wherever else it stands.
func shownURL(address, key string) string {
	if i := strings.IndexAny(address, "?#"); i >= 0 {
		address = address[:i+1] + "…"
	}
	if i := strings.LastIndexByte(address, '@'); i >= 0 {
		start := strings.Index(address[:i], "://")
		address = address[:max(0, start)] + "://…" + address[i:]
	}
	return withoutKey(address, key)
}

func withoutKey(s, key string) string {
	if key == "" {
		return s
	}
	return strings.ReplaceAll(s, key, "***")
}

func validPort(port string) bool {
	if port == "" {
		return true
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}

// wholeAnswers reads an answer to its end before anybody sees its status, so that one that breaks off counts as
// a lost connection and is asked for again.
type wholeAnswers struct {
	transport http.RoundTripper
	max       int64 // bytes; one more is read, to tell that there are more
}

// RoundTrip implements http.RoundTripper.
func (w wholeAnswers) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := w.transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	data, err := io.ReadAll(io.LimitReader(resp.Body, w.max+1))
	if err != nil {
		return nil, fmt.Errorf("the answer broke off: %w", err)
	}
	resp.Body = io.NopCloser(bytes.NewReader(data))
	return resp, nil
}

// tries counts the tries of one question. It travels in the context, because that is all that checkRetry is
// given.
type tries struct{}

func withTries(ctx context.Context) context.Context { return context.WithValue(ctx, tries{}, new(int)) }

// checkRetry says whether another try may help: after a lost connection, a rate limit and a failing server, and
// only if there is time for the wait before it. Otherwise the trouble at hand is the answer, which says more
// than that time ran out.
func checkRetry(ctx context.Context, resp *http.Response, err error) (bool, error) {
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	wait := firstWait
	if n, ok := ctx.Value(tries{}).(*int); ok {
		wait = min(firstWait<<min(*n, 10), longWait)
		*n++
	}
	if err != nil {
		return !permanent(err) && timeFor(ctx, wait), nil
	}
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return timeFor(ctx, max(wait, askedWait(resp))), nil
	}
	return false, nil
}

// timeFor reports whether there is time for a wait, and for a try after it.
func timeFor(ctx context.Context, wait time.Duration) bool {
	deadline, ok := ctx.Deadline()
	if !ok {
		return wait <= patience
	}
	return time.Until(deadline) > wait
}

// permanent reports whether a connection failed for a reason that a second try meets again.
func permanent(err error) bool {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	return noTLS(err) || refusedTLS(err)
}

// noTLS reports whether the other side does not speak TLS, or speaks it where plain HTTP was asked for.
func noTLS(err error) bool {
	var record tls.RecordHeaderError
	return errors.Is(err, http.ErrSchemeMismatch) || errors.As(err, &record)
}

// refusedTLS reports whether the other side ended the TLS handshake with an alert: over the version, the ciphers,
// or a client certificate that it wants.
func refusedTLS(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "remote error"
}

// backoff waits as long as MISP asked for, else from a tenth of a second on, doubling, half of it by chance, so
// that callers that failed together do not come back together.
func backoff(shortest, longest time.Duration, attempt int, resp *http.Response) time.Duration {
	if wait := askedWait(resp); wait > 0 {
		return wait
	}
	wait := min(shortest<<min(attempt, 10), longest)
	return wait/2 + rand.N(wait/2+1) //nolint:gosec // to spread retries, nothing secret
}

// askedWait returns how long the server wants to be left alone, 0 if it does not say. MISP tells in a header of
// its own, in seconds, when its rate limit ends.
func askedWait(resp *http.Response) time.Duration {
	if resp == nil {
		return 0
	}
	after := resp.Header.Get("Retry-After")
	if at, err := http.ParseTime(after); err == nil {
		return max(0, time.Until(at))
	}
	if after == "" && resp.StatusCode == http.StatusTooManyRequests {
		after = resp.Header.Get("X-Rate-Limit-Reset")
	}
	if seconds, err := strconv.Atoi(after); err == nil && seconds > 0 {
		return time.Duration(min(seconds, 24*60*60)) * time.Second
	}
	return 0
}
