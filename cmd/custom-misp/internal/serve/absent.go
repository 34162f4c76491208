package serve

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"custom-misp/engine/enrich"
)

// absentAfter is how long the file of alerts may be absent before that is a fault: it is for a moment while Wazuh begins a new
// one, and for a little longer when it starts after serve.
const absentAfter = time.Minute

// An absence remembers since when the file of alerts is absent: a path that is wrong looks like a manager without alerts.
type absence struct {
	mu    sync.Mutex
	file  string
	since time.Time // zero while it is there
}

// look notes whether the file is there.
func (a *absence) look(file string, now time.Time) {
	_, err := os.Stat(file)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.file = file
	switch {
	case file == "" || !errors.Is(err, fs.ErrNotExist):
		a.since = time.Time{}
	case a.since.IsZero():
		a.since = now
	}
}

// err returns what is wrong; nil while the file is there, and for a moment without it.
func (a *absence) err(now time.Time) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.since.IsZero() || now.Sub(a.since) < absentAfter {
		return nil
	}
	return fmt.Errorf("%s does not exist since %s: no alert is read", a.file, a.since.UTC().Format(time.RFC3339))
}

// reportAbsence reports files of alerts that do not exist.
func (v *server) reportAbsence(ctx context.Context) {
	for _, f := range v.files {
		if err := f.absent.err(time.Now()); err != nil {
			v.current.Load().app.Chain.Report(ctx, enrich.Alert{}, &enrich.Trouble{Code: enrich.CodeAlerts, Err: err, Remedy: f.mend()})
		}
	}
}

// mend says what to do about a file that does not exist.
func (f *alertsFile) mend() string {
	if f.Archive {
		return "set <logall_json> to yes, or take the file out of serve.alerts"
	}
	return "set serve.alerts to the file that analysisd writes, or <jsonout_output> to yes"
}

// absence returns why alerts are not read; nil if all files exist.
func (v *server) absence(now time.Time) error {
	for _, f := range v.files {
		if err := f.absent.err(now); err != nil {
			return err
		}
	}
	return nil
}
