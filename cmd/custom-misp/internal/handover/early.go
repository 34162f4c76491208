package handover

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// init ends a call whose alert serve reads itself. integratord runs one call at a time, so its rate is that of the alerts,
// and most of the time of such a call would go into initializing packages that it does not need. Go initializes packages
// in the order of their import paths, as far as what they import allows: this one comes before those of third parties and
// net/http, which halves the time of the call. Whatever is not plain is left to the main function, which does the same and
// says what is wrong.
func init() {
	if leftToServe(os.Args, os.Executable, os.Environ()) {
		os.Exit(0)
	}
}

// maxAlert is [enrich.MaxAlert], in bytes.
const maxAlert = 1 << 20

// leftToServe reports whether a command line is a call of integratord with an alert that a running serve reads itself, in
// an installation in which nothing but a file can name another state directory than the usual one.
func leftToServe(args []string, executable func() (string, error), environ []string) bool {
	const name = "integrations" // of the program and its directory
	if len(args) < 2 || filepath.Base(args[0]) != name || len(args) > 4 && args[4] == "debug" {
		return false
	}
	for _, a := range args[1:] {
		if strings.HasPrefix(a, "-") {
			return false // integratord passes no flags
		}
	}
	for _, e := range environ {
		if strings.HasPrefix(e, "CUSTOM_MISP_") {
			return false
		}
	}
	program, err := executable()
	if err != nil || filepath.Base(filepath.Dir(program)) != name {
		return false
	}
	home := filepath.Dir(filepath.Dir(program))
	note, _, whole := Read(filepath.Join(home, StateDir, LockFile))
	if !whole || note.Reads == nil {
		return false
	}
	id, ok := idOf(args[1])
	return ok && note.WillRead(filepath.Join(home, AlertsFile), id)
}

// idOf returns the id of the alert in a file.
func idOf(file string) (id string, ok bool) {
	f, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK, 0) //nolint:gosec // the file that integratord names
	if err != nil {
		return "", false
	}
	defer f.Close() //nolint:errcheck // only read
	// A pipe with a silent writer would be waited for.
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return "", false
	}
	data, err := io.ReadAll(io.LimitReader(f, maxAlert+1))
	if err != nil || len(data) > maxAlert {
		return "", false
	}
	var alert struct {
		ID string `json:"id"`
	}
	err = json.Unmarshal(data, &alert)
	return alert.ID, err == nil && alert.ID != ""
}
