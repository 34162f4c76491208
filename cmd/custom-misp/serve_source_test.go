package main

import (
	"strings"
	"testing"
)

const declaredInServe = "version: 1\nsources:\n  - {name: names, path: etc/names.txt, format: lines, refresh: 1s}\n"

// serveSource declares a source while serve runs under the policy live: its hits are sent, and when its file becomes a page,
// what was there before is looked up, and all who ask are told.
func serveSource(t *testing.T, built *testManager) {
	r := newResident(t, built, "lookup: {policy: live}\n")
	r.start(t)
	r.alerts.add("before", "blocked.bad-cdn.example")
	r.write(t, "etc/names.txt", "blocked.bad-cdn.example\nother.bad-cdn.example\n")
	r.write(t, "etc/custom-misp/sources/names.yaml", declaredInServe)
	r.until(t, "the source is there", func() bool {
		s := r.status()
		return len(s.Mirror) == 1 && s.Mirror[0].Origin == "names" && s.Mirror[0].Attributes == 2 && s.Ready
	})
	r.alerts.add("during", "blocked.bad-cdn.example")
	r.expectHits(t, "during")
	r.write(t, "etc/names.txt", "<!DOCTYPE html><html>Please log in</html>\n")
	r.until(t, "it is reported", func() bool { return r.says("error source_refused") == 1 })
	s := r.status()
	if !s.Ready || s.Mirror[0].Attributes != 2 || !strings.Contains(s.Mirror[0].Failure, "it is an HTML page") {
		t.Errorf("%+v", s.Mirror)
	}
	r.alerts.add("after", "blocked.bad-cdn.example")
	r.expectHits(t, "during", "after")
	r.write(t, "etc/names.txt", "other.bad-cdn.example\nblocked.bad-cdn.example\nthird.bad-cdn.example\n")
	r.until(t, "it is good again", func() bool { s := r.status(); return s.Mirror[0].Attributes == 3 && s.Mirror[0].Failure == "" })
	r.stop(t)
}
