package api

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http/httptrace"
	"sync"
	"time"
)

// A step is what one try of a question waits for, for the message if its time runs out.
type step struct {
	mu    sync.Mutex
	began time.Time // of the try
	lacks string    // what has not come yet
}

// trace returns a context with which the steps of each try are noted.
func (s *step) trace(ctx context.Context) context.Context {
	note := func(lacks string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.lacks = lacks
	}
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) {
			note("no connection")
			s.mu.Lock()
			defer s.mu.Unlock()
			s.began = time.Now()
		},
		DNSStart:          func(httptrace.DNSStartInfo) { note("no answer from DNS") },
		DNSDone:           func(httptrace.DNSDoneInfo) { note("no connection") },
		TLSHandshakeStart: func() { note("no end of the TLS handshake") },
		TLSHandshakeDone: func(tls.ConnectionState, error) {
			note("no answer to the question")
		},
		GotConn: func(httptrace.GotConnInfo) { note("no answer to the question") },
	})
}

// The remedies for a time that runs out, by what has not come.
var remedyLate = map[string]string{
	"no answer from DNS":          "is DNS working on this machine? misp.timeout and timeout set how long we wait",
	"no connection":               "is MISP running at this address, and does a firewall let us through? misp.timeout and timeout set how long we wait",
	"no end of the TLS handshake": "is it MISP that listens at this port, and not a proxy or a firewall? misp.timeout and timeout set how long we wait",
	"no answer to the question":   "is MISP overloaded? misp.timeout and timeout set how long we wait",
}

// late says what has not come, and after how long, and what to do.
func (s *step) late() (what, remedy string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	lacks, began := s.lacks, s.began
	if lacks == "" { // the time was over before the first try
		return "was not asked: there was no time left", "timeout sets how long a look-up may take"
	}
	waited := time.Since(began)
	return fmt.Sprintf("did not answer in time: %s after %s", lacks, waited.Round(max(time.Millisecond, waited/100).Truncate(time.Millisecond))), remedyLate[lacks]
}
