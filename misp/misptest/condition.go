package misptest

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A Condition is a state of MISP, or of the user of the key, in which it does not simply answer. The zero value is
// a MISP that does.
type Condition struct {
	// Refused is why it refuses the key, like [UserDisabled]; empty to accept it.
	Refused string
	// Maintenance sends all but its administrators to the login page, with a valid key too.
	Maintenance bool
	// DatabaseDown answers everything with status 500.
	DatabaseDown bool
	// RateLimit is how many searches the user may make in 15 minutes by the server's clock; 0 for any number. Other
	// pages do not count.
	RateLimit int
	// NoSightings removes the right to add sightings. What the server says of the user's role stays the same.
	NoSightings bool
}

// The texts that MISP refuses with, all with status 403.
const (
	// NoUser is for a key that is missing, wrong or expired, and for a role that may not use the API.
	NoUser = "Authentication failed. Please make sure you pass the API key of an API enabled user along in the Authorization header."
	// UserDisabled is for the key of a disabled user.
	UserDisabled = "Authentication failed. Your user account has been disabled."
	// OtherAddress is for a key that is bound to other addresses.
	OtherAddress = "It is not possible to use this Auth key from your IP address"
	// NoPermission is for a right that the role of the user lacks.
	NoPermission = "You do not have permission to use this functionality."
)

// window is how long MISP counts searches before it begins again, in seconds.
const window = 900

// Set brings the server into a condition, and begins to count searches again.
func (s *Server) Set(c Condition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.condition, s.searches, s.window = c, 0, s.clock()
}

func (s *Server) state() Condition {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.condition
}

// refuse answers what MISP does not let through to a page, and reports whether it did.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request) bool {
	c := s.state()
	switch {
	case c.DatabaseDown:
		Message(w, http.StatusInternalServerError, "An Internal Error Has Occurred.")
	case r.Header.Get("Authorization") != Key: // a "Bearer " before it makes it another key
		refuseKey(w, r)
	case c.Refused != "":
		Message(w, http.StatusForbidden, c.Refused)
	case c.Maintenance:
		toLogin(w)
	default:
		return false
	}
	return true
}

// refuseKey answers in JSON if JSON was asked for. Otherwise it answers with a page, or a redirect to the login.
func refuseKey(w http.ResponseWriter, r *http.Request) {
	switch {
	case strings.Contains(r.Header.Get("Accept"), "json"):
		Message(w, http.StatusForbidden, NoUser)
	case strings.Contains(strings.ToLower(r.URL.Path), "restsearch"):
		w.Header().Set("Content-Type", "text/html; charset=UTF-8")
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte("<!DOCTYPE html><html><body><h2>" + NoUser + "</h2></body></html>"))
	default:
		toLogin(w)
	}
}

func toLogin(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/html; charset=UTF-8")
	w.Header().Set("Location", "/users/login")
	w.WriteHeader(http.StatusFound)
}

// spend counts a search, says in headers how many are left, and reports whether it is allowed.
func (s *Server) spend(w http.ResponseWriter) bool {
	s.mu.Lock()
	limit := s.condition.RateLimit
	since := int(s.clock().Sub(s.window) / time.Second)
	if since >= window || since < 0 {
		s.window, s.searches, since = s.clock(), 0, 0
	}
	s.searches++
	left := limit - s.searches
	s.mu.Unlock()
	if limit <= 0 {
		return true
	}
	w.Header().Set("X-Rate-Limit-Limit", strconv.Itoa(limit))
	w.Header().Set("X-Rate-Limit-Remaining", strconv.Itoa(max(0, left)))
	w.Header().Set("X-Rate-Limit-Reset", strconv.Itoa(window-since))
	if left < 0 {
		Message(w, http.StatusTooManyRequests, "Rate limit exceeded.") // without Retry-After
		return false
	}
	return true
}
