package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"custom-misp/cmd/custom-misp/internal/wazuhtest"
	"custom-misp/engine/atomicfile"
	"custom-misp/engine/enrich"
	"custom-misp/engine/wazuh/alertlog"
)

const listConfig = "lookup: {policy: mirror}\nmirror: {misp: false, lists: [local=etc/list.txt]}\n"

// damages are what can happen to a state file.
var damages = []struct {
	name string
	do   func(file string) error
}{
	{"empty", func(file string) error { return os.Truncate(file, 0) }},
	{"cut", func(file string) error { return os.Truncate(file, 100) }},
	{"bit flipped", func(file string) error {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		data[60] ^= 4
		return os.WriteFile(file, data, 0o600)
	}},
	{"zeros", func(file string) error { return os.WriteFile(file, make([]byte, 300), 0o600) }},
	{"a pipe", func(file string) error { return errors.Join(os.Remove(file), syscall.Mkfifo(file, 0o600)) }},
	{"a directory", func(file string) error { return errors.Join(os.Remove(file), os.Mkdir(file, 0o700)) }},
}

// TestServeDamagedCheckpoint damages the checkpoint while serve does not run and alerts go on into the next files. All are
// looked up, each once, with the copy of the checkpoint and without it.
func TestServeDamagedCheckpoint(t *testing.T) {
	t.Parallel()
	built := newManager(t)
	for _, damage := range damages {
		t.Run(damage.name, func(t *testing.T) { serveDamagedCheckpoint(t, built, damage.do) })
		t.Run(damage.name+", no copy", func(t *testing.T) {
			serveDamagedCheckpoint(t, built, func(file string) error {
				return errors.Join(damage.do(file), os.Remove(filepath.Join(filepath.Dir(file), "checkpoint.previous.json")))
			})
		})
	}
}

func serveDamagedCheckpoint(t *testing.T, built *testManager, damage func(file string) error) {
	r := newResident(t, built, listConfig)
	r.start(t)
	r.until(t, "the mirror is there", func() bool { return r.status().Ready })
	r.alerts.add("1", listHit)
	first := r.alerts.turn()
	r.alerts.add("2", listHit)
	r.expectHits(t, "1", "2")
	r.stop(t)

	r.alerts.add("3", listHit)
	r.alerts.turn()
	r.alerts.add("4", listHit)
	if err := wazuhtest.Compress(first, nil); err != nil {
		t.Fatal(err)
	}
	checkpoint := filepath.Join(r.home, "logs/custom-misp/checkpoint.json")
	if err := damage(checkpoint); err != nil {
		t.Fatal(err)
	}
	r.start(t)
	r.expectHits(t, "1", "2", "3", "4")
	if n := r.says("error state_damaged"); n != 1 {
		t.Errorf("%d events about it: %v", n, r.told())
	}
	if n := r.metric(`state_damaged_total{file="checkpoint"}`); n != "1" {
		t.Errorf("counted %q times", n)
	}
	if n := r.logged("ERROR: a state file was damaged"); n != 1 {
		t.Errorf("logged %d times", n)
	}
	r.stop(t)
	if _, err := os.Lstat(checkpoint + ".broken"); err != nil {
		t.Error(err)
	}
	if _, ok, err := alertlog.LoadCheckpoint(checkpoint); !ok || err != nil {
		t.Errorf("afterwards: %t, %v", ok, err)
	}
}

