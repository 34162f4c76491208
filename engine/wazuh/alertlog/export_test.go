package alertlog

// Step takes one step, as Next does between two waits.
func (f *Follower) Step() (lines Lines, more bool, err error) { return f.step() }

// Patience is after how many waits a compressed file that ends too early is left.
const Patience = giveUpWaits
