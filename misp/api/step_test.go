package api

import (
	"net/http/httptrace"
	"regexp"
	"testing"
)

// TestStep checks what is said to be lacking at each step of a try.
func TestStep(t *testing.T) {
	t.Parallel()
	var s step
	ctx := s.trace(t.Context())
	trace := httptrace.ContextClientTrace(ctx)
	for _, tt := range []struct {
		begins func()
		want   string
	}{
		{func() {}, `^was not asked: there was no time left; timeout sets`},
		{func() { trace.GetConn("") }, `^did not answer in time: no connection after [0-9.]+(s|ms); is MISP running at this address`},
		{func() { trace.DNSStart(httptrace.DNSStartInfo{}) }, `^did not answer in time: no answer from DNS after [0-9.]+(s|ms); is DNS working`},
		{func() { trace.DNSDone(httptrace.DNSDoneInfo{}) }, `: no connection after `},
		{func() { trace.TLSHandshakeStart() }, `: no end of the TLS handshake after [0-9.]+(s|ms); is it MISP that listens`},
		{func() { trace.GotConn(httptrace.GotConnInfo{}) }, `: no answer to the question after [0-9.]+(s|ms); is MISP overloaded\?`},
	} {
		tt.begins()
		what, remedy := s.late()
		if got := what + "; " + remedy; !regexp.MustCompile(tt.want).MatchString(got) {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}
