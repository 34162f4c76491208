package atomicfile

import "sync"

// A Background runs a function on a goroutine of its own, so that no one waits for a slow disk. The zero value is ready.
type Background struct {
	mu    sync.Mutex
	again bool          // Run was called since the present run began
	ended chan struct{} // closed when nothing runs any more; nil if nothing does
}

// Run runs f once more. It does not wait. All calls that come during a run are one further run, which begins when the present
// one has ended. f is to be the same in all calls.
func (b *Background) Run(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.again = true
	if b.ended == nil {
		b.ended = make(chan struct{})
		go b.work(f)
	}
}

func (b *Background) work(f func()) {
	for b.next() {
		f()
	}
}

// next reports whether a further run is wanted; if not, the goroutine ends.
func (b *Background) next() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.again {
		b.again = false
		return true
	}
	close(b.ended)
	b.ended = nil
	return false
}

// Wait waits until nothing runs.
func (b *Background) Wait() {
	b.mu.Lock()
	ended := b.ended
	b.mu.Unlock()
	if ended != nil {
		<-ended
	}
}
