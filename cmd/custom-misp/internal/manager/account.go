package manager

import (
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
)

// An Account is a user with their groups, as the mode of a file sees them.
type Account struct {
	Name, Group string
	UID         uint32
	Groups      []uint32
	IsWazuh     bool // Wazuh's own; otherwise the user who runs this program stands in for it
}

// WazuhAccount returns the user that integratord runs as. On a machine without one it returns the user of this
// process, but with the names that a command for a Wazuh manager has to use.
func WazuhAccount() Account {
	for _, a := range []Account{{Name: "wazuh", Group: "wazuh"}, {Name: "ossecm", Group: "ossec"}} { // ossecm: before 4.3
		u, err := user.Lookup(a.Name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			continue
		}
		a.UID, a.IsWazuh = uint32(uid), true
		ids, err := u.GroupIds()
		if err != nil {
			ids = []string{u.Gid}
		}
		for _, id := range ids {
			if gid, err := strconv.ParseUint(id, 10, 32); err == nil {
				a.Groups = append(a.Groups, uint32(gid))
			}
		}
		return a
	}
	a := Account{Name: "wazuh", Group: "wazuh", UID: uint32(os.Geteuid())} //nolint:gosec // -1 on systems without, which have no owners either
	groups, _ := os.Getgroups()
	for _, gid := range append(groups, os.Getegid()) {
		a.Groups = append(a.Groups, uint32(gid)) //nolint:gosec // as above
	}
	return a
}

// String returns the account as a subject of a sentence.
func (a Account) String() string {
	if !a.IsWazuh {
		return "this user"
	}
	return "user " + a.Name
}

// What an account may do to a file: the bits of its mode.
const (
	MayRead  fs.FileMode = 4
	MayWrite fs.FileMode = 2
	MayRun   fs.FileMode = 1 // of a directory: go through it
)

// Allowed reports whether the mode of a file lets the account do what is wanted.
func (a Account) Allowed(st fs.FileInfo, want fs.FileMode) bool {
	uid, gid := Owner(st)
	mode := st.Mode().Perm()
	switch {
	case a.UID == 0:
		return want&MayRun == 0 || st.IsDir() || mode&0o111 != 0
	case a.UID == uid:
		mode >>= 6
	case slices.Contains(a.Groups, gid):
		mode >>= 3
	}
	return mode&want == want
}

// May returns why integratord's account may not do what is wanted to a file or directory, nil if it may. It goes by
// modes, because doctor runs as root more often than as that user.
func (i *Installation) May(path string, want fs.FileMode) error {
	st, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !i.User.Allowed(st, want) {
		return fmt.Errorf("%s must not %s %s (owner %s, mode %04o)", i.User, verbOf(want), path, ShownOwner(st), st.Mode().Perm())
	}
	for dir := filepath.Dir(path); dir != i.Home && dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if st, err := os.Stat(dir); err == nil && !i.User.Allowed(st, MayRun) {
			return fmt.Errorf("%s must not go through %s (mode %04o)", i.User, dir, st.Mode().Perm())
		}
	}
	return nil
}

// Owner returns the numbers of a file's owner and group.
func Owner(st fs.FileInfo) (uid, gid uint32) {
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		return sys.Uid, sys.Gid
	}
	return 0, 0
}

func verbOf(want fs.FileMode) string {
	switch {
	case want&MayWrite != 0:
		return "write to"
	case want&MayRead != 0:
		return "read"
	}
	return "run"
}

// ShownOwner returns "root:wazuh", with numbers for what has no name.
func ShownOwner(st fs.FileInfo) string {
	uid, gid := Owner(st)
	owner, group := strconv.FormatUint(uint64(uid), 10), strconv.FormatUint(uint64(gid), 10)
	if u, err := user.LookupId(owner); err == nil {
		owner = u.Username
	}
	if g, err := user.LookupGroupId(group); err == nil {
		group = g.Name
	}
	return owner + ":" + group
}
