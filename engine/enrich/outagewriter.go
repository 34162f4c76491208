package enrich

import (
	"sync"

	"custom-misp/engine/atomicfile"
)

// An OutageWriter writes the changes of one [OutageFile] in the background, many at once if the disk is slow, so that no
// look-up waits for it. All OutageFiles of a path in a process share one. While the file cannot be written, its content in
// memory counts. The zero value is ready.
type OutageWriter struct {
	writing atomicfile.Background

	mu      sync.Mutex
	now     Outage          // what the file is to be
	changes []func(*Outage) // that are not being written yet
	behind  bool            // the file is not what now says
	logged  string          // the last error
	run     func()          // writes once more
}

// maxChanges bounds those that wait for a disk that hangs. Further ones are in memory only.
const maxChanges = 10_000

// unwritten returns the content of the file while that is not on disk. A nil writer has none.
func (w *OutageWriter) unwritten() (Outage, bool) {
	if w == nil {
		return Outage{}, false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now, w.behind
}

func (w *OutageWriter) change(f OutageFile, change func(*Outage)) Outage {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.behind {
		w.now, _ = f.read() // other processes change it too
		w.behind = true
	}
	change(&w.now)
	if len(w.changes) < maxChanges {
		w.changes = append(w.changes, change)
	}
	w.run = func() { w.write(f) }
	w.writing.Run(w.run)
	return w.now
}

// write applies the changes to what the file is now, which another process may have changed.
func (w *OutageWriter) write(f OutageFile) {
	w.mu.Lock()
	changes := w.changes
	w.changes = nil
	w.mu.Unlock()
	_, err := f.write(func(o *Outage) {
		for _, change := range changes {
			change(o)
		}
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.changes = append(changes, w.changes...)
		w.changes = w.changes[:min(len(w.changes), maxChanges)]
		if err.Error() != w.logged {
			logTo(f.Log).Error("outage not recorded", "error", err.Error())
		}
		w.logged = err.Error()
		return
	}
	w.logged = ""
	w.behind = len(w.changes) > 0
}

// Close waits until all is written. What could not be written is tried once more.
func (w *OutageWriter) Close() {
	w.writing.Wait()
	if _, behind := w.unwritten(); behind {
		w.writing.Run(w.run)
		w.writing.Wait()
	}
}
