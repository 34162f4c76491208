package alertlog_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"custom-misp/engine/enrich"
	"custom-misp/engine/wazuh/alertlog"
)

// follow opens a follower that is closed at the end of the test, and returns what it logs.
func follow(t testing.TB, path string, from *alertlog.Checkpoint, options ...alertlog.Option) (*alertlog.Follower, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	options = append(options, alertlog.LogTo(slog.New(slog.NewTextHandler(&log, nil))))
	f, err := alertlog.Follow(path, from, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f, &log
}

// drain reads all there is and returns it, the place behind it, and how many lines were skipped.
func drain(t testing.TB, f *alertlog.Follower) (text []string, end alertlog.Checkpoint, skipped int) {
	t.Helper()
	end = f.At()
	for {
		lines, more, err := f.Step()
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range lines.Text {
			text = append(text, string(line))
		}
		skipped += lines.Skipped
		if len(lines.Text) > 0 || lines.Skipped > 0 {
			end = lines.End
		} else if !more {
			return text, end, skipped
		}
	}
}

// expect drains and compares.
func expect(t testing.TB, f *alertlog.Follower, want ...string) alertlog.Checkpoint {
	t.Helper()
	got, end, _ := drain(t, f)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("lines (-want +got):\n%s", diff)
	}
	return end
}

func TestFollowLines(t *testing.T) {
	long := strings.Repeat("x", 70_000)
	longest := strings.Repeat("y", enrich.MaxAlert)
	tests := []struct {
		name, before string
		fromStart    bool
		writes       []string // each is read before the next one
		want         []string
		skipped      int
	}{
		{name: "from the end", before: "a\nb\n", writes: []string{"c\n"}, want: []string{"c"}},
		{name: "from the start", before: "a\nb\n", fromStart: true, writes: []string{"c\n"}, want: []string{"a", "b", "c"}},
		{name: "a line that was being written", before: "a\nb", writes: []string{"c\nd\n"}, want: []string{"bc", "d"}},
		{name: "the first line was being written", before: "a", writes: []string{"b\n"}, want: []string{"ab"}},
		{name: "in pieces", writes: []string{"a", "", "b", "\nc", "\n", "d"}, want: []string{"ab", "c"}},
		{name: "empty lines", writes: []string{"\n\na\n \n\r\n", "\n", "b\n\n"}, want: []string{"a", "b"}},
		{name: "any bytes", writes: []string{"\x00\xff\n\xc3\n"}, want: []string{"\x00\xff", "\xc3"}},
		{name: "long", writes: []string{long + "\n" + long + long, long + "\na\n"}, want: []string{long, long + long + long, "a"}},
		{name: "as long as can be", writes: []string{"a\n" + longest + "\nb\n"}, want: []string{"a", longest, "b"}},
		{name: "too long", writes: []string{"a\n" + longest + "y\nb\n"}, want: []string{"a", "b"}, skipped: 1},
		{
			name: "far too long", writes: []string{"a\n" + longest, longest, longest + longest, "\nb\n" + longest, longest + "\n"},
			want: []string{"a", "b"}, skipped: 2,
		},
		{name: "only too long", writes: []string{longest + "y\n"}, skipped: 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t)
			s.write(tt.before)
			var options []alertlog.Option
			if tt.fromStart {
				options = append(options, alertlog.FromStart())
			}
			f, _ := follow(t, s.path, nil, options...)
			var got []string
			skipped := 0
			for _, w := range tt.writes {
				s.write(w)
				text, _, n := drain(t, f)
				got, skipped = append(got, text...), skipped+n
				if behind, partial := f.Behind(f.At()), w[strings.LastIndexByte(w, '\n')+1:]; len(partial) < len(w) && behind != int64(len(partial)) {
					t.Errorf("%d bytes behind, want %d", behind, len(partial))
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("lines (-want +got):\n%.2000s", diff)
			}
			if skipped != tt.skipped {
				t.Errorf("%d lines skipped, want %d", skipped, tt.skipped)
			}
		})
	}
}

