package mirror

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"custom-misp/engine/atomicfile"
	"custom-misp/misp/misptest"
)

// stepsIn calls hook before each step of replacing a file in dir, with the step and the file's name.
func stepsIn(t *testing.T, dir string, hook func(step string) error) {
	t.Helper()
	t.Cleanup(atomicfile.TestOnlyHook(func(s atomicfile.Step, name string) error {
		if name != dir && filepath.Dir(name) != dir {
			return nil
		}
		if s == atomicfile.StepSyncDir {
			return hook(string(s))
		}
		return hook(string(s) + " " + filepath.Base(name))
	}))
}

// fileSteps are those of a file that survives a power cut, in order.
func fileSteps(name string) []string {
	return []string{"create " + name, "write " + name, "sync " + name, "rename " + name, "sync directory"}
}

// TestOrderOfSteps records the steps by which a sync writes. A segment is whole, and its name is on the disk, before
// the state names it.
func TestOrderOfSteps(t *testing.T) {
	t.Parallel()
	s := newSite(t, misptest.New(t, fixture))
	s.syncer.testOnlyLeastBase = 2
	var done []string
	stepsIn(t, filepath.Join(s.syncer.Dir, ServerName), func(step string) error {
		done = append(done, step)
		return nil
	})
	want := func(what string, files ...string) {
		t.Helper()
		var steps []string
		for _, f := range files {
			steps = append(steps, fileSteps(f)...)
		}
		if d := cmp.Diff(steps, slices.Compact(done)); d != "" {
			t.Errorf("%s (-want +got):\n%s", what, d)
		}
		done = nil
	}
	s.sync()
	made := "make directory " + ServerName
	if len(done) == 0 || done[0] != made {
		t.Errorf("the first step is not %q, the directory is not made durable", made)
	}
	done = done[1:]
	want("walk", "base-00000001.segment", stateFile)
	s.tick(time.Minute)
	s.sync()
	want("nothing new", stateFile)
	s.EditAttribute(uuidOf("01"), `{"comment":"x"}`)
	s.sync()
	want("poll", "changes-00000002.segment", stateFile)
	s.EditAttribute(uuidOf("02"), `{"comment":"x"}`)
	s.EditAttribute(uuidOf("03"), `{"comment":"x"}`)
	s.sync()
	want("poll with a new base of the changes", "changes-00000003.segment", stateFile, "base-00000004.segment", stateFile)
}

// TestFailingStep has each step of a poll, a walk and a merge fail once, as on a full or broken disk. What is on the
// disk afterwards is a whole set, the old one unless the new state is in place already; no reader is shown an error,
// and the next sync succeeds.
func TestFailingStep(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		files []string // in the order in which they are written
		full  bool
		least int
	}{
		{"poll", []string{"changes-00000002.segment", stateFile}, false, 0},
		{"walk", []string{"base-00000002.segment", stateFile}, true, 0},
		{"poll with a new base", []string{"changes-00000002.segment", stateFile, "base-00000003.segment", stateFile}, false, -1},
	} {
		var steps []string
		for _, f := range tt.files {
			steps = append(steps, fileSteps(f)...)
		}
		for i, fail := range steps {
			t.Run(tt.name+"/"+strings.Join(strings.Fields(fail), " "), func(t *testing.T) {
				t.Parallel()
				failingStep(t, steps[:i+1], tt.full, tt.least)
			})
		}
	}
}

// failingStep has the last of the steps of a sync fail.
func failingStep(t *testing.T, steps []string, full bool, least int) {
	s := newSite(t, misptest.New(t, fixture))
	s.syncer.testOnlyLeastBase = least
	s.sync()
	s.tick(time.Minute)
	s.EditAttribute(uuidOf("01"), `{"value":"other.example"}`)
	dir := filepath.Join(s.syncer.Dir, ServerName)
	var done []string
	failed := false
	stepsIn(t, dir, func(step string) error {
		if failed {
			return nil
		}
		if done = slices.Compact(append(done, step)); slices.Equal(done, steps) {
			failed = true
			return syscall.EIO
		}
		return nil
	})
	state, err := s.syncer.Sync(t.Context(), s.origin, full)
	if !failed || !errors.Is(err, syscall.EIO) || state.Failure == "" {
		t.Fatalf("steps %q: failed %t, %v", done, failed, err)
	}
	// The first state in place makes the new values count.
	seen, old := "evil.example", "other.example"
	if i := slices.Index(steps, "rename "+stateFile); i >= 0 && i < len(steps)-2 {
		seen, old = old, seen
	}
	s.mirror.Refresh()
	fresh := openMirror(t, s.syncer.Dir, ServerName)
	for what, m := range map[string]*Mirror{"a mirror that was open": s.mirror, "a mirror opened since": fresh} {
		if err := m.Usable(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if got := found(m, observable("domain", seen)); len(got) != 1 {
			t.Errorf("%s: %s is not found", what, seen)
		}
		if got := found(m, observable("domain", old)); len(got) != 0 {
			t.Errorf("%s: %s is found", what, old)
		}
		counted(t, m)
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".new-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if state := s.sync(); state.Failure != "" {
		t.Errorf("the next sync: %+v", state)
	}
	if d := s.difference(asked); d != "" {
		t.Errorf("after the next sync (-misp +mirror):\n%s", d)
	}
	onlySetAndWalk(t, dir)
}
