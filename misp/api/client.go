package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-retryablehttp"
	"github.com/tidwall/gjson"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
)

// Config says which MISP to ask, and how.
type Config struct {
	// URL is MISP's base address, with a path if it does not sit at the root.
	URL string
	// Key is the authentication key. It travels in one header, to that address only, and is in no error.
	Key string
	// Keys reads the keys anew that may be valid besides Key. It is called when MISP refuses the key in use; the first one
	// that MISP takes is used from then on. nil for none.
	Keys func() []string
	// Proxy returns the proxy for a request, nil for none; without it, the environment says which.
	Proxy func(*http.Request) (*url.URL, error)
	// CA holds the certificates (PEM) to trust instead of the system's; empty for the system's.
	CA []byte
	// Certificate is what to show to a server that asks for a client certificate; nil for none.
	Certificate *tls.Certificate
	// Pins, if not empty, accepts only a server with a certificate whose public key has one of these SHA-256
	// sums (of the SubjectPublicKeyInfo, RFC 7469), its own or that of an authority above it. The certificate
	// has to be trusted besides.
	Pins [][sha256.Size]byte
	// InsecureSkipVerify accepts any certificate that the pins let through.
	InsecureSkipVerify bool
	// Timeout bounds one try; 0 for five seconds.
	Timeout time.Duration
	// Retries is how often a try is repeated that failed for a reason that may pass.
	Retries int
	// MaxAnswer is the longest answer that is read, in bytes; 0 for 32 MiB.
	MaxAnswer int64
	// MaxValues is how many values are in one question; 0 for 1,000. More become several questions.
	MaxValues int
	// Filter is what matches are filtered by where a mapping says nothing else.
	Filter engine.Filter
	// Origin is that of all attributes; empty where there is one MISP only.
	Origin string
	// Declared is how remedies name the declaration that has the settings; empty for those of the configuration, as misp.url.
	Declared string
	// UserAgent names the program to MISP; empty for none.
	UserAgent string
	// Now is the clock for the age of attributes; nil for the machine's.
	Now func() time.Time
	// Logger gets retries, at debug level; nil for silence.
	Logger *slog.Logger
}

// Client asks one MISP server. It implements [enrich.Lookup] and is safe for concurrent use. It is made by [New]; the
// methods of a zero Client fail.
type Client struct {
	base      *url.URL
	host      string // for errors
	keys      *keyRing
	userAgent string
	origin    string
	declared  string
	maxAnswer int64
	maxValues int
	filter    engine.Filter
	now       func() time.Time
	http      *retryablehttp.Client
	closed    atomic.Bool
}

// New checks the configuration. It does not talk to MISP. Errors never contain the key.
func New(c Config) (*Client, error) {
	base, err := url.Parse(c.URL)
	if err != nil || base.Hostname() == "" || !validPort(base.Port()) || base.Scheme != "http" && base.Scheme != "https" {
		return nil, fmt.Errorf("%q is not the address of a MISP, like https://misp.example.org", shownURL(c.URL, c.Key))
	}
	if base.User != nil || base.RawQuery != "" || base.ForceQuery || base.Fragment != "" {
		return nil, fmt.Errorf("the address of MISP must be host and path alone, without user, query and fragment: %q", shownURL(c.URL, c.Key))
	}
	if !validKey(c.Key) {
		return nil, errors.New("the key for MISP is empty, or has characters that no key has (a key is letters and digits); copy it from MISP again")
	}
	if c.MaxAnswer <= 0 {
		c.MaxAnswer = maxAnswer
	}
	if c.MaxValues <= 0 {
		c.MaxValues = maxValues
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	tlsConfig, err := c.tls()
	if err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = tlsConfig
	if c.Proxy != nil {
		transport.Proxy = c.Proxy
	}
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
	rc.Backoff = Backoff
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
		base: base, host: base.Host, keys: newKeyRing(c.Key, c.Keys),
		userAgent: c.UserAgent, origin: c.Origin, declared: c.Declared, maxAnswer: c.MaxAnswer, maxValues: c.MaxValues, filter: c.Filter, now: c.Now, http: rc,
	}, nil
}

// Close closes connections that are kept for the next question. The client may still be used: questions end that were
// begun, and each later one closes its connection behind it.
func (c *Client) Close() {
	c.closed.Store(true)
	if c.http != nil {
		c.http.HTTPClient.CloseIdleConnections()
	}
}

