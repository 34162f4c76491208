package misp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"custom-misp/engine/enrich"
)

// trouble returns an error that names the host, never the key.
func (c *Client) trouble(code enrich.Code, what, remedy string) error {
	return &enrich.Trouble{Code: code, Err: fmt.Errorf("MISP at %s %s", c.host, what), Remedy: remedy}
}

// statusTrouble says what an answer other than 200 means. MISP explains itself in a JSON text, which is passed
// on in one line.
func (c *Client) statusTrouble(resp *http.Response, body []byte) error {
	said := ""
	var answer struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(body, &answer) == nil && answer.Message != "" {
		said = ": " + shorten(strings.ReplaceAll(answer.Message, c.key, "***"))
	}
	what := fmt.Sprintf("answered %d%s", resp.StatusCode, said)
	switch code := resp.StatusCode; {
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		return c.trouble(enrich.CodeUnauthorized, what,
			"check the key: still valid, not bound to other addresses, its user enabled and with a role that may use the API")
	case code >= 300 && code < 400:
		return c.trouble(enrich.CodeUnavailable, fmt.Sprintf("answered %d and sent us elsewhere", code),
			"is MISP in maintenance, or misp.url not exactly its base address (http or https, path)?")
	case code == http.StatusNotFound:
		return c.trouble(enrich.CodeRejected, what, "is misp.url the base address of MISP, without a path to one of its pages?")
	case code == http.StatusMethodNotAllowed:
		return c.trouble(enrich.CodeRejected, what, "does the role of the key's user have a rate limit of 0?")
	case code == http.StatusTooManyRequests:
		remedy := "raise the rate limit of the role of the key's user"
		if wait := askedWait(resp); wait > 0 {
			remedy += fmt.Sprintf("; it ends in %s", wait)
		}
		return c.trouble(enrich.CodeRateLimited, what, remedy)
	case code >= 500:
		return c.trouble(enrich.CodeUnavailable, what, "see MISP's own logs, app/tmp/logs/error.log")
	}
	return c.trouble(enrich.CodeRejected, what, "is misp.url the base address of MISP?")
}

// shorten brings a text from outside into one line of reasonable length.
func shorten(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	s = strings.TrimRight(s, ".")
	if r := []rune(s); len(r) > 200 {
		s = string(r[:200]) + "…"
	}
	return s
}

// connectionTrouble says why there is no answer at all.
func (c *Client) connectionTrouble(err error) error {
	cause := err
	if u, ok := errors.AsType[*url.Error](err); ok {
		cause = u.Err // without the address, which is named anyway
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return c.certificateTrouble(err, cause)
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return c.trouble(enrich.CodeUnavailable, "cannot be found: "+dns.Error(), "is the name in misp.url right, and DNS working?")
	}
	if noTLS(err) {
		return c.trouble(enrich.CodeTLS, "does not speak TLS at this port", "does misp.url have to begin with http:// or name another port?")
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() || errors.Is(err, context.DeadlineExceeded) {
		return c.trouble(enrich.CodeUnavailable, "did not answer in time", "is MISP overloaded or a firewall in between? misp.timeout and timeout set how long we wait")
	}
	return c.trouble(enrich.CodeUnavailable, "cannot be reached: "+shorten(cause.Error()), "is MISP running, and reachable from here?")
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
	return c.trouble(enrich.CodeTLS, "has a certificate that is not trusted: "+shorten(cause.Error()), remedy)
}
