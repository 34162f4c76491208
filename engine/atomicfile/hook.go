package atomicfile

import (
	"slices"
	"sync"
	"sync/atomic"
)

// A Step is one step of replacing a file, or of making a directory.
type Step string

// The steps of a durable replacement, in their order. The last one also follows StepMkdir.
const (
	StepCreate  Step = "create"
	StepWrite   Step = "write"
	StepSync    Step = "sync"
	StepRename  Step = "rename"
	StepSyncDir Step = "sync directory"
	StepMkdir   Step = "make directory"
)

// hooks are those of tests; there are none in production.
var hooks struct {
	any  atomic.Bool
	mu   sync.Mutex
	list []*func(Step, string) error
}

// TestOnlyHook makes every step call hook first, with the name of the file that is replaced, or of the directory that is
// made or synced. If hook returns an error, the step fails with it and does nothing. It is for tests, which record the order
// of the steps or make one fail. Tests that run in parallel each see the steps of all. remove ends it.
func TestOnlyHook(hook func(s Step, name string) error) (remove func()) {
	hooks.mu.Lock()
	defer hooks.mu.Unlock()
	hooks.list = append(hooks.list, &hook)
	hooks.any.Store(true)
	return func() {
		hooks.mu.Lock()
		defer hooks.mu.Unlock()
		hooks.list = slices.DeleteFunc(slices.Clone(hooks.list), func(h *func(Step, string) error) bool { return h == &hook })
		hooks.any.Store(len(hooks.list) > 0)
	}
}

func step(s Step, name string) error {
	if !hooks.any.Load() {
		return nil
	}
	hooks.mu.Lock()
	list := hooks.list
	hooks.mu.Unlock()
	for _, h := range list {
		if err := (*h)(s, name); err != nil {
			return err
		}
	}
	return nil
}
