package enrich

import (
	"context"
	"errors"
	"time"
)

// Trouble is an error of a [Lookup] or [Sink] in the words of the person who has to correct it. It becomes an error
// event in Wazuh.
type Trouble struct {
	// Code names the kind of trouble; it is a promise to the rules that test misp.error.
	Code Code
	// Err says what happened.
	Err error
	// Remedy says what to do about it; one sentence without a full stop, empty if there is nothing to say.
	Remedy string
	// Answered is set if there was an answer, of whatever kind: then the question may be the reason.
	Answered bool
	// OnlyHere is set by a mirror if the trouble is with a source that MISP cannot answer for.
	OnlyHere bool
	// Wait is how long the server wants no further question (Retry-After); 0 if it does not say.
	Wait time.Duration
}

// A Code names a kind of trouble in misp.error.
type Code string

// The codes, and whether a later try can succeed although no one does anything.
const (
	CodeUnavailable  Code = "misp_unavailable"    // no connection, time-out, 5xx, maintenance: later
	CodeRateLimited  Code = "misp_rate_limited"   // 429: later
	CodeUnauthorized Code = "misp_unauthorized"   // 401 or 403: the key or its role must be corrected
	CodeRejected     Code = "misp_rejected"       // another 4xx: the URL or the question must be corrected
	CodeBadAnswer    Code = "misp_bad_answer"     // an answer that is not MISP's: HTML, broken or too long
	CodeTLS          Code = "misp_tls"            // certificate not trusted, expired or for another name
	CodeQueue        Code = "wazuh_queue"         // Wazuh's queue socket is absent, full or refuses
	CodeMapping      Code = "mapping_fault"       // a mapping file was left out, or an expression failed
	CodeMirror       Code = "mirror_stale"        // the mirror cannot be synced, or never was
	CodeDamaged      Code = "mirror_damaged"      // a file of the mirror is damaged: later, the source is fetched again
	CodeLeftOut      Code = "mirror_left_out"     // alerts were looked up without a source that stayed damaged
	CodeAlerts       Code = "alerts_unreadable"   // Wazuh's file of alerts cannot be read
	CodeFeed         Code = "feed_unreadable"     // the feed directory cannot be read
	CodeConfig       Code = "configuration_fault" // the configuration cannot be used
	CodeSpool        Code = "spool_fault"         // an alert or event cannot be queued, and is lost
	CodeSpoolFull    Code = "spool_full"          // the oldest queued alerts or events were dropped
	CodeDeadLetter   Code = "alert_set_aside"     // an alert failed too often and is not tried any more
	CodeState        Code = "state_damaged"       // a state file was damaged; what it said is found out again
	CodeServe        Code = "serve_stopped"       // a serve that ran ended without being told to
	CodeCanary       Code = "canary_failed"       // a test event did not come back as an alert
)

// Error returns what happened and what to do.
func (t *Trouble) Error() string {
	if t.Remedy == "" {
		return t.Err.Error()
	}
	return t.Err.Error() + "; " + t.Remedy
}

// Unwrap returns what happened.
func (t *Trouble) Unwrap() error { return t.Err }

// codeOf returns the code of err; otherwise for an error without one.
func codeOf(err error, otherwise Code) Code {
	if t, ok := errors.AsType[*Trouble](err); ok {
		return t.Code
	}
	return otherwise
}

// mayBeAtFault reports whether a look-up failed so that the question may be the reason, if MISP answers others.
func mayBeAtFault(err error) bool { return answeredAtAll(err) || timedOut(err) }

// timedOut reports whether a look-up failed for lack of time.
func timedOut(err error) bool { return errors.Is(err, context.DeadlineExceeded) }

// answeredAtAll reports whether a failed look-up was answered, so that the question may be the reason.
func answeredAtAll(err error) bool {
	t, ok := errors.AsType[*Trouble](err)
	return !ok || t.Code == CodeRejected || t.Code == CodeBadAnswer || t.Answered
}
