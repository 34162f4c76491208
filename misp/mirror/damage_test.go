package mirror

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/misp"
	"custom-misp/misp/misptest"
)

// small is a set of two small files, in which all values of known are known.
type small struct {
	dir   string // of the mirror
	files []string
	known []engine.Observable
}

const smallName = "feed"

// newSmall writes a set with a base and changes, some of which replace and remove what the base has.
func newSmall(t *testing.T) small {
	t.Helper()
	s := small{dir: t.TempDir()}
	w, err := openWriter(t.Context(), filepath.Join(s.dir, smallName), func() time.Time { return begin }, nil)
	must(t, err)
	defer w.close() //nolint:errcheck // the lock ends with the file
	of := func(i int) misp.Attribute {
		a := generated(i)
		a.Event.Tags, a.Tags, a.Comment = nil, nil, ""
		return a
	}
	must(t, w.replace(t.Context(), func(b *builder) error {
		for i := range 6 {
			add(t, b, of(i))
		}
		add(t, b, misp.Attribute{UUID: uuidOf("01"), Type: "ip-dst", Value: "192.31.196.0/24", Event: misp.Event{UUID: uuidOf("e1")}})
		return nil
	}, func(*State) {}))
	c := changesOf(w.set)
	changed := of(1)
	changed.Comment = "changed"
	c.Put(changed)
	c.Put(of(6))
	c.Remove(of(5).UUID)
	must(t, w.apply(t.Context(), c, func(*State) {}))
	s.files = []string{w.state.Base, w.state.Changes, stateFile}
	for _, i := range []int{0, 1, 2, 3, 4, 6} {
		s.known = append(s.known, generatedObservable(i))
	}
	s.known = append(s.known, observable("ip-dst", "192.31.196.7"))
	return s
}

func (s small) path(file string) string { return filepath.Join(s.dir, smallName, file) }

// answersRight looks every value up. Each is found as it is, or the look-up fails with damage; which of them fail is the
// result.
func (s small) answersRight(t *testing.T, m *Mirror, what string) (failed int) {
	t.Helper()
	for i, o := range s.known {
		matches, err := m.Lookup(t.Context(), []engine.Observable{o})
		trouble, _ := errors.AsType[*enrich.Trouble](err)
		switch {
		case trouble != nil && trouble.Code == enrich.CodeDamaged && trouble.OnlyHere && strings.Contains(err.Error(), "the mirror of "+smallName+" is damaged"):
			failed++
		case err != nil:
			t.Fatalf("%s: %s: another error: %v", what, o.Value, err)
		case len(matches) != 1:
			t.Fatalf("%s: %s: %d matches and no error", what, o.Value, len(matches))
		case i == 1 && matches[0].Attribute.Comment != "changed":
			t.Fatalf("%s: %s is as it was before it changed", what, o.Value)
		}
	}
	return failed
}

// TestEveryBit flips a bit of each byte of each file of a set, one at a time: each look-up of each known value is right,
// or says that the source is damaged.
func TestEveryBit(t *testing.T) {
	t.Parallel()
	s := newSmall(t)
	for _, file := range s.files {
		whole, err := os.ReadFile(s.path(file))
		must(t, err)
		for at := range whole {
			broken := slices.Clone(whole)
			broken[at] ^= 1 << rand.IntN(8)
			must(t, os.WriteFile(s.path(file), broken, 0o600))
			m := Open(s.dir, []string{smallName}, engine.Filter{})
			what := fmt.Sprintf("%s, byte %d: %02x instead of %02x", file, at, broken[at], whole[at])
			if s.answersRight(t, m, what) == 0 {
				t.Fatalf("%s: nothing failed, and everything is in one block", what)
			}
			if m.Usable() == nil || len(m.Damages()) != 1 {
				t.Fatalf("%s: usable, %v", what, m.Damages())
			}
			m.Close()
		}
		must(t, os.WriteFile(s.path(file), whole, 0o600))
	}
}

// TestEveryLength cuts each file of a set short, to every length: when it is opened after that, and under a reader that
// has it open.
func TestEveryLength(t *testing.T) {
	t.Parallel()
	s := newSmall(t)
	for _, file := range s.files {
		whole, err := os.ReadFile(s.path(file))
		must(t, err)
		for length := range whole {
			before := Open(s.dir, []string{smallName}, engine.Filter{})
			if length%2 == 0 { // all blocks are verified
				if s.answersRight(t, before, "whole") > 0 {
					t.Fatalf("%s: damaged before it was cut", file)
				}
			}
			must(t, os.Truncate(s.path(file), int64(length)))
			what := fmt.Sprintf("%s, cut to %d bytes", file, length)
			if length%2 == 0 && file != stateFile {
				if before.Refresh(); len(before.Damages()) != 1 {
					t.Fatalf("%s: not noticed without a look-up", what)
				}
			}
			if failed := s.answersRight(t, before, what+" under a reader"); failed == 0 && file != stateFile {
				t.Fatalf("%s: a reader that had it open noticed nothing", what)
			}
			before.Close()
			after := Open(s.dir, []string{smallName}, engine.Filter{})
			if s.answersRight(t, after, what) == 0 {
				t.Fatalf("%s: opened, and nothing failed", what)
			}
			after.Close()
			must(t, os.WriteFile(s.path(file), whole, 0o600))
		}
	}
}