// errNotMade is a Client without the address and the key of a MISP.
var errNotMade = errors.New("this client has no MISP to ask")

// shownURL returns an address as an error may show it: without the parts before an @ and after ? or #, where people
// put passwords and keys, and without the key anywhere else.
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

// post sends a question and returns the answer: JSON, of status 200. Errors are [enrich.Trouble].
func (c *Client) post(ctx context.Context, path string, body []byte) ([]byte, error) {
	data, _, err := c.do(ctx, http.MethodPost, path, body)
	return data, err
}

// send sends a question with a key. status is that of the answer, 0 if there is none.
func (c *Client) send(ctx context.Context, method, path string, body []byte, key string) (data []byte, header http.Header, status int, err error) {
	var waits step
	req, err := retryablehttp.NewRequestWithContext(waits.trace(withTries(ctx)), method, c.base.JoinPath(path).String(), body)
	if err != nil {
		return nil, nil, 0, fmt.Errorf("ask MISP: %w", err)
	}
	// Without this type MISP would ignore the question and answer with everything it has.
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Authorization", key)
	req.Header.Set("User-Agent", c.userAgent)
	defer func() {
		if c.closed.Load() {
			c.http.HTTPClient.CloseIdleConnections()
		}
	}()
	resp, err := c.http.Do(req)
	if resp != nil { // also with an error, if the time ended behind the answer
		defer resp.Body.Close() //nolint:errcheck // only read
	}
	if err != nil {
		return nil, nil, 0, c.connectionTrouble(err, &waits)
	}
	data, err = io.ReadAll(resp.Body) // bounded by wholeAnswers
	if err != nil {
		return nil, nil, 0, c.connectionTrouble(err, &waits)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, nil, resp.StatusCode, c.statusTrouble(resp, path, data)
	}
	return data, resp.Header, resp.StatusCode, nil
}

// wholeAnswers reads an answer to its end before its status is judged, so that one that breaks off, or is not from
// MISP, counts as no answer and is asked for again.
type wholeAnswers struct {
	transport http.RoundTripper
	max       int64 // bytes; one more is read, to see whether there are more
}

// RoundTrip implements http.RoundTripper.
func (w wholeAnswers) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := w.transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	if resp.StatusCode == http.StatusOK && resp.ContentLength > w.max {
		return nil, w.tooLong()
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, w.max+1))
	if err != nil && resp.StatusCode == http.StatusOK { // of a refusal, the status says most
		return nil, fmt.Errorf("the answer broke off: %w", err)
	}
	if resp.StatusCode == http.StatusOK {
		if err := w.check(resp.Header.Get("Content-Type"), data); err != nil {
			return nil, err
		}
	}
	resp.Body = io.NopCloser(bytes.NewReader(data))
	return resp, nil
}

// CloseIdleConnections is what [http.Client.CloseIdleConnections] calls.
func (w wholeAnswers) CloseIdleConnections() {
	if t, ok := w.transport.(*http.Transport); ok {
		t.CloseIdleConnections()
	}
}

// check returns why an answer of status 200 is not from MISP.
func (w wholeAnswers) check(contentType string, data []byte) error {
	const proxy = "is misp.url the address of MISP itself, and no proxy or login page in between?"
	kind, _, _ := mime.ParseMediaType(contentType)
	switch {
	case int64(len(data)) > w.max:
		return w.tooLong()
	case kind == "":
		return badAnswer{"answered with something of no known type instead of JSON", proxy, false}
	case kind != "application/json":
		return badAnswer{fmt.Sprintf("answered with %s instead of JSON", kind), proxy, false}
	case len(data) == 0:
		return badAnswer{"answered with nothing", proxy, false}
	case enrich.TooDeep(data) || !gjson.ValidBytes(data): // the validator recurses
		return badAnswer{"answered with JSON that breaks off or is broken", "see MISP's own logs, app/tmp/logs/error.log, and whether a proxy changes its answers", false}
	}
	return nil
}

func (w wholeAnswers) tooLong() error {
	return badAnswer{
		fmt.Sprintf("answered with more than %d bytes", w.max),
		"this is not an answer to a question for a few values; does something between here and MISP change the question?", true,
	}
}

// badAnswer is an answer of status 200 that cannot be used.
type badAnswer struct {
	what, remedy string
	permanent    bool // a second try would cost as much and end the same
}

// Error implements error.
func (b badAnswer) Error() string { return b.what }
