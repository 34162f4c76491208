package main

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"custom-misp/cmd/custom-misp/internal/wazuhtest"
	"custom-misp/engine/atomicfile"
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
