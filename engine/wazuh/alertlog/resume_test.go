package alertlog_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"custom-misp/engine/wazuh/alertlog"
)

// TestResume stops behind the second line, changes the files, and goes on.
func TestResume(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		happens func(s *site)
		want    []string
		warning string // "" for none
		behind  int64
	}{
		{"nothing", func(s *site) {}, nil, "", 0},
		{"more", func(s *site) { s.write("c\n") }, []string{"c"}, "", 2},
		{"manager restarted", func(s *site) { s.relink(); s.write("c\n") }, []string{"c"}, "", 2},
		{"rotated", func(s *site) { s.write("c\n"); s.rotate(); s.write("d\n") }, []string{"c", "d"}, "", 4},
		{"rotated, nothing since", func(s *site) { s.write("c"); s.rotate(); s.write("d\n") }, []string{"c", "d"}, "", 3},
		{
			"rotated and compressed", func(s *site) {
				s.write("c\n")
				s.rotate()
				s.write("d\n")
				s.pack(0)
			}, []string{"c", "d"}, "", 4,
		},
		{
			"read to its end, compressed", func(s *site) {
				s.rotate()
				s.pack(0)
				s.write("c\n")
			}, []string{"c"}, "", 2,
		},
		{
			"many days", func(s *site) {
				s.write("c\n")
				for range 40 {
					s.rotate()
				}
				s.write("d\n")
				s.rotateSize()
				s.write("e\n")
				s.rotateSize()
				s.write("f\n")
				s.rotate()
				s.write("g\n")
				for i := range len(s.files) - 2 {
					s.pack(i)
				}
			}, []string{"c", "d", "e", "f", "g"}, "", 10,
		},
		{
			"over the year", func(s *site) {
				s.day = time.Date(2026, 12, 31, 0, 0, 0, 0, time.Local)
				s.open()
				s.write("c\n")
				s.rotate()
				s.write("d\n")
			}, []string{"c", "d"}, "", 4,
		},
		{
			"both plain and compressed", func(s *site) {
				s.write("c\n")
				s.rotate()
				s.must(os.WriteFile(s.files[0]+".gz", s.packed(s.files[0])[:15], 0o600)) // monitord is compressing it
				s.write("d\n")
			}, []string{"c", "d"}, "", 4,
		},
		{
			"alerts.json absent", func(s *site) {
				s.write("c\n")
				s.rotate()
				s.write("d\n")
				s.must(os.Remove(s.path))
			}, []string{"c", "d"}, "", 4,
		},
		{
			"alerts.json is not linked", func(s *site) {
				s.write("c\n")
				s.rotate()
				s.write("d\n")
				s.must(os.Remove(s.path))
				s.must(os.WriteFile(s.path, []byte("e\n"), 0o600))
			}, []string{"c", "d", "e"}, "", 6,
		},
		{
			"file is gone", func(s *site) {
				s.write("c\n")
				s.rotate()
				s.write(`{"timestamp":"2026-01-06T00:00:01.000+0000"}` + "\n")
				s.rotate()
				s.write("e\n")
				s.must(os.Remove(s.files[0]))
			}, []string{`{"timestamp":"2026-01-06T00:00:01.000+0000"}`, "e"}, "to=2026-01-06T00:00:01.000+0000", 47,
		},
		{
			"all are gone", func(s *site) {
				s.undated()
				s.must(os.Remove(s.path))
				s.must(os.WriteFile(s.path, []byte("e\n"), 0o600))
			}, []string{"e"}, "the file up to which they were read is gone", 2,
		},
		{"emptied", func(s *site) { s.must(os.Truncate(s.path, 0)); s.write("c\n") }, []string{"c"}, "or was emptied", 2},
		{
			"the inode is used again", func(s *site) {
				s.must(os.Truncate(s.path, 0))
				s.write("another\nfile\n")
			}, []string{"another", "file"}, "or was emptied", 9,
		},
		{
			"moved", func(s *site) {
				s.write("c\n")
				s.move()
				s.write("d\n")
				s.move()
				s.packFile(s.path + ".2")
				s.write("e\n")
			}, []string{"c", "d", "e"}, "", 6,
		},
		{
			"moved by date", func(s *site) {
				s.write("c\n")
				s.must(os.Rename(s.path, s.path+"-20260105"))
				s.packFile(s.path + "-20260105")
				s.must(os.WriteFile(s.path+"-20260106", []byte("d\n"), 0o600))
				s.must(os.WriteFile(s.path, []byte("e\n"), 0o600))
			}, []string{"c", "d", "e"}, "", 6,
		},
		{
			"a copy in its place", func(s *site) {
				s.write("c\n")
				data, err := os.ReadFile(s.path)
				s.must(err)
				s.must(os.WriteFile(s.path+".copy", data, 0o600))
				s.must(os.Rename(s.path+".copy", s.path))
			}, []string{"c"}, "", 2,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t)
			if strings.HasPrefix(tt.name, "moved") || tt.name == "a copy in its place" {
				s.undated()
			}
			f, _ := follow(t, s.path, nil)
			s.write("a\nb\n")
			end := expect(t, f, "a", "b")
			s.must(f.Close())
			tt.happens(s)

			f, log := follow(t, s.path, &end)
			if n := f.Behind(end); n != tt.behind {
				t.Errorf("%d bytes behind, want %d", n, tt.behind)
			}
			expect(t, f, tt.want...)
			s.write("z\n")
			if live, err := os.Stat(s.path); err == nil && !s.writes(live) {
				s.writeTo(s.path, "z\n")
			}
			expect(t, f, "z")
			if got := strings.Contains(log.String(), "level=WARN"); got != (tt.warning != "") || !strings.Contains(log.String(), tt.warning) {
				t.Errorf("log:\n%s", log)
			}
		})
	}
}