// TestServeNewerCheckpoint starts serve over the checkpoint of a later program: it ends, says what to do, and leaves the
// file as it is.
func TestServeNewerCheckpoint(t *testing.T) {
	t.Parallel()
	r := newResident(t, newManager(t), listConfig)
	name := filepath.Join(r.home, "logs/custom-misp/checkpoint.json")
	if err := os.MkdirAll(filepath.Dir(name), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := atomicfile.WriteJSON(name, 2, alertlog.Checkpoint{}, atomicfile.Volatile); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	r.begin(t)
	<-r.ended
	if code := r.cmd.ProcessState.ExitCode(); code != 1 || r.logged(name+" has version 2, and this program knows up to 1; it is left untouched") != 1 {
		t.Errorf("exit code %d, %s", code, r.out)
	}
	if after, err := os.ReadFile(name); err != nil || string(after) != string(before) {
		t.Errorf("it was changed: %s, %v", after, err)
	}
}

// TestServeDamagedState damages the other state files, which have no checksum yet: serve starts, says which, and does its
// work.
func TestServeDamagedState(t *testing.T) {
	t.Parallel()
	built := newManager(t)
	for _, damage := range damages {
		files := []string{"misp.json", "queue.json", "sent"}
		switch damage.name {
		case "bit flipped": // nothing shows it in a file without a checksum
			continue
		case "empty", "cut", "zeros": // that are keys
			files = files[:2]
		}
		t.Run(damage.name, func(t *testing.T) { serveDamagedState(t, built, files, damage.do) })
	}
}

func serveDamagedState(t *testing.T, built *testManager, files []string, damage func(file string) error) {
	r := newResident(t, built, listConfig)
	state := filepath.Join(r.home, "logs/custom-misp")
	if err := os.CopyFS(state, os.DirFS("../../testdata/state-unversioned")); err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if err := damage(filepath.Join(state, name)); err != nil {
			t.Fatal(err)
		}
	}
	r.start(t)
	r.alerts.add("1", listHit)
	r.expectHits(t, "1")
	for _, file := range files {
		name := strings.TrimSuffix(file, ".json")
		if got := r.metric(`state_damaged_total{file="` + name + `"}`); got != "1" {
			t.Errorf("%s: counted %q times", name, got)
		}
		if _, err := os.Lstat(filepath.Join(state, file+".broken")); err != nil {
			t.Error(err)
		}
	}
	r.stop(t)
	for _, f := range []string{"misp.json", "queue.json"} {
		if _, err := (enrich.OutageFile{Path: filepath.Join(state, f)}).Load(); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	}
}

// TestPipesInState puts a pipe in the place of every state file and of the log, as who can write there may do: no verb waits
// for the other end. The queue is absent, so that a call writes to most of them.
func TestPipesInState(t *testing.T) {
	t.Parallel()
	r := newResident(t, newManager(t), "")
	state := filepath.Join(r.home, "logs/custom-misp")
	r.misp.Fault(down)
	alert := r.alert(t, []byte(hostAlert("1", liveHit)))
	for _, name := range []string{
		"logs/custom-misp/misp.json", "logs/custom-misp/misp.json.lock", "logs/custom-misp/queue.json", "logs/custom-misp/queue.json.lock",
		"logs/custom-misp/sent", "logs/custom-misp/sent.1", "logs/custom-misp/checkpoint.json", "logs/custom-misp/checkpoint.previous.json",
		"logs/custom-misp/serve.lock", "logs/custom-misp/spool/lock", "logs/custom-misp/told.misp_unavailable",
		"logs/custom-misp/told.spool_fault", "logs/integrations.log",
	} {
		name = filepath.Join(r.home, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o750), syscall.Mkfifo(name, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{
		{"status"}, {"doctor"}, {"spool"}, {"spool", "drain"}, {"spool", "retry"}, {"serve"}, {alert, "", "", "--home", r.home},
	} {
		cmd, out := r.command(append(args, "--home", r.home)...)
		cmd.Args[0] = "custom-misp"
		if args[0] == alert {
			cmd, out = r.command(args...)
		}
		cmd.Env = append(cmd.Env, r.settings()...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		stuck := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		if !stuck.Stop() {
			t.Errorf("%v hangs: %s", args, out)
		}
	}
	if left, err := filepath.Glob(filepath.Join(state, "spool/alerts/*.json")); err != nil || len(left) != 1 {
		t.Errorf("the alert is not queued: %v, %v", left, err)
	}
}