// TestFollowKeeps checks that lines belong to the receiver.
func TestFollowKeeps(t *testing.T) {
	s := newSite(t)
	f, _ := follow(t, s.path, nil)
	s.write("a\nb\npart")
	first, _, err := f.Step()
	if err != nil || len(first.Text) != 2 {
		t.Fatal(first, err)
	}
	_ = append(first.Text[0], "zzzz"...)
	s.write("ial\nc\n")
	expect(t, f, "partial", "c")
	if string(first.Text[0]) != "a" || string(first.Text[1]) != "b" {
		t.Errorf("lines were overwritten: %q", first.Text)
	}
}

func TestFollowRotation(t *testing.T) {
	t.Run("waits for the file", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "alerts.json")
		f, _ := follow(t, path, nil)
		expect(t, f)
		s := openSite(t, path)
		s.write("a\n")
		expect(t, f, "a")
	})
	t.Run("midnight", func(t *testing.T) {
		s := newSite(t)
		f, _ := follow(t, s.path, nil)
		s.write("a\nb")
		expect(t, f, "a")
		s.rotate()
		expect(t, f) // nothing new is there yet: the old file may still be written to
		s.write("c\n")
		end := expect(t, f, "b", "c")
		if want := "2026/Jan/ossec-alerts-06.json"; end.File != want {
			t.Errorf("file is %q, want %q", end.File, want)
		}
	})
	t.Run("briefly absent", func(t *testing.T) {
		s := newSite(t)
		f, _ := follow(t, s.path, nil)
		s.write("a\n")
		expect(t, f, "a")
		s.must(os.Remove(s.path))
		s.write("b\n")
		expect(t, f, "b")
		s.must(os.Link(s.file(), s.path))
		s.write("c\n")
		expect(t, f, "c")
	})
	t.Run("several at once", func(t *testing.T) {
		s := newSite(t)
		f, _ := follow(t, s.path, nil)
		s.write("a\n")
		s.rotateSize()
		s.write("b\n")
		s.rotateSize()
		s.rotateSize() // an empty one
		s.write("c\nd")
		s.pack(1)
		s.rotate()
		s.write("e\n")
		s.rotate()
		s.write("f\n")
		if n := f.Behind(f.At()); n != 11 {
			t.Errorf("%d bytes behind, want 11", n)
		}
		end := expect(t, f, "a", "b", "c", "d", "e", "f")
		if n := f.Behind(end); n != 0 {
			t.Errorf("%d bytes behind, want 0", n)
		}
	})
	t.Run("a last line that is too long", func(t *testing.T) {
		s := newSite(t)
		f, _ := follow(t, s.path, nil)
		s.write(strings.Repeat("x", 2*enrich.MaxAlert))
		s.rotate()
		s.write("a\n")
		text, _, skipped := drain(t, f)
		if skipped != 1 || len(text) != 1 || text[0] != "a" {
			t.Errorf("%q, %d skipped", text, skipped)
		}
	})
	t.Run("moved", func(t *testing.T) {
		s := newSite(t)
		s.undated()
		f, _ := follow(t, s.path, nil)
		s.write("a\n")
		expect(t, f, "a")
		s.move()
		s.writeTo(s.path+".1", "b\n") // Wazuh has not opened the new file yet
		expect(t, f, "b")
		s.write("c\n")
		s.move()
		s.write("d\n")
		s.move()
		s.write("e\n")
		expect(t, f, "c", "d", "e")
	})
}

func TestFollowTruncation(t *testing.T) {
	tests := []struct {
		name    string
		rewrite string
		copied  bool
		want    []string
		warning bool
	}{
		{"shorter", "d\n", false, []string{"d"}, true},
		{"as long", "d\ne\nf\n", false, []string{"d", "e", "f"}, true},
		{"longer", "dddd\neeee\nffff\n", false, []string{"dddd", "eeee", "ffff"}, true},
		{"copied before", "dddd\neeee\nffff\n", true, []string{"c", "dddd", "eeee", "ffff"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t)
			f, log := follow(t, s.path, nil)
			s.write("a\nb\n")
			end := expect(t, f, "a", "b")
			s.write("c\n")
			if tt.copied {
				data, err := os.ReadFile(s.path)
				s.must(err)
				s.must(os.WriteFile(s.path+".1", data, 0o600))
			} else {
				expect(t, f, "c")
			}
			s.must(os.Truncate(s.path, 0))
			s.must(os.Chtimes(s.path, time.Now(), time.Now().Add(time.Second))) // the clock of the file system is coarse
			s.write(tt.rewrite)
			expect(t, f, tt.want...)
			if got := strings.Contains(log.String(), "level=WARN"); got != tt.warning {
				t.Errorf("log:\n%s", log)
			}
			if tt.copied {
				again, _ := follow(t, s.path, &end)
				expect(t, again, tt.want...)
			}
		})
	}
}

