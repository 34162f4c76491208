package alertlog_test

import (
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"custom-misp/engine/enrich"
	"custom-misp/engine/wazuh/alertlog"
)

// randomSite is a site on which things happen at random, and a follower that has to see each line once and in order.
type randomSite struct {
	*site
	f       *alertlog.Follower
	log     *slog.Logger
	end     alertlog.Checkpoint
	pending string // text whose beginning is written
	lines   int
	seen    int
	skipped [2]int   // lines that are too long: written, skipped by the follower
	plain   []string // files that are neither written to nor compressed
	half    string   // the file that is being compressed
}

func (c *randomSite) line(t *rapid.T) string {
	switch size := rapid.IntRange(0, 2000).Draw(t, "size"); {
	case size == 0:
		c.skipped[0]++
		return fmt.Sprintf("long %d after %d%s\n", c.skipped[0], c.lines, strings.Repeat("x", enrich.MaxAlert))
	case size < 100:
		c.lines++ // a file does not begin with an empty line
		return fmt.Sprintf("%d %s", c.lines, strings.Repeat("\n", 1+size%5))
	case size > 1995:
		c.lines++
		return fmt.Sprintf("%d %s\n", c.lines, strings.Repeat("y", size*100))
	default:
		c.lines++
		return fmt.Sprintf("%d %s\n", c.lines, strings.Repeat("z", size%300))
	}
}

func (c *randomSite) writeSome(t *rapid.T) {
	text := c.pending
	for range rapid.IntRange(1, 20).Draw(t, "lines") {
		text += c.line(t)
	}
	n := len(text)
	if rapid.Bool().Draw(t, "partial") {
		n = rapid.IntRange(0, len(text)).Draw(t, "length")
	}
	c.write(text[:n])
	c.pending = text[n:]
}

// rotateSome ends the file, sometimes without the last newline.
func (c *randomSite) rotateSome(t *rapid.T) {
	if rapid.Bool().Draw(t, "newline") {
		c.pending = strings.TrimSuffix(c.pending, "\n")
	}
	c.write(c.pending)
	c.pending = ""
	switch {
	case c.moved:
		if c.half != "" {
			c.finishPacking()
		}
		c.move()
		for i := range c.plain {
			c.plain[i] = c.renumber(c.plain[i])
		}
		c.plain = append(c.plain, c.path+".1")
	default:
		c.plain = append(c.plain, c.file())
		if rapid.Bool().Draw(t, "size") {
			c.rotateSize()
		} else {
			c.rotate()
		}
	}
}

func (c *randomSite) renumber(name string) string {
	var n int
	_, err := fmt.Sscanf(strings.TrimPrefix(name, c.path), ".%d", &n)
	c.must(err)
	return fmt.Sprintf("%s.%d", c.path, n+1)
}

// packSome begins to compress a file that is no longer written to, or finishes it.
func (c *randomSite) packSome(t *rapid.T) {
	if c.half != "" {
		c.finishPacking()
		return
	}
	if len(c.plain) == 0 {
		return
	}
	i := rapid.IntRange(0, len(c.plain)-1).Draw(t, "file")
	c.half = c.plain[i]
	c.plain = append(c.plain[:i], c.plain[i+1:]...)
	data := c.packed(c.half)
	c.must(os.WriteFile(c.half+".gz", data[:rapid.IntRange(0, len(data)).Draw(t, "packed")], 0o600))
	if rapid.Bool().Draw(t, "all") {
		c.finishPacking()
	}
}

func (c *randomSite) finishPacking() {
	c.packFile(c.half)
	c.half = ""
}

// read takes some steps, or as many as there are.
func (c *randomSite) read(t *rapid.T, steps int) {
	for range steps {
		lines, more, err := c.f.Step()
		c.must(err)
		for _, line := range lines.Text {
			c.seen++
			if want := fmt.Sprintf("%d ", c.seen); !strings.HasPrefix(string(line), want) {
				t.Fatalf("line %d is %.20q...", c.seen, line)
			}
		}
		c.skipped[1] += lines.Skipped
		if len(lines.Text) > 0 || lines.Skipped > 0 {
			c.end = lines.End
		} else if !more {
			return
		}
	}
}

