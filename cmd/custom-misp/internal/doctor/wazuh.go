package doctor

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/cmd/custom-misp/internal/manager"
	"custom-misp/engine/atomicfile"
)

// checkWazuh finds Wazuh and its version. Every other check of files needs it.
func (i *examination) checkWazuh(context.Context) []Finding {
	switch {
	case errors.Is(i.HomeErr, fs.ErrPermission):
		return []Finding{problem(i.asRoot("doctor"), "this user must not look into %s", i.Home)}
	case i.HomeErr != nil:
		return []Finding{problem("name Wazuh's directory with --home DIR", "there is no Wazuh in %s", i.Home)}
	case i.Version == "":
		return []Finding{good("%s, of a version that no file in it tells", i.Home)}
	case i.Since(5, 0):
		return []Finding{problem("use custom-misp on a manager of Wazuh 4", "Wazuh %s has no integratord, which starts this program", i.Version)}
	}
	return []Finding{good("Wazuh %s in %s", i.Version, i.Home)}
}

// checkProgram looks for the file that integratord starts.
func (i *examination) checkProgram(context.Context) []Finding {
	st, err := os.Stat(i.Program)
	name := filepath.Base(i.Program)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		from := i.Self
		if from == "" {
			from = "custom-misp"
		}
		return []Finding{problem(fmt.Sprintf("install -o root -g %s -m 0750 %s %s && %s", i.User.Group, from, i.Program, i.restart()),
			"%s is not there; integratord then leaves the integration off until its next start", i.Program)}
	case err != nil:
		return []Finding{problem(i.asRoot("doctor"), "%v", err)}
	case !st.Mode().IsRegular():
		return []Finding{problem("put the program in its place", "%s is not a file", i.Program)}
	case !strings.HasPrefix(name, "custom-"):
		to := filepath.Join(filepath.Dir(i.Program), "custom-misp")
		return []Finding{problem(fmt.Sprintf("mv %s %s", i.Program, to), "%s: integratord takes names that begin with custom- only", i.Program)}
	}
	if i.isAnother() {
		return []Finding{warning(fmt.Sprintf("install -o root -g %s -m 0750 %s %s.new && mv %s.new %s", i.User.Group, i.Self, i.Program, i.Program, i.Program),
			"%s is another version than %s, which runs now", i.Program, i.Self)}
	}
	return []Finding{good("%s", i.Program)}
}

// isAnother reports whether integratord starts another program than this one, which a package or an administrator has put
// elsewhere under the same name.
func (i *examination) isAnother() bool {
	if filepath.Base(i.Self) != "custom-misp" || i.Self == i.Program {
		return false
	}
	mine, err := atomicfile.OpenRegular(i.Self)
	if err != nil {
		return false
	}
	defer mine.Close() //nolint:errcheck // only read
	other, err := atomicfile.OpenRegular(i.Program)
	if err != nil {
		return false
	}
	defer other.Close() //nolint:errcheck // only read
	a, b := sha256.New(), sha256.New()
	_, mineErr := io.Copy(a, mine)
	_, otherErr := io.Copy(b, other)
	return mineErr == nil && otherErr == nil && !bytes.Equal(a.Sum(nil), b.Sum(nil))
}

// checkRights looks at owner and mode of the program. integratord refuses a program that its own user can change.
func (i *examination) checkRights(context.Context) []Finding {
	st, err := os.Stat(i.Program)
	if err != nil {
		return []Finding{skipped("no program to look at")}
	}
	if !i.User.IsWazuh {
		return []Finding{skipped("there is neither a user wazuh nor ossecm on this machine; owner and mode are not checked")}
	}
	remedy := i.allow(i.Program, fmt.Sprintf("chown root:%s %s && chmod 0750 %s", i.User.Group, i.Program, i.Program))
	uid, _ := manager.Owner(st)
	shown := fmt.Sprintf("owner %s, mode %04o", manager.ShownOwner(st), st.Mode().Perm())
	switch {
	case i.User.Allowed(st, manager.MayWrite):
		return []Finding{problem(remedy, "%s can write to the program (%s); integratord refuses to start it", i.User, shown)}
	case i.May(i.Program, manager.MayRun) != nil:
		return []Finding{problem(remedy, "%v", i.May(i.Program, manager.MayRun))}
	case uid != i.root:
		return []Finding{warning(remedy, "the program belongs to another than root (%s), who can put his own in its place", shown)}
	}
	return []Finding{good("%s", shown)}
}

// checkQueue connects to the queue of analysisd. A connection without a datagram is nothing to analysisd.
func (i *examination) checkQueue(ctx context.Context) []Finding {
	path := app.QueuePath(i.config)
	start := i.start()
	if !i.config.Queue.Default {
		start = "set wazuh.queue to the socket of analysisd, which is " + i.config.FromHome("queue/sockets/queue") + " unless a manager was built otherwise"
	}
	st, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return []Finding{problem(start, "%s is not there; analysisd is not running", path)}
	case err != nil:
		return []Finding{problem(i.asRoot("doctor"), "%v", err)}
	case st.Mode().Type() != fs.ModeSocket:
		return []Finding{problem(start, "%s is not a socket", path)}
	}
	if err := i.May(path, manager.MayWrite); err != nil {
		return []Finding{problem(i.restart(), "%v", err)}
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unixgram", path)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return []Finding{problem(i.restart(), "%s is left over; analysisd is not running", path)}
	}
	if err != nil {
		return []Finding{problem(i.asRoot("doctor"), "%v", err)}
	}
	defer conn.Close() //nolint:errcheck // nothing was sent
	if full(conn) {
		return []Finding{problem(i.restart(), "%s is full: analysisd does not read it, or too slowly; events wait in the spool", path)}
	}
	return []Finding{good("%s has room", path)}
}

// checkRestart compares files that Wazuh reads when it starts with the socket, which analysisd makes when it does.
func (i *examination) checkRestart(context.Context) []Finding {
	socket, err := os.Stat(app.QueuePath(i.config))
	if err != nil {
		return []Finding{skipped("Wazuh is not running")}
	}
	names := []string{i.ConfFile()}
	for _, f := range i.ruleFiles() {
		if !f.excluded && f.ours() != nil {
			names = append(names, f.name)
		}
	}
	for _, name := range names {
		if st, err := os.Stat(name); err == nil && st.ModTime().Sub(socket.ModTime()) > time.Second {
			return []Finding{warning(i.restart(), "%s was changed after Wazuh started, which has not read it since", name)}
		}
	}
	return []Finding{good("Wazuh started after ossec.conf and the rules were last changed")}
}

// patience is how long a full queue gets to have room again: analysisd reads in bursts.
const patience = 300 * time.Millisecond

// full reports whether a datagram would have to wait. It sends none: a connected socket can be written to as soon as the
// queue of its peer has room.
func full(conn net.Conn) bool {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	waits := false
	err = raw.Control(func(fd uintptr) {
		var set syscall.FdSet
		const most = 1024 // numbers of files that select can look at
		if fd >= most {
			return
		}
		size := most / uintptr(len(set.Bits))
		set.Bits[fd/size] |= 1 << (fd % size)
		wait := syscall.NsecToTimeval(patience.Nanoseconds())
		n, err := syscall.Select(int(fd)+1, nil, &set, nil, &wait) //nolint:gosec // the number of a file
		waits = err == nil && n == 0
	})
	return err == nil && waits
}