// TestNext checks the waiting, on a clock of synctest.
func TestNext(t *testing.T) {
	s := newSite(t)
	f, _ := follow(t, s.path, nil)
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		go func() {
			time.Sleep(10 * time.Second)
			s.write("a\n")
		}()
		lines, err := f.Next(ctx)
		if err != nil || len(lines.Text) != 1 || lines.End.Offset != 2 {
			t.Errorf("%+v, %v", lines, err)
		}
		if late := time.Since(begin) - 10*time.Second; late < 0 || late > 100*time.Millisecond {
			t.Errorf("read %s after it was written", late)
		}
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := f.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error is %v", err)
		}
	})
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Next(t.Context()); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("error after Close is %v", err)
	}
}

func TestFollowTrouble(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, path, want string }{
		{"directory", dir, "not a file but a directory"},
		{"device", os.DevNull, "not a file but a pipe, socket or device"},
		{"below a file", filepath.Join(file, "alerts.json"), "not a directory"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, from := range []*alertlog.Checkpoint{nil, {}} {
				f, err := alertlog.Follow(tt.path, from)
				if err == nil || f != nil || !strings.Contains(err.Error(), tt.path) || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "; ") {
					t.Errorf("error is %v", err)
				}
			}
		})
	}
	t.Run("while running", func(t *testing.T) {
		s := newSite(t)
		f, _ := follow(t, s.path, nil)
		s.write("a\n")
		s.must(os.Remove(s.path))
		s.must(os.Mkdir(s.path, 0o700))
		if lines, _, err := f.Step(); err != nil || len(lines.Text) != 1 {
			t.Fatal(lines, err)
		}
		if _, err := f.Next(t.Context()); err == nil || !strings.Contains(err.Error(), "not a file but a directory") {
			t.Errorf("error is %v", err)
		}
		s.must(os.Remove(s.path))
		s.rotate()
		s.write("b\n")
		expect(t, f, "b")
	})
	t.Run("no permission", func(t *testing.T) {
		if os.Geteuid() == 0 {
			t.Skip("root may read everything")
		}
		s := newSite(t)
		s.must(os.Chmod(s.path, 0))
		if _, err := alertlog.Follow(s.path, nil); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "run as user wazuh") {
			t.Errorf("error is %v", err)
		}
	})
}

// TestFollowDescriptors checks that files are closed.
func TestFollowDescriptors(t *testing.T) {
	count := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	s := newSite(t)
	before := count()
	f, _ := follow(t, s.path, nil)
	from := f.At()
	var want []string
	for i := range 50 {
		want = append(want, fmt.Sprint("alert ", i))
		s.write(want[i] + "\n")
		s.rotate()
		if i%3 == 0 {
			s.pack(i)
		}
	}
	s.write("last\n")
	expect(t, f, append(want, "last")...)
	if n := count(); n > before+1 {
		t.Errorf("%d descriptors open, were %d", n, before)
	}
	again, _ := follow(t, s.path, &from)
	expect(t, again, append(want, "last")...)
	s.must(errors.Join(f.Close(), again.Close(), again.Close()))
	if n := count(); n > before {
		t.Errorf("%d descriptors open, were %d", n, before)
	}
}

// TestFollowerZero checks that a follower that was not made by Follow fails like a closed one.
func TestFollowerZero(t *testing.T) {
	var f alertlog.Follower
	if _, err := f.Next(t.Context()); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("error is %v", err)
	}
	if err := f.Close(); err != nil || f.At() != (alertlog.Checkpoint{}) {
		t.Errorf("%v, at %+v", err, f.At())
	}
}
