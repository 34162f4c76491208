package api

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
	"unicode"

	"custom-misp/engine/enrich"
)

// trouble returns an error that names the host, never the key. cause is what it wraps; its own text is left out,
// because what a library says may hold anything.
func (c *Client) trouble(code enrich.Code, what, remedy string, cause error) *enrich.Trouble {
	text := c.keys.without(fmt.Sprintf("MISP at %s %s", c.host, what))
	if c.declared != "" {
		remedy = settings.ReplaceAllString(remedy, "$1 of "+strings.ReplaceAll(c.declared, "$", "$$"))
	}
	return &enrich.Trouble{Code: code, Err: described{text, cause}, Remedy: remedy}
}

// settings are the keys of the configuration that remedies name.
var settings = regexp.MustCompile(`\bmisp\.(url|key_file|ca_file|client_cert_file|client_key_file|pins|timeout|proxy)\b`)

// described is an error in our words; the cause is for errors.Is and errors.As, not for display.
type described struct {
	text  string
	cause error // nil for none
}

// Error implements error.
func (d described) Error() string { return d.text }

// Unwrap returns the cause.
func (d described) Unwrap() error { return d.cause }

// statusTrouble says what an answer other than 200 means, to a question at an endpoint. MISP explains itself in a JSON text,
// which is passed on in one line.
func (c *Client) statusTrouble(resp *http.Response, endpoint string, body []byte) error {
	var answer struct {
		Message string `json:"message"`
	}
	_ = json.Unmarshal(body, &answer)
	code := resp.StatusCode
	what := fmt.Sprintf("answered %d", code)
	if _, special := remedyRefused[endpoint]; special {
		what += " to " + endpoint
	}
	if answer.Message != "" {
		what += ": " + shorten(c.keys.without(answer.Message))
	}
	switch {
	case code == http.StatusBadRequest && c.base.Scheme == "http" && wantsTLS(body):
		return c.trouble(enrich.CodeTLS, "wants https at this port", "set misp.url to https://"+c.host+c.base.Path, nil)
	case code >= 400 && code < 405 && answer.Message == "" && isPage(resp):
		return c.strangerTrouble(code, what)
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		remedy := "check the key: still valid, not bound to other addresses, its user enabled and with a role that may use the API"
		if strings.Contains(answer.Message, "permission") {
			remedy = cmp.Or(remedyRefused[endpoint], "give the role of the key's user this right in MISP: Administration, List Roles")
		}
		return c.trouble(enrich.CodeUnauthorized, what, remedy, nil)
	case code >= 300 && code < 400:
		return c.trouble(enrich.CodeUnavailable, fmt.Sprintf("answered %d, a redirect", code),
			"is MISP in maintenance, or misp.url not exactly its base address (http or https, path)?", nil)
	case code == http.StatusNotFound:
		return c.trouble(enrich.CodeRejected, what, "is misp.url the base address of MISP, without a path to one of its pages?", nil)
	case code == http.StatusMethodNotAllowed:
		return c.trouble(enrich.CodeRejected, what, cmp.Or(remedyRefused[endpoint], "does the role of the key's user have a rate limit of 0?"), nil)
	case code == http.StatusTooManyRequests:
		remedy := "raise the rate limit of the role of the key's user"
		if wait := AskedWait(resp); wait > 0 {
			remedy += fmt.Sprintf("; it ends in %s", wait.Round(time.Second))
		}
		return waiting(c.trouble(enrich.CodeRateLimited, what, remedy, nil), resp)
	case code >= 500:
		return waiting(c.trouble(enrich.CodeUnavailable, what, "see MISP's own logs, app/tmp/logs/error.log", nil), resp)
	}
	return c.trouble(enrich.CodeRejected, what, "is misp.url the base address of MISP?", nil)
}

// remedyRefused says what to do where MISP, or a proxy before it, refuses one of its endpoints but answers others.
var remedyRefused = map[string]string{
	"events/index": "the mirror needs this list of all events: allow POST to it for the key's user, in MISP's roles and in any proxy before MISP, or set lookup.policy to live",
	"sightings/add": "give the role of the key's user perm_sighting in MISP (Administration, List Roles), and use a key that is not read-only; " +
		"or set sightings.enabled to false",
}

