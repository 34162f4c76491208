package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"custom-misp/cmd/custom-misp/internal/cli"
)

// TestIgnoreFaults has nothing leave the site while what it ignores cannot be read: no verb asks MISP anything, and the
// alert of a call waits in the spool until that is mended.
func TestIgnoreFaults(t *testing.T) {
	t.Parallel()
	const file = "etc/ignore"
	inFile := map[string]string{"ignore.files": "[" + file + "]"}
	for name, tt := range map[string]struct {
		keys    map[string]string
		content string // of the file; none if it is empty
		fault   string
		mended  string // content of the file that mends it
	}{
		"file absent":              {inFile, "", "ignore.files: ", "other.example\n"},
		"file with a bad line":     {inFile, "other.example\n10.0.0.0/99\n", "ignore.files: ", "other.example\n10.0.0.0/9\n"},
		"one file of two absent":   {map[string]string{"ignore.files": "[etc/good, " + file + "]"}, "", "ignore.files: ", "# nothing\n"},
		"bad value":                {map[string]string{"ignore.values": "[other.example, 10.0.0.0/99]"}, "", "ignore.values: ", ""},
		"file is a directory":      {map[string]string{"ignore.files": "[tmp]"}, "", "ignore.files: ", ""},
		"mirror then live":         {with(inFile, "lookup.policy", "mirror-then-live"), "", "ignore.files: ", "\n"},
		"in a feed":                {with(inFile, "feed.dir", "feed"), "", "ignore.files: ", "other.example\n"},
		"and mappings with faults": {with(inFile, "mappings.dirs", "[etc/custom-misp/mappings, etc/bad]"), "", "ignore.files: ", "\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newVerdictSite(t)
			s.put(t, "etc/good", "good.example\n")
			s.put(t, "etc/bad/m.yaml", "version: 1\n")
			if err := os.CopyFS(filepath.Join(s.home, "feed"), os.DirFS("../../testdata/feed")); err != nil {
				t.Fatal(err)
			}
			s.breakIt(t, breakage{keys: tt.keys})
			if tt.content != "" {
				s.put(t, file, tt.content)
			}
			s.expectRefusal(t, tt.fault)
			if tt.mended != "" {
				s.put(t, file, tt.mended)
			} else {
				s.set(t, map[string]string{"ignore.values": "[other.example]"})
			}
			s.expectDrained(t)
		})
	}
}

// expectRefusal checks that every verb that could ask MISP refuses, and that MISP hears of nothing.
func (s *verdictSite) expectRefusal(t *testing.T, fault string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), verdictTime)
	defer cancel()
	alert := s.alert(t, []byte(hostAlert("1", liveHit)))
	for _, line := range [][]string{
		{"integrations", "--home", s.home, alert}, // first, so that there is something to drain
		{"custom-misp", "spool", "drain", "--home", s.home},
		{"custom-misp", "serve", "--home", s.home},
		{"custom-misp", "enrich", "--home", s.home, alert},
		{"custom-misp", "lookup", "--home", s.home, liveHit},
	} {
		var out, errs bytes.Buffer
		code := run(ctx, line, strings.NewReader(""), &out, &errs)
		if code == cli.ExitOK || !strings.Contains(errs.String(), fault) || out.Len() > 0 {
			t.Errorf("%v: exit code %d, %q, %q, want %q", line, code, out.String(), errs.String(), fault)
		}
	}
	if ctx.Err() != nil {
		t.Error("serve ran until it was stopped")
	}
	if asked := s.misp.Requests(); len(asked) > 0 {
		t.Errorf("MISP was asked: %v", asked)
	}
	if diff := cmp.Diff([]string{"error configuration_fault"}, s.events(t)); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if n := len(s.queued(t)); n != 1 {
		t.Errorf("%d alerts are queued", n)
	}
}

// expectDrained has the next call, which has nothing to look up itself, take the queued alert along.
func (s *verdictSite) expectDrained(t *testing.T) {
	t.Helper()
	var out bytes.Buffer
	if strings.Contains(s.text(t), "mirror-then-live") {
		if code := run(t.Context(), []string{"custom-misp", "sync", "--home", s.home}, strings.NewReader(""), &out, &out); code != cli.ExitOK {
			t.Fatalf("sync: %s", &out)
		}
	}
	out.Reset()
	alert := s.alert(t, []byte(strings.Replace(hostAlert("2", ""), `"host"`, `"nothing"`, 1)))
	if code := run(t.Context(), []string{"integrations", "--home", s.home, alert}, strings.NewReader(""), &out, &out); code != cli.ExitOK || out.Len() > 0 {
		t.Errorf("the call after it: exit code %d, %q", code, &out)
	}
	if got := s.events(t); len(got) == 0 || !slices.Contains(got, "hit 1 "+liveHit) {
		t.Errorf("events after it: %v", got)
	}
	if n := len(s.queued(t)); n != 0 {
		t.Errorf("%d alerts are still queued", n)
	}
}
