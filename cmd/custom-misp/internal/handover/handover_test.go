package handover

import (
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// lock makes a lock file and holds it, as serve does.
func lock(t *testing.T, name string) *os.File {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(name), 0o750))
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	must(t, err)
	t.Cleanup(func() { _ = f.Close() })
	must(t, syscall.Flock(int(f.Fd()), syscall.LOCK_EX))
	return f
}

// TestReadWithoutNote relies on no note that is not whole, or does not say how large the spool may be.
func TestReadWithoutNote(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), LockFile)
	if _, running, _ := Read(name); running {
		t.Error("runs without a lock")
	}
	f := lock(t, name)
	write := func(text string) {
		must(t, f.Truncate(0))
		_, err := f.WriteAt([]byte(text), 0)
		must(t, err)
	}
	good := Note{PID: 1, MaxEntries: 5, MaxMiB: 5, Reads: &Reads{Inode: 123, Since: 456, After: 789}}
	whole := string(good.text())
	write(whole + "the rest of a longer one")
	if n, running, ok := Read(name); !running || !ok || n.PID != 1 || *n.Reads != *good.Reads {
		t.Errorf("note %q: %+v, %t, %t", whole, n, running, ok)
	}
	bad := []string{"", "{", string(versionTwo()), `{"pid":1}`, `{"max_entries":5,"max_mib":5}` + "\n", strings.Repeat("x", 2*maxNote)}
	for _, n := range []Note{{MaxMiB: 1}, {MaxEntries: 5, MaxMiB: -1}} {
		bad = append(bad, string(n.text()))
	}
	for i := range whole {
		bad = append(bad, whole[:i])
		bad = append(bad, whole[:i]+string(whole[i]^1)+whole[i+1:])
	}
	for _, text := range bad {
		write(text)
		if n, running, ok := Read(name); !running || ok {
			t.Errorf("note %q: %+v, running %t", text, n, running)
		}
	}
	must(t, f.Close())
	if _, running, _ := Read(name); running {
		t.Error("runs after its end")
	}
}

// versionTwo is a note of a later program.
func versionTwo() []byte {
	data := []byte(`{"version":2,"max_entries":5,"max_mib":5}`)
	return fmt.Appendf(nil, "%s %08x\n", data, crc32.ChecksumIEEE(data))
}

// TestWillRead asks which alerts a serve reads itself. What cannot be told is not.
func TestWillRead(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "alerts.json")
	must(t, os.WriteFile(file, nil, 0o600))
	st, err := os.Stat(file)
	must(t, err)
	inode := st.Sys().(*syscall.Stat_t).Ino
	reads := &Reads{Inode: inode, Since: 1000, After: 500}
	for _, tt := range []struct {
		name, file, id string
		reads          *Reads
		want           bool
	}{
		{"later", file, "1001.501", reads, true},
		{"nothing is said", file, "1001.501", nil, false},
		{"the second in which it began", file, "1000.501", reads, false},
		{"earlier", file, "999.501", reads, false},
		{"the last one before", file, "1001.500", reads, false},
		{"one before, after the clock was set back", file, "1001.7", reads, false},
		{"first of a new file, or no alerts.log", file, "1001.0", &Reads{Inode: inode, Since: 1000}, false},
		{"in a new file", file, "1001.1", &Reads{Inode: inode, Since: 1000}, true},
		{"another file", file, "1001.501", &Reads{Inode: inode + 1, Since: 1000, After: 500}, false},
		{"no file", file + "x", "1001.501", reads, false},
		{"no offset", file, "1001", reads, false},
		{"no id", file, "", reads, false},
		{"an id that is no number", file, "1001.5o1", reads, false},
		{"a negative one", file, "1001.-501", reads, false},
		{"a large one", file, "1001.99999999999999999999", reads, false},
	} {
		if got := (Note{Reads: tt.reads}).WillRead(tt.file, tt.id); got != tt.want {
			t.Errorf("%s: %t", tt.name, got)
		}
	}
}

// TestLeftToServe asks of several command lines whether they are calls that need do nothing.
func TestLeftToServe(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	f := lock(t, filepath.Join(home, StateDir, LockFile))
	alerts := filepath.Join(home, AlertsFile)
	must(t, os.MkdirAll(filepath.Dir(alerts), 0o750))
	must(t, os.WriteFile(alerts, nil, 0o600))
	st, err := os.Stat(alerts)
	must(t, err)
	must(t, Note{MaxEntries: 1, MaxMiB: 1, Reads: &Reads{Inode: st.Sys().(*syscall.Stat_t).Ino, Since: 1000, After: 500}}.Write(f))
	write := func(name, text string) string {
		name = filepath.Join(home, name)
		must(t, os.WriteFile(name, []byte(text), 0o600))
		return name
	}
	good := write("good.alert", `{"timestamp":"x","id":"1001.501"}`+"\n")
	const program = "integrations/custom-misp"
	for _, tt := range []struct {
		name    string
		program string
		environ []string
		args    []string
		want    bool
	}{
		{"a call", program, nil, []string{"integrations", good, "", "", "", "", "10", "3", "> /dev/null 2>&1"}, true},
		{"of Wazuh 4.0", program, []string{"PATH=/bin"}, []string{"integrations/integrations", good, "", "", " > /dev/null 2>&1"}, true},
		{"debug", program, nil, []string{"integrations", good, "", "", "debug"}, false},
		{"by hand", program, nil, []string{"custom-misp", good}, false},
		{"with a flag", program, nil, []string{"integrations", good, "--config=x"}, false},
		{"a setting in the environment", program, []string{"CUSTOM_MISP_STATE_DIR=x"}, []string{"integrations", good}, false},
		{"no file", program, nil, []string{"integrations"}, false},
		{"another home", "elsewhere/integrations/custom-misp", nil, []string{"integrations", good}, false},
		{"another directory", "bin/custom-misp", nil, []string{"integrations", good}, false},
		{"file is gone", program, nil, []string{"integrations", good + "x"}, false},
		{"earlier alert", program, nil, []string{"integrations", write("early.alert", `{"id":"1001.500"}`)}, false},
		{"no id", program, nil, []string{"integrations", write("none.alert", `{"data":{"id":"1001.501"}}`)}, false},
		{"half an alert", program, nil, []string{"integrations", write("half.alert", `{"id":"1001.501"`)}, false},
		{"too long", program, nil, []string{"integrations", write("long.alert", `{"id":"1001.501","x":"`+strings.Repeat("x", maxAlert)+`"}`)}, false},
	} {
		executable := func() (string, error) { return filepath.Join(home, tt.program), nil }
		if got := leftToServe(tt.args, executable, tt.environ); got != tt.want {
			t.Errorf("%s: %t", tt.name, got)
		}
	}
	if leftToServe([]string{"integrations", good}, func() (string, error) { return "", fmt.Errorf("unknown") }, nil) {
		t.Error("of a program whose place is not known")
	}
}

// TestPipe has a pipe in the place of the alert file, into which another user writes nothing: it is not waited for.
func TestPipe(t *testing.T) {
	name := filepath.Join(t.TempDir(), "pipe")
	must(t, syscall.Mkfifo(name, 0o600))
	silent, err := os.OpenFile(name, os.O_RDWR, 0)
	must(t, err)
	defer silent.Close() //nolint:errcheck // nothing was written
	if id, ok := idOf(name); ok {
		t.Errorf("id %q", id)
	}
}
