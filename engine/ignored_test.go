package engine_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"custom-misp/engine"
)

func TestSameForm(t *testing.T) {
	for typ, want := range map[engine.Type][]engine.Type{
		"md5":      {"md5", "hassh-md5", "hasshserver-md5", "imphash", "ja3-fingerprint-md5", "x509-fingerprint-md5"},
		"sha1":     {"sha1", "cdhash", "git-commit-id", "pehash", "x509-fingerprint-sha1"},
		"hostname": {"hostname"},
	} {
		if diff := cmp.Diff(want, typ.SameForm()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", typ, diff)
		}
	}
}

// TestIgnoredValues counts what is picked and ignored, and asks for the entry by which a value is.
func TestIgnoredValues(t *testing.T) {
	e, err := engine.Load(engine.Source{Name: "t.yaml", Data: []byte("version: 1\nmappings: [{id: m, match: 'true', pick: [{path: data.host, type: hostname}]}]\n")})
	if err != nil {
		t.Fatal(err)
	}
	ig, err := engine.NewIgnore([]string{"own.example.org"})
	if err != nil {
		t.Fatal(err)
	}
	if e, err = e.For(engine.Site{Ignore: ig}); err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"a.own.example.org", "other.example.org", "own.example.org"} {
		if _, err := e.Pick([]byte(`{"rule":{},"data":{"host":"` + host + `"}}`)); err != nil {
			t.Fatal(err)
		}
	}
	if n := e.IgnoredValues(); n != 2 {
		t.Errorf("%d values were ignored, want 2", n)
	}
	for host, want := range map[string]string{"a.own.example.org": "own.example.org", "other.example.org": ""} {
		if by := e.Ignores(engine.Observable{Type: "hostname", Value: host}); by != want {
			t.Errorf("%s is ignored by %q, want %q", host, by, want)
		}
	}
	if n := (&engine.Engine{}).IgnoredValues(); n != 0 {
		t.Errorf("%d values were ignored by nothing", n)
	}
}

func TestAlertCondition(t *testing.T) {
	c, err := engine.NewAlertCondition(`field("agent.name") startsWith "lab-" or "sshd" in groups`)
	if err != nil {
		t.Fatal(err)
	}
	for alert, want := range map[string]bool{
		`{"rule":{"groups":["sshd"]}}`:                          true,
		`{"rule":{"groups":["web"]},"agent":{"name":"lab-1"}}`:  true,
		`{"rule":{"groups":["web"]},"agent":{"name":"prod-1"}}`: false,
		`{"rule":{}}`: false,
	} {
		if got, err := c.Holds([]byte(alert)); err != nil || got != want {
			t.Errorf("%s: %t, %v", alert, got, err)
		}
	}
	for _, broken := range []string{"field(", "1", `nothing == "x"`} {
		if _, err := engine.NewAlertCondition(broken); err == nil {
			t.Errorf("%s compiles", broken)
		} else {
			t.Log(err)
		}
	}
}
