package app

import (
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"

	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/cmd/custom-misp/internal/config"
)

// OpenLog opens the log. One that cannot be opened must not cost an alert: that is said on standard error, and what
// would be written goes elsewhere, as it does if there is to be no log.
func OpenLog(c *config.Config, stderr, elsewhere io.Writer) (log *slog.Logger, closeLog func()) {
	w, closer := elsewhere, func() {}
	if c.Log.File != "" {
		// A pipe that no one reads is an error, too: opening it would wait.
		f, err := os.OpenFile(filepath.Clean(c.Log.File), os.O_APPEND|os.O_CREATE|os.O_WRONLY|syscall.O_NONBLOCK, 0o640) //nolint:gosec // as Wazuh has it: for its group
		if err != nil {
			cli.PrintError(stderr, "custom-misp: log.file", err)
		} else {
			w, closer = f, func() { _ = f.Close() }
		}
	}
	return cli.NewLog(w, c.Log.Level, c.Log.JSON), closer
}
