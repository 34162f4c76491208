package app

import (
	"io"
	"log/slog"
	"os"
	"path/filepath"
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
