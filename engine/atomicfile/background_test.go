package atomicfile_test

import (
	"testing"

	"custom-misp/engine/atomicfile"
)

// TestBackground calls many times during a run: that is one further run, and Wait waits for it.
func TestBackground(t *testing.T) {
	var b atomicfile.Background
	b.Wait() // nothing runs
	runs, began, goOn := 0, make(chan bool), make(chan bool)
	run := func() {
		runs++
		began <- true
		<-goOn
	}
	b.Run(run)
	<-began
	for range 100 {
		b.Run(run)
	}
	waited := make(chan bool)
	go func() { b.Wait(); close(waited) }()
	goOn <- true
	<-began
	select {
	case <-waited:
		t.Error("Wait did not wait for the second run")
	default:
	}
	goOn <- true
	<-waited
	b.Wait()
	if runs != 2 {
		t.Errorf("%d runs, want 2", runs)
	}
	b.Run(run)
	<-began
	goOn <- true
	b.Wait()
	if runs != 3 {
		t.Errorf("%d runs, want 3", runs)
	}
}
