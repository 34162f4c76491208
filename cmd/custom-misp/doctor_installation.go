package main

import (
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"custom-misp/engine/wazuh"
)

// An installation is what doctor looks at: the files of a Wazuh manager that have to do with this program, and the
// settings that it runs with there.
type installation struct {
	s           *settings
	settingsErr error // why s is not complete

	open    bool   // Wazuh's directory is there, and can be looked into
	home    error  // why not
	version string // of Wazuh, like 4.14.7; "" if no file tells
	program string // the file that integratord starts, there or not
	self    string // the file of this program; "" if not known

	conf    wazuh.Conf
	confErr error
	blocks  []wazuh.Integration // those of conf that are for this program

	user account          // integratord's
	root uint32           // who has to own the program: 0, but in tests
	now  func() time.Time // clock
}

// readInstallation reads what the checks have in common. What fails is for a check to tell.
func readInstallation(g globalFlags) *installation {
	i := &installation{user: wazuhAccount(), now: time.Now}
	i.s, i.settingsErr = loadSettings(g, nil, nil)
	i.self, _ = os.Executable()
	i.program = i.s.fromHome(filepath.Join(wazuh.ProgramName, "custom-misp"))
	if in, err := os.Stat(filepath.Dir(i.self)); err == nil {
		if ours, err := os.Stat(filepath.Dir(i.program)); err == nil && os.SameFile(in, ours) {
			i.program = filepath.Join(filepath.Dir(i.program), filepath.Base(i.self))
		}
	}
	_, i.home = os.ReadDir(i.s.home)
	i.open = i.home == nil
	for _, name := range []string{"VERSION.json", "bin/wazuh-control", "etc/ossec-init.conf"} {
		if data, err := os.ReadFile(i.s.fromHome(name)); err == nil && i.version == "" {
			i.version = wazuh.ParseVersion(data)
		}
	}
	data, err := os.ReadFile(i.confFile())
	if err != nil {
		i.confErr = err
	} else {
		i.conf, i.confErr = wazuh.ParseConf(data)
	}
	for _, b := range i.conf.Integrations {
		if name := b.Text("name"); name == "custom-misp" || name == filepath.Base(i.program) {
			i.blocks = append(i.blocks, b)
		}
	}
	if len(i.blocks) > 0 {
		if err := i.layBlock(i.blocks[0]); i.settingsErr == nil {
			i.settingsErr = err
		}
	}
	return i
}

func (i *installation) confFile() string { return i.s.fromHome("etc/ossec.conf") }

// layBlock lays over the settings what integratord would pass on from its block.
func (i *installation) layBlock(b wazuh.Integration) error {
	if err := i.s.layOptionsText([]byte(b.Text("options"))); err != nil {
		return err
	}
	call := wazuh.Call{APIKey: b.Text("api_key"), HookURL: b.Text("hook_url"), Retries: -1}
	if i.since(4, 8) {
		call.Timeout, call.Retries = 10*time.Second, 3 // passed even if they are not set
		if n, err := strconv.Atoi(b.Text("timeout")); err == nil {
			call.Timeout = time.Duration(n) * time.Second
		}
		if n, err := strconv.Atoi(b.Text("retries")); err == nil {
			call.Retries = n
		}
	}
	return i.s.layCall(call)
}

// since reports whether Wazuh is of that version or a later one, which it is taken to be if nothing tells.
func (i *installation) since(major, minor int) bool {
	var gotMajor, gotMinor int
	if _, err := fmt.Sscanf(i.version, "%d.%d", &gotMajor, &gotMinor); err != nil {
		return true
	}
	return gotMajor > major || gotMajor == major && gotMinor >= minor
}

// An account is a user with his groups, as the mode of a file sees him.
type account struct {
	name, group string
	uid         uint32
	groups      []uint32
	wazuh       bool // Wazuh's own; otherwise it is the user who runs doctor, for want of that one
}