func (c *randomSite) restart() {
	c.must(c.f.Close())
	name := filepath.Join(filepath.Dir(c.path), "checkpoint.json")
	c.must(c.end.Save(name))
	from, _, err := alertlog.LoadCheckpoint(name)
	c.must(err)
	c.f, err = alertlog.Follow(c.path, &from, alertlog.LogTo(c.log))
	c.must(err)
}

// TestFollowRandom writes to a site, and rotates, compresses and restarts it at random. Every line has to be seen once, in
// order. A failure prints how to repeat it. LONG_TESTS=1 and -rapid.checks make it run longer.
func TestFollowRandom(t *testing.T) {
	t.Parallel()
	if checks := flag.Lookup("rapid.checks"); checks.Value.String() == checks.DefValue {
		n := "10" // each is many writes to a disk
		if os.Getenv("LONG_TESTS") == "1" {
			n = "40"
		}
		_ = checks.Value.Set(n)
		defer func() { _ = checks.Value.Set(checks.DefValue) }()
	}
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "alerts")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir) //nolint:errcheck // temporary
		s := &site{t: t, path: filepath.Join(dir, "alerts.json"), day: time.Date(2026, 1, 29, 0, 0, 0, 0, time.Local)}
		s.open()
		if rapid.Bool().Draw(t, "moved") {
			s.undated()
		}
		c := &randomSite{site: s, log: slog.New(slog.NewTextHandler(t.Output(), nil))}
		c.f, err = alertlog.Follow(s.path, nil, alertlog.LogTo(c.log))
		c.must(err)
		defer func() { c.must(c.f.Close()); c.must(c.out.Close()) }()
		c.end = c.f.At()
		t.Repeat(map[string]func(*rapid.T){
			"write":       c.writeSome,
			"write again": c.writeSome,
			"rotate":      c.rotateSome,
			"pack":        c.packSome,
			"relink": func(*rapid.T) {
				if !c.moved {
					c.relink()
				}
			},
			"step":    func(t *rapid.T) { c.read(t, 1) },
			"read":    func(t *rapid.T) { c.read(t, 1000) },
			"restart": func(*rapid.T) { c.restart() },
		})
		c.write(c.pending + "\n")
		c.lines++
		c.write(fmt.Sprintf("%d \n", c.lines))
		if n := c.f.Behind(c.end); n <= 0 {
			t.Errorf("%d bytes behind", n)
		}
		c.read(t, 100_000)
		if c.seen != c.lines || c.skipped[0] != c.skipped[1] {
			t.Errorf("%d lines written, %d seen; %d too long, %d skipped", c.lines, c.seen, c.skipped[0], c.skipped[1])
		}
		if n := c.f.Behind(c.end); n != 0 {
			t.Errorf("%d bytes behind at the end", n)
		}
	})
}

// TestFollowConcurrent reads while it is written, rotated and compressed.
func TestFollowConcurrent(t *testing.T) {
	t.Parallel()
	const total = 20_000
	s := newSite(t)
	f, _ := follow(t, s.path, nil)
	go func() {
		for i := range total {
			s.write(fmt.Sprintf("%d %s\n", i, strings.Repeat("x", i%500)))
			switch {
			case i%997 == 0:
				s.rotateSize()
			case i%1999 == 0:
				s.rotate()
				s.pack(len(s.files) - 2)
			}
		}
	}()
	seen := 0
	for seen < total {
		lines, err := f.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range lines.Text {
			if want := fmt.Sprintf("%d ", seen); !strings.HasPrefix(string(line), want) {
				t.Fatalf("line %d is %.20q", seen, line)
			}
			seen++
		}
		_ = f.Behind(lines.End)
	}
}
