package api

import (
	"context"
	"crypto/tls"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"time"

	"custom-misp/engine/enrich"
)

const (
	firstWait = 100 * time.Millisecond // before the first retry, doubled for each further one
	longWait  = 5 * time.Second        // the longest of these
	patience  = time.Minute            // the longest wait that the server may ask for if the caller sets no deadline

	longestAsked = 24 * time.Hour // of what a server asks for
)

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
	if enrich.OneTry(ctx) {
		return false, nil
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
		return timeFor(ctx, max(wait, AskedWait(resp))), nil
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
	if _, ok := errors.AsType[errPin](err); ok {
		return true
	}
	if bad, ok := errors.AsType[badAnswer](err); ok {
		return bad.permanent
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

// Backoff is the wait before another try, for a [retryablehttp.Client]: what the server asked for (see [AskedWait]),
// else shortest, doubled with each attempt, at most longest, and half of that at random, so that clients that failed
// together do not come back together.
func Backoff(shortest, longest time.Duration, attempt int, resp *http.Response) time.Duration {
	if wait := AskedWait(resp); wait > 0 {
		return wait
	}
	wait := min(shortest<<min(attempt, 10), longest)
	return wait/2 + rand.N(wait/2+1) //nolint:gosec // to spread retries, nothing secret
}

// AskedWait returns how long a server asks its clients to wait (Retry-After), 0 if it does not, 24 hours at most. MISP
// has a header of its own for the end of its rate limit, in seconds. A caller sets its own bound on what it obeys.
func AskedWait(resp *http.Response) time.Duration {
	if resp == nil {
		return 0
	}
	after := resp.Header.Get("Retry-After")
	if at, err := http.ParseTime(after); err == nil {
		return min(max(0, time.Until(at)), longestAsked)
	}
	if after == "" && resp.StatusCode == http.StatusTooManyRequests {
		after = resp.Header.Get("X-Rate-Limit-Reset")
	}
	if seconds, err := strconv.Atoi(after); err == nil && seconds > 0 {
		return min(time.Duration(min(seconds, 1<<30))*time.Second, longestAsked)
	}
	return 0
}