// wantsTLS reports whether a server says that plain HTTP was spoken to its port for HTTPS: nginx, Apache, Go.
func wantsTLS(body []byte) bool {
	said := strings.ToLower(string(body[:min(len(body), 4096)]))
	return strings.Contains(said, "sent to https port") || strings.Contains(said, "ssl-enabled server port") || strings.Contains(said, "to an https server")
}

// isPage reports whether an answer is HTML or plain text. MISP answers our questions in JSON, also if it refuses them.
func isPage(resp *http.Response) bool {
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	return kind == "text/html" || kind == "text/plain"
}

// strangerTrouble is about a refusal in a page, which is not MISP's.
func (c *Client) strangerTrouble(code int, what string) error {
	kind, remedy := enrich.CodeRejected, "is MISP below a path, like https://"+c.base.Hostname()+"/misp? set misp.url to the address of its start page"
	if code == http.StatusUnauthorized || code == http.StatusForbidden {
		kind, remedy = enrich.CodeUnauthorized, "does a proxy, or another site, answer at misp.url? set it to the address of MISP's start page, and let the proxy pass the key (Authorization)"
	}
	return c.trouble(kind, what+" with a page that is not MISP's", remedy, nil)
}

// waiting adds how long the server asks its clients to wait.
func waiting(t *enrich.Trouble, resp *http.Response) error {
	t.Wait, t.Answered = AskedWait(resp), true
	return t
}

// shorten brings a text from outside into one line of reasonable length, without control characters: it ends up
// in terminals and logs.
func shorten(s string) string {
	const longest = 200
	s = s[:min(len(s), 100*longest)] // what a server says may have any length
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	s = strings.TrimRight(s, ".")
	if r := []rune(s); len(r) > longest {
		s = string(r[:longest]) + "…"
	}
	return s
}

// readingTrouble says that time ran out while an answer was read; nil for any other error. It counts as an answer: the
// same question is likely to get the same one.
func (c *Client) readingTrouble(err error) *enrich.Trouble {
	what := ""
	switch {
	case errors.Is(err, context.Canceled):
		what = "answered, but the look-up was cancelled meanwhile"
	case errors.Is(err, context.DeadlineExceeded):
		what = "answered with more than could be read in time"
	default:
		return nil
	}
	t := c.trouble(enrich.CodeUnavailable, what, "see what MISP answers; timeout sets how long we read", err)
	t.Answered = true
	return t
}

// connectionTrouble says why there is no answer at all.
func (c *Client) connectionTrouble(err error, waits *step) error {
	cause := err
	if u, ok := errors.AsType[*url.Error](err); ok {
		cause = u.Err // without the address, which is named anyway
	}
	if bad, ok := errors.AsType[badAnswer](err); ok {
		return c.trouble(enrich.CodeBadAnswer, bad.what, bad.remedy, err)
	}
	if pin, ok := errors.AsType[errPin](err); ok {
		return c.trouble(enrich.CodeTLS, "is not the server that is pinned: "+pin.Error(),
			"if MISP has a new key, pin it with misp.pins; otherwise something intercepts the connection", err)
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return c.certificateTrouble(err, cause)
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return c.trouble(enrich.CodeUnavailable, "cannot be found: "+dns.Error(), "is the name in misp.url right, and DNS working?", err)
	}
	if errors.Is(err, context.Canceled) {
		return c.trouble(enrich.CodeUnavailable, "had not answered when the look-up was cancelled", "", err)
	}
	if refusedTLS(err) {
		return c.trouble(enrich.CodeTLS, "refuses our TLS: "+shorten(cause.Error()), "does it speak TLS 1.2 or later, and without a client certificate?", err)
	}
	if noTLS(err) {
		return c.trouble(enrich.CodeTLS, "does not speak TLS at this port", "does misp.url have to begin with http:// or name another port?", err)
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() || errors.Is(err, context.DeadlineExceeded) {
		what, remedy := waits.late()
		return c.trouble(enrich.CodeUnavailable, what, remedy, err)
	}
	return c.trouble(enrich.CodeUnavailable, "cannot be reached: "+shorten(cause.Error()), "is MISP running, and reachable from here?", err)
}

func (c *Client) certificateTrouble(err, cause error) error {
	remedy := "see what certificate MISP has"
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		remedy = "name the certificate of its authority with misp.ca_file"
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		remedy = "renew MISP's certificate, or set this machine's clock"
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		remedy = "use the name in the certificate for misp.url"
	}
	return c.trouble(enrich.CodeTLS, "has a certificate that is not trusted: "+shorten(cause.Error()), remedy, err)
}
