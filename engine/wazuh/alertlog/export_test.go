package alertlog

// Step reads once, as Next does between two waits.
func (f *Follower) Step() (lines Lines, more bool, err error) { return f.step() }

// Patience is how many waits a compressed file that ends too early is left time.
const Patience = patience
