package mirror

import (
	"io/fs"
	"sync/atomic"
)

// A view has the sets of all sources at one moment. It counts its users: the Mirror while the view is the current one, and each
// running look-up. The last user to release it releases the snapshots.
type view struct {
	sets  []*set
	users atomic.Int64
}

// set is the snapshot of one source. Several views share a set that has not changed; each is a user of its snapshot.
type set struct {
	name     string
	snapshot *snapshot   // nil if there is none yet
	identity string      // tells its files from those of other sets of the source; empty if there are none
	state    fs.FileInfo // of the state file that the snapshot was opened by; nil to open it again at the next refresh
	err      error       // why there is no snapshot, or no newer one
	lists    listPatterns
}

// set returns the set of a source; nil for none.
func (v *view) set(name string) *set {
	if v == nil {
		return nil
	}
	for _, s := range v.sets {
		if s.name == name {
			return s
		}
	}
	return nil
}

// retain adds a user. It fails if the last one has released the view already.
func (v *view) retain() bool {
	for {
		n := v.users.Load()
		if n == 0 {
			return false
		}
		if v.users.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// release ends the use by one user.
func (v *view) release() {
	if v.users.Add(-1) > 0 {
		return
	}
	for _, s := range v.sets {
		s.snapshot.release()
	}
}