// TestResumeUntouched goes on in a file of which nothing was read yet.
func TestResumeUntouched(t *testing.T) {
	for name, happens := range map[string]func(s *site){
		"same":       func(s *site) { s.write("a\nb\n") },
		"rotated":    func(s *site) { s.write("a\n"); s.rotate(); s.write("b\n") },
		"compressed": func(s *site) { s.write("a\n"); s.rotate(); s.write("b\n"); s.pack(0) },
		"removed":    func(s *site) { s.rotate(); s.write("a\nb\n"); s.must(os.Remove(s.files[0])) },
		"moved":      func(s *site) { s.write("a\n"); s.move(); s.write("b\n") },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			if name == "moved" {
				s.undated()
			}
			f, _ := follow(t, s.path, nil)
			from := f.At()
			happens(s)
			f, log := follow(t, s.path, &from)
			expect(t, f, "a", "b")
			if log.Len() > 0 && strings.Contains(log.String(), "WARN") {
				t.Errorf("log:\n%s", log)
			}
		})
	}
	t.Run("no file then", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "alerts.json")
		f, _ := follow(t, path, nil)
		from := f.At()
		f, _ = follow(t, path, &from)
		expect(t, f)
		s := openSite(t, path)
		s.write("a\n")
		expect(t, f, "a")
	})
}

// TestResumeCompressed reads compressed files that are not what they should be.
func TestResumeCompressed(t *testing.T) {
	t.Parallel()
	begin := func(t *testing.T) (s *site, end alertlog.Checkpoint, name string) {
		s = newSite(t)
		f, _ := follow(t, s.path, nil)
		for i := range 2000 {
			s.write(fmt.Sprintf("alert %d %x\n", i, i*i*i*7919))
		}
		lines, _, err := f.Step()
		s.must(err)
		s.rotate()
		s.write("d\n")
		return s, lines.End, s.files[0]
	}
	t.Run("being written", func(t *testing.T) {
		s, end, name := begin(t)
		end.Offset = int64(len("alert 0 0\n"))
		data := s.packed(name)
		s.must(os.WriteFile(name+".gz", data[:len(data)/2], 0o600))
		s.must(os.Remove(name))
		f, log := follow(t, s.path, &end)
		first, _, _ := drain(t, f)
		s.must(os.WriteFile(name+".gz", data, 0o600))
		var rest []string
		for range alertlog.Patience {
			more, _, _ := drain(t, f)
			rest = append(rest, more...)
		}
		if len(first) == 0 || len(first) > 1990 || len(first)+len(rest) != 2000 || rest[len(rest)-1] != "d" {
			t.Errorf("%d and %d lines", len(first), len(rest))
		}
		if strings.Contains(log.String(), "WARN") {
			t.Errorf("log:\n%s", log)
		}
	})
	t.Run("the plain one is there again", func(t *testing.T) {
		s, end, name := begin(t)
		end.Offset = int64(len("alert 0 0\n"))
		plain, err := os.ReadFile(name)
		s.must(err)
		data := s.packed(name)
		s.must(os.WriteFile(name+".gz", data[:len(data)/2], 0o600))
		s.must(os.Remove(name))
		f, _ := follow(t, s.path, &end)
		first, _, _ := drain(t, f)
		s.must(os.WriteFile(name, plain, 0o600))
		rest, _, _ := drain(t, f)
		if len(first)+len(rest) != 2000 {
			t.Errorf("%d and %d lines", len(first), len(rest))
		}
	})
	broken := map[string]func(data []byte) []byte{
		"ends too early": func(data []byte) []byte { return data[:len(data)*2/3] },
		"wrong checksum": func(data []byte) []byte { data[len(data)-6] ^= 1; return data },
		"rubbish behind": func(data []byte) []byte { return append(data, "rubbish"...) },
		"rubbish within": func(data []byte) []byte { copy(data[len(data)*2/3:], make([]byte, 100)); return data },
	}
	for name, breaks := range broken {
		t.Run(name, func(t *testing.T) {
			s, end, file := begin(t)
			end.Offset = int64(len("alert 0 0\n"))
			s.must(os.WriteFile(file+".gz", breaks(s.packed(file)), 0o600))
			s.must(os.Remove(file))
			f, log := follow(t, s.path, &end)
			var got []string
			for range 2 * alertlog.Patience {
				more, _, _ := drain(t, f)
				got = append(got, more...)
			}
			if len(got) < 2 || got[0] != "alert 1 1eef" || got[len(got)-1] != "d" {
				t.Errorf("%d lines", len(got))
			}
			if !strings.Contains(log.String(), "a compressed file cannot be read to its end") {
				t.Errorf("log:\n%s", log)
			}
		})
	}
	t.Run("shorter than it was", func(t *testing.T) {
		s, end, file := begin(t)
		s.must(os.Truncate(file, 10_000))
		s.packFile(file)
		f, log := follow(t, s.path, &end)
		expect(t, f, "d")
		if !strings.Contains(log.String(), "before the place up to which it was read") {
			t.Errorf("log:\n%s", log)
		}
	})
}
