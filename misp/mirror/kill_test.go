package mirror

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"custom-misp/misp"
)

// killed is set in the process that TestKill kills, which works in its own working directory.
const killed = "CUSTOM_MISP_TEST_MIRROR_KILLED"

// generations is an origin whose attributes all change with each sync, so that no part of one set goes unnoticed in
// another.
type generations struct{ last int }

// perGeneration is how many attributes there are at least; the last few come and go.
const perGeneration = 200

func (g *generations) Name() string { return "gen" }

func (g *generations) describe() (Kind, string) { return KindCSV, "generations" }

func (g *generations) attributes(n int) []misp.Attribute {
	var all []misp.Attribute
	for i := range perGeneration + n%7 {
		a := generated(i)
		a.Comment, a.Event.Info = strconv.Itoa(n), strconv.Itoa(n)
		all = append(all, a)
	}
	return all
}

func (g *generations) sync(_ context.Context, w *writer, y *Syncer, _ bool) error {
	n := g.last + 1
	done := y.done(y.now(), func(s *State) { s.Tag = strconv.Itoa(n) })
	if w.set == nil || n%5 == 0 {
		g.last = n
		return w.replace(context.Background(), func(b *builder) error {
			for _, a := range g.attributes(n) {
				if err := b.Add(a, ""); err != nil {
					return err
				}
			}
			return nil
		}, done)
	}
	c := changesOf(w.set)
	for i := range 7 {
		c.Remove(generated(perGeneration + i).UUID)
	}
	for _, a := range g.attributes(n) {
		c.Put(a)
	}
	g.last = n
	return w.apply(context.Background(), c, done)
}

// TestKill kills a process again and again while it syncs and merges. Each time the set opens as one of the complete
// sets, not older than the last that the process called done, and the next sync removes what was left behind.
func TestKill(t *testing.T) {
	t.Parallel()
	if os.Getenv(killed) != "" {
		syncUntilKilled(t, ".")
		return
	}
	self, err := os.Executable()
	must(t, err)
	least, most := times(15, 40), times(50, 200)
	dir := t.TempDir()
	done, syncs, leftovers, kills := 0, 0, 0, 0
	for ; kills < least || kills < most && leftovers == 0; kills++ {
		work := exec.Command(self, "-test.run=^TestKill$")
		work.Dir, work.Env = dir, append(os.Environ(), killed+"=1")
		out, err := work.StdoutPipe()
		must(t, err)
		must(t, work.Start())
		lines := bufio.NewScanner(out)
		for left := rand.IntN(3); lines.Scan(); left-- {
			if left == 0 { // in the middle of the next sync, or a little later
				time.AfterFunc(time.Duration(rand.IntN(25_000))*time.Microsecond, func() { _ = work.Process.Kill() })
			}
			switch word, n, _ := strings.Cut(lines.Text(), " "); word {
			case "done":
				done, err = strconv.Atoi(n)
				must(t, err)
				syncs++
			case "error":
				t.Fatal(n)
			}
		}
		_ = work.Wait() // killed
		if done == 0 {
			continue
		}
		m := openMirror(t, dir, "gen")
		must(t, m.Usable())
		if n := generation(t, m); n < done {
			t.Fatalf("generation %d, and %d was done", n, done)
		}
		if len(files(t, dir+"/gen")) > 4 {
			leftovers++
		}
		w, err := openWriter(context.Background(), dir+"/gen", time.Now, nil)
		must(t, err)
		must(t, w.close())
		if w.damage != nil {
			t.Fatal(w.damage)
		}
		onlySet(t, dir+"/gen")
	}
	t.Logf("%d kills, %d syncs, %d times something was left behind", kills, syncs, leftovers)
	if syncs < kills/2 || leftovers == 0 {
		t.Errorf("%d syncs and %d leftovers by %d processes: nothing was tried", syncs, leftovers, kills)
	}
}

// generation checks that a mirror holds one generation and all of it, and returns which.
func generation(t *testing.T, m *Mirror) int {
	t.Helper()
	seen := map[string]int{}
	for _, a := range allOf(t, m) {
		seen[a.Comment]++
		if a.Comment != a.Event.Info {
			t.Fatalf("an attribute of generation %s in an event of %s", a.Comment, a.Event.Info)
		}
	}
	n, err := strconv.Atoi(m.States()[0].Tag)
	must(t, err)
	want := perGeneration + n%7
	if len(seen) != 1 || seen[strconv.Itoa(n)] != want || m.States()[0].Attributes != want {
		t.Fatalf("generation %d: %v, want %d", n, seen, want)
	}
	return n
}

func syncUntilKilled(t *testing.T, dir string) {
	y := newSyncer(t, dir, time.Now)
	y.testOnlyLeastBase = 150
	g := &generations{}
	if state, err := loadState(dir + "/gen"); err == nil {
		g.last, err = strconv.Atoi(state.Tag)
		must(t, err)
	}
	fmt.Println("begin")
	for {
		if _, err := y.Sync(t.Context(), g, false); err != nil {
			fmt.Println("error", err)
			return
		}
		fmt.Println("done", g.last)
	}
}
