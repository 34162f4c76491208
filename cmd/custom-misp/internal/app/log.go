package app

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/cmd/custom-misp/internal/config"
	"custom-misp/engine/atomicfile"
)

// OpenLog opens the log. One that cannot be opened must not cost an alert: that is said on standard error, and what
// would be written goes elsewhere, as it does if there is to be no log.
func OpenLog(c *config.Config, stderr, elsewhere io.Writer) (log *slog.Logger, closeLog func()) {
	w, closer := elsewhere, func() {}
	if c.Log.File != "" {
		f, err := openLog(c.Log.File, c.Home)
		if err != nil {
			cli.PrintError(stderr, "custom-misp: log.file", err)
		} else {
			w, closer = f, func() { _ = f.Close() }
		}
	}
	return cli.NewLog(w, c.Log.Level, c.Log.JSON), closer
}

// A ServeLog is the log of the daemon: the file, which can be opened anew after a rotation, and besides that standard error
// where someone sees it, on a terminal or in the journal of systemd.
type ServeLog struct {
	*slog.Logger
	name, home string

	mu   sync.Mutex
	file *os.File // nil for none
}

// OpenServeLog opens the log of the daemon. A file that cannot be opened is said on standard error, which then has the log.
func OpenServeLog(c *config.Config, stderr io.Writer) *ServeLog {
	l := &ServeLog{name: c.Log.File, home: c.Home}
	var handlers []slog.Handler
	if c.Log.File != "" {
		if err := l.Reopen(); err != nil {
			cli.PrintError(stderr, "custom-misp: log.file", err)
		} else {
			handlers = append(handlers, cli.NewLog(l, c.Log.Level, c.Log.JSON).Handler())
		}
	}
	switch {
	case isJournal(stderr):
		handlers = append(handlers, cli.NewJournal(stderr, c.Log.Level).Handler())
	case len(handlers) == 0 || cli.IsTerminal(stderr):
		handlers = append(handlers, cli.NewLog(stderr, c.Log.Level, c.Log.JSON).Handler())
	}
	l.Logger = slog.New(slog.NewMultiHandler(handlers...))
	return l
}

// Write implements io.Writer: it writes to the file.
func (l *ServeLog) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file.Write(line)
}

// Reopen opens the file anew, as its name may be another's now. With an error, the file stays that was open.
func (l *ServeLog) Reopen() error {
	f, err := openLog(l.name, l.home)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	old := l.file
	l.file = f
	if old != nil {
		_ = old.Close()
	}
	return nil
}

// HasFile reports whether the log is written to a file.
func (l *ServeLog) HasFile() bool { return l.file != nil }

// Close closes the file.
func (l *ServeLog) Close() {
	if l.file != nil {
		_ = l.file.Close()
	}
}

// isJournal reports whether what is written goes to the journal: systemd names the device and inode of its end.
func isJournal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	st, err := f.Stat()
	if err != nil {
		return false
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	return ok && os.Getenv("JOURNAL_STREAM") == fmt.Sprintf("%d:%d", sys.Dev, sys.Ino)
}

// openLog opens the file that the log is appended to. In Wazuh's directory others than root can put a link in its place, which
// is not followed. A pipe that no one reads is an error, too: opening it would wait.
func openLog(name, home string) (*os.File, error) {
	const flags = os.O_APPEND | os.O_CREATE | os.O_WRONLY
	name = filepath.Clean(name)
	if in, err := filepath.Rel(home, name); err == nil && filepath.IsLocal(in) {
		return atomicfile.Open(name, flags)
	}
	return os.OpenFile(name, flags|syscall.O_NONBLOCK, 0o640) //nolint:gosec // as Wazuh has it: for its group
}
