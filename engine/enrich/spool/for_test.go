package spool_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"custom-misp/engine/enrich/spool"
)

// putFor puts an entry in that is for some.
func putFor(t *testing.T, s *spool.Dir, data string, names ...string) {
	t.Helper()
	if _, err := s.PutFor(spool.Delayed, names, []byte(data)); err != nil {
		t.Fatal(err)
	}
}

// TestFor has entries for all, and for some: each comes out for those whose name it has, the oldest first, and those for all
// for no one.
func TestFor(t *testing.T) {
	s := newSpool(t)
	put(t, s, spool.Delayed, "all")
	putFor(t, s, "b", "cert")
	putFor(t, s, "c", "cert", "partner-2_x")
	putFor(t, s, "d", "partner-2_x")
	count, err := s.DepthFor(spool.Delayed)
	if diff := cmp.Diff(map[string]int{"cert": 2, "partner-2_x": 2}, count); diff != "" || err != nil {
		t.Errorf("%s, %v", diff, err)
	}
	o := open(t, s)
	_, texts := claim(t, o, spool.Delayed, 5)
	expectTexts(t, []string{"all"}, texts)
	entries, err := o.ClaimFor(spool.Delayed, "partner-2_x", 5)
	if err != nil || len(entries) != 2 {
		t.Fatal(entries, err)
	}
	if diff := cmp.Diff([]string{"cert", "partner-2_x"}, entries[0].For()); diff != "" {
		t.Error(diff)
	}
	if data, err := entries[1].Data(); err != nil || string(data) != "d" {
		t.Errorf("%q, %v", data, err)
	}
	must(t, entries[0].Defer())
	_, err = entries[1].Fail("refused")
	must(t, err)
	if entries, err = o.ClaimUntriedFor(spool.Delayed, "cert", 5); err != nil || len(entries) != 1 {
		t.Errorf("%d entries, %v; one was deferred", len(entries), err)
	}
	must(t, o.Close())
	o = open(t, s)
	if entries, err = o.ClaimUntriedFor(spool.Delayed, "partner-2_x", 5); err != nil || len(entries) != 1 || entries[0].Tries() != 0 {
		t.Errorf("%v, %v; the other one was tried", entries, err)
	}
	must(t, o.Close())
}

// TestForIsNewer has an entry for some, and the name that the release before this one gives entries: it counts a version above
// its own as newer, and leaves it untouched.
func TestForIsNewer(t *testing.T) {
	s := newSpool(t)
	putFor(t, s, "abc", "cert", "partner")
	name := filepath.Base(entryFile(t, s, spool.Delayed))
	if !strings.HasSuffix(name, ".0.3.v2.364b3fb7.cert+partner.json") {
		t.Errorf("name %s", name)
	}
	must(t, os.Rename(filepath.Join(s.Path, "delayed", name), filepath.Join(s.Path, "delayed", strings.Replace(name, ".v2.", ".v3.", 1))))
	if depth, err := s.Depth(); err != nil || depth.Newer != 1 || depth.Delayed != 0 {
		t.Errorf("depth %+v, %v", depth, err)
	}
}

// TestForNames refuses names that cannot stand in the name of a file, and takes no file for an entry that has such names.
func TestForNames(t *testing.T) {
	s := newSpool(t)
	for _, names := range [][]string{nil, {""}, {"a", ""}, {"a/b"}, {"a.b"}, {"a+b"}, {"CERT"}, {strings.Repeat("a", 200)}} {
		if _, err := s.PutFor(spool.Delayed, names, nil); err == nil || !strings.Contains(err.Error(), "use names of small letters") {
			t.Errorf("%q: %v", names, err)
		}
	}
	dir := filepath.Join(s.Path, "delayed")
	must(t, os.MkdirAll(dir, 0o700))
	for _, who := range []string{"", "A", "a+", "+", "a.b", strings.Repeat("a", 190)} {
		must(t, os.WriteFile(filepath.Join(dir, "00000000000000000001-JBSWY3DP.0.3.v2.364b3fb7."+who+".json"), []byte("abc"), 0o600))
	}
	if depth, err := s.Depth(); err != nil || depth.Delayed != 0 || depth.Newer != 0 {
		t.Errorf("depth %+v, %v", depth, err)
	}
}
