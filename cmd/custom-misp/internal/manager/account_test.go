package manager

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAllowed decides by owner, group and others as the kernel does: the first that fits counts, also if it allows less.
func TestAllowed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name := filepath.Join(dir, "file")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 { // whom modes do not concern
		if err := os.Chown(name, 4711, 4712); err != nil {
			t.Fatal(err)
		}
	}
	st, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	uid, gid := Owner(st)
	owner := Account{UID: uid, Groups: []uint32{gid}}
	group, other := Account{UID: uid + 1, Groups: []uint32{gid + 7, gid}}, Account{UID: uid + 1, Groups: []uint32{gid + 7}}
	root := Account{UID: 0}
	tests := []struct {
		who  Account
		mode fs.FileMode
		want fs.FileMode
		may  bool
	}{
		{group, 0o640, MayRead, true},
		{group, 0o640, MayWrite, false},
		{group, 0o604, MayRead, false}, // what others may, the group may not
		{group, 0o660, MayRead | MayWrite, true},
		{group, 0o640, MayRead | MayWrite, false},
		{other, 0o660, MayRead, false},
		{other, 0o604, MayRead, true},
		{other, 0o771, MayRun, true},
		{root, 0o000, MayRead | MayWrite, true},
		{root, 0o600, MayRun, false},
		{root, 0o100, MayRun, true},
		{owner, 0o400, MayRead, true},
		{owner, 0o077, MayRead, false}, // what others may, the owner may not
	}
	for _, tt := range tests {
		if err := os.Chmod(name, tt.mode); err != nil {
			t.Fatal(err)
		}
		st, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := tt.who.Allowed(st, tt.want); got != tt.may {
			t.Errorf("uid %d, groups %v, mode %04o, want %o: %t", tt.who.UID, tt.who.Groups, tt.mode, tt.want, got)
		}
	}
}

// TestMay also looks at the directories on the way to a file, up to Wazuh's own.
func TestMay(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	dir, name := filepath.Join(home, "etc"), filepath.Join(home, "etc/file")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	uid, gid := Owner(st)
	i := &Installation{Home: home, User: Account{Name: "wazuh", UID: uid + 1, Groups: []uint32{gid}, IsWazuh: true}}
	for _, tt := range []struct {
		dir, file fs.FileMode
		want      string // "" for may
	}{
		{0o750, 0o640, ""},
		{0o750, 0o600, "user wazuh must not read " + name},
		{0o700, 0o640, "user wazuh must not go through " + dir},
	} {
		if err := os.Chmod(dir, tt.dir); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(name, tt.file); err != nil {
			t.Fatal(err)
		}
		if err := i.May(name, MayRead); (err == nil) != (tt.want == "") || err != nil && !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("modes %04o, %04o: %v, want %q", tt.dir, tt.file, err, tt.want)
		}
	}
	if err := i.May(filepath.Join(home, "gone"), MayRead); err == nil {
		t.Error("a file that is not there may be read")
	}
}