// TestChangedInPlace flips bits in a file whose blocks a reader has verified: look-ups that need the block fail at once.
func TestChangedInPlace(t *testing.T) {
	t.Parallel()
	s := newSmall(t)
	for _, file := range s.files {
		if file == stateFile {
			continue
		}
		whole, err := os.ReadFile(s.path(file))
		must(t, err)
		for at := 100; at < 400; at += 31 { // in the first block
			m := Open(s.dir, []string{smallName}, engine.Filter{})
			if s.answersRight(t, m, "whole") > 0 {
				t.Fatalf("%s: damaged before it was changed", file)
			}
			flipped := slices.Clone(whole)
			flipped[at] ^= 4
			must(t, os.WriteFile(s.path(file), flipped, 0o600))
			must(t, os.Chtimes(s.path(file), time.Time{}, time.Now().Add(time.Second))) // the clock of the file system may be coarse
			if s.answersRight(t, m, file) == 0 {
				t.Errorf("%s, byte %d: nothing failed", file, at)
			}
			m.Close()
			must(t, os.WriteFile(s.path(file), whole, 0o600))
		}
	}
}

// TestCutUnderReader cuts a file of several blocks short while it is mapped, so that reading behind its end raises
// SIGBUS. Look-ups fail, and all else goes on.
func TestCutUnderReader(t *testing.T) {
	t.Parallel()
	s, name := build(t, func(b *builder) {
		for i := range 3000 {
			add(t, b, generated(i))
		}
	})
	count := func() (found, failed int) { return lookUpGenerated(t, &snapshot{base: s}, 3000) }
	if found, failed := count(); found != 3000 || failed > 0 {
		t.Fatalf("%d found, %d failed", found, failed)
	}
	size := int64(len(s.data))
	for _, left := range []int64{size - 1, size * 3 / 4, size / 2, 1 << blockBits, 4096, 1, 0} {
		must(t, os.Truncate(name, left))
		if found, failed := count(); found > 0 || failed != 3000 {
			t.Errorf("%d of %d bytes left: %d found, %d failed", left, size, found, failed)
		}
		drain(s.each())
		drain(s.events())
	}
	if err := s.damaged(); err == nil || !strings.Contains(err.Error(), name) {
		t.Errorf("damage: %v", err)
	}
}

// lookUpGenerated looks generated attributes up. It returns how many are found, and how many look-ups fail with damage.
func lookUpGenerated(t *testing.T, s *snapshot, n int) (found, failed int) {
	t.Helper()
	for i := range n {
		o := generatedObservable(i)
		broken := false
		for a, err := range s.find(t.Context(), o.Indicator(), o.Literal()) {
			switch {
			case err == nil && strings.EqualFold(a.Value, o.Value):
				found++
			case errors.Is(err, errDamaged):
				broken = true
			default:
				t.Fatalf("%v, %v", a, err)
			}
		}
		if broken {
			failed++
		}
	}
	return found, failed
}

// TestOtherPanics sees that only faults in the file become errors.
func TestOtherPanics(t *testing.T) {
	t.Parallel()
	s, _ := build(t, func(b *builder) { add(t, b, generated(0)) })
	defer func() {
		if r := recover(); r != "other" {
			t.Errorf("recovered %v", r)
		}
	}()
	var err error
	defer s.caught(false, &err)
	panic("other")
}