// wazuhAccount returns the user that integratord runs as. On a machine without one it returns the user of this
// process, but with the names that a command for a Wazuh manager has to use.
func wazuhAccount() account {
	for _, a := range []account{{name: "wazuh", group: "wazuh"}, {name: "ossecm", group: "ossec"}} { // ossecm: before 4.3
		u, err := user.Lookup(a.name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			continue
		}
		a.uid, a.wazuh = uint32(uid), true
		ids, err := u.GroupIds()
		if err != nil {
			ids = []string{u.Gid}
		}
		for _, id := range ids {
			if gid, err := strconv.ParseUint(id, 10, 32); err == nil {
				a.groups = append(a.groups, uint32(gid))
			}
		}
		return a
	}
	a := account{name: "wazuh", group: "wazuh", uid: uint32(os.Geteuid())} //nolint:gosec // -1 on systems without, which have no owners either
	groups, _ := os.Getgroups()
	for _, gid := range append(groups, os.Getegid()) {
		a.groups = append(a.groups, uint32(gid)) //nolint:gosec // as above
	}
	return a
}

// String returns the account as a subject of a sentence.
func (a account) String() string {
	if !a.wazuh {
		return "this user"
	}
	return "user " + a.name
}

// What an account may do to a file: the bits of its mode.
const (
	mayRead  fs.FileMode = 4
	mayWrite fs.FileMode = 2
	mayRun   fs.FileMode = 1 // of a directory: go through it
)

// may returns why the account may not do what is wanted to a file or directory, nil if it may. It goes by modes,
// because doctor runs as root more often than as that user.
func (i *installation) may(path string, want fs.FileMode) error {
	st, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !i.user.allowed(st, want) {
		uid, gid := ownerOf(st)
		return fmt.Errorf("%s must not %s %s (owner %s, mode %04o)", i.user, verbOf(want), path, shownOwner(uid, gid), st.Mode().Perm())
	}
	for dir := filepath.Dir(path); dir != i.s.home && dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if st, err := os.Stat(dir); err == nil && !i.user.allowed(st, mayRun) {
			return fmt.Errorf("%s must not go through %s (mode %04o)", i.user, dir, st.Mode().Perm())
		}
	}
	return nil
}

func (a account) allowed(st fs.FileInfo, want fs.FileMode) bool {
	uid, gid := ownerOf(st)
	mode := st.Mode().Perm()
	switch {
	case a.uid == 0:
		return want&mayRun == 0 || st.IsDir() || mode&0o111 != 0
	case a.uid == uid:
		mode >>= 6
	case slices.Contains(a.groups, gid):
		mode >>= 3
	}
	return mode&want == want
}

// ownerOf returns the numbers of a file's owner and group.
func ownerOf(st fs.FileInfo) (uid, gid uint32) {
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		return sys.Uid, sys.Gid
	}
	return 0, 0
}

func verbOf(want fs.FileMode) string {
	switch {
	case want&mayWrite != 0:
		return "write to"
	case want&mayRead != 0:
		return "read"
	}
	return "run"
}

// shownOwner returns "root:wazuh", with numbers for what has no name.
func shownOwner(uid, gid uint32) string {
	owner, group := strconv.FormatUint(uint64(uid), 10), strconv.FormatUint(uint64(gid), 10)
	if u, err := user.LookupId(owner); err == nil {
		owner = u.Username
	}
	if g, err := user.LookupGroupId(group); err == nil {
		group = g.Name
	}
	return owner + ":" + group
}

// writableDir checks a directory that the program writes to, and makes if it is not there.
func (i *installation) writableDir(dir string) finding {
	remedy := fmt.Sprintf("install -d -o %s -g %s -m 0770 %s", i.user.name, i.user.group, dir)
	st, err := os.Stat(dir)
	if err == nil && !st.IsDir() {
		return problem(remedy, "%s is not a directory", dir)
	}
	if err == nil {
		if err := i.may(dir, mayWrite|mayRun); err != nil {
			return problem(remedy, "%v", err)
		}
		return good("%s can be written to", dir)
	}
	above := filepath.Dir(dir)
	for above != filepath.Dir(above) {
		if _, err := os.Stat(above); err == nil {
			break
		}
		above = filepath.Dir(above)
	}
	if err := i.may(above, mayWrite|mayRun); err != nil {
		return problem(remedy, "%s is not there and cannot be made: %v", dir, err)
	}
	return good("%s is not there yet, and can be made", dir)
}