// TestVerify flips a bit in a block that was verified already: look-ups do not see it, the background pass does, and from
// then on look-ups fail.
func TestVerify(t *testing.T) {
	t.Parallel()
	s := newSmall(t)
	m := openMirror(t, s.dir, smallName)
	if s.answersRight(t, m, "whole") > 0 {
		t.Fatal("damaged from the start")
	}
	must(t, m.Verify(t.Context(), 0))
	f, err := os.OpenFile(s.path(s.files[0]), os.O_RDWR, 0)
	must(t, err)
	defer f.Close() //nolint:errcheck // a test
	var b [1]byte
	_, err = f.ReadAt(b[:], 100)
	must(t, err)
	_, err = f.WriteAt([]byte{b[0] ^ 4}, 100)
	must(t, err)
	if len(m.Damages()) > 0 {
		t.Error("damage is known before anything was read")
	}
	if err := m.Verify(t.Context(), 0); !errors.Is(err, errDamaged) || !strings.Contains(err.Error(), s.files[0]) {
		t.Errorf("verified: %v", err)
	}
	if failed := s.answersRight(t, m, "after the pass"); failed == 0 {
		t.Error("look-ups fail nowhere")
	}
	if d := m.Damages(); len(d) != 1 || d[0].Origin != smallName || !strings.Contains(d[0].Err.Error(), s.files[0]) {
		t.Errorf("damages %v", d)
	}
	ctx, cancel := errorAfter(t), func() {}
	defer cancel()
	if err := m.Verify(ctx, 0); err == nil || errors.Is(err, errDamaged) {
		t.Errorf("a pass that was ended: %v", err)
	}
}

// errorAfter returns a context that has ended.
func errorAfter(t *testing.T) *steps { return &steps{t.Context(), 0} }

// TestPace has a pass wait as long as its rate says, in steps of an eighth of a second.
func TestPace(t *testing.T) {
	t.Parallel()
	var waited, longest time.Duration
	pause := pacer{rate: 1 << 20, wait: func(d time.Duration) error {
		waited, longest = waited+d, max(longest, d)
		return nil
	}}.pause(t.Context())
	for range 64 {
		must(t, pause(1<<16))
	}
	if waited != 4*time.Second || longest != time.Second/8 {
		t.Errorf("waited %v for 4 MiB at 1 MiB a second, at most %v at once", waited, longest)
	}
}

// TestRepair has each file of a set damaged while MISP is unreachable, and then while it is not: the set stays damaged,
// never empty, until a sync has fetched it again, and look-ups are right then.
func TestRepair(t *testing.T) {
	t.Parallel()
	flip := func(t *testing.T, name string) {
		data, err := os.ReadFile(name)
		must(t, err)
		data[len(data)/3] ^= 4
		must(t, os.WriteFile(name, data, 0o600))
	}
	cut := func(t *testing.T, name string) { must(t, os.Truncate(name, 20)) }
	remove := func(t *testing.T, name string) { must(t, os.Remove(name)) }
	base, changes := func(s State) string { return s.Base }, func(s State) string { return s.Changes }
	state := func(State) string { return stateFile }
	for name, tt := range map[string]struct {
		file   func(State) string
		damage func(t *testing.T, name string)
	}{
		"base, a flipped bit": {base, flip}, "base cut short": {base, cut}, "base absent": {base, remove},
		"changes, a flipped bit": {changes, flip}, "changes cut short": {changes, cut}, "changes absent": {changes, remove},
		"state, a flipped bit": {state, flip}, "state cut short": {state, cut},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			repair(t, tt.file, tt.damage)
		})
	}
}

func repair(t *testing.T, file func(State) string, damage func(t *testing.T, name string)) {
	s := newSite(t, misptest.New(t, fixture))
	s.sync()
	s.tick(time.Minute)
	s.EditAttribute(uuidOf("01"), `{"comment":"x"}`)
	state := s.sync()
	dir := filepath.Join(s.syncer.Dir, ServerName)
	damage(t, filepath.Join(dir, file(state)))
	s.syncer.Close() // as another process
	s.mirror.Close()
	s.mirror = openMirrorAt(t, s)
	damaged := func() {
		t.Helper()
		for _, o := range asked[:3] {
			_, err := s.mirror.Lookup(t.Context(), []engine.Observable{o})
			if trouble, _ := errors.AsType[*enrich.Trouble](err); trouble == nil || trouble.Code != enrich.CodeDamaged || trouble.OnlyHere {
				t.Errorf("look-up: %v", err)
			}
		}
	}
	damaged()
	s.Set(misptest.Condition{DatabaseDown: true})
	if _, err := s.syncer.Sync(t.Context(), s.origin, false); err == nil {
		t.Fatal("synced without a MISP")
	}
	s.mirror.Refresh()
	damaged()
	s.Set(misptest.Condition{})
	s.tick(time.Minute)
	again := s.sync()
	if !again.FullAt.Equal(s.now) || again.Serial <= state.Serial {
		t.Errorf("not fetched again: %+v", again)
	}
	if d := s.difference(asked); d != "" {
		t.Errorf("after the repair (-misp +mirror):\n%s", d)
	}
	if len(s.mirror.Damages()) > 0 || s.mirror.Usable() != nil {
		t.Errorf("damage: %v, %v", s.mirror.Damages(), s.mirror.Usable())
	}
	onlySet(t, dir)
}
