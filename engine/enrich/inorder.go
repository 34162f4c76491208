package enrich

import (
	"errors"
	"sync"
)

// errStopped ends a producer whose results are no longer wanted.
var errStopped = errors.New("stopped")

// InOrder does work on everything that produce yields, on up to window items at the same time, and passes the results
// to consume in the order of the items. After the first error of consume nothing more is produced or consumed. It
// returns that error, else that of produce, when everything that was begun has ended.
func InOrder[T, R any](window int, produce func(yield func(T) error) error, work func(T) R, consume func(R) error) error {
	order, stop := make(chan chan R, max(0, window-1)), make(chan struct{})
	var running sync.WaitGroup
	var produced error
	running.Go(func() {
		defer close(order)
		produced = produce(func(item T) error {
			result := make(chan R, 1)
			select {
			case <-stop:
				return errStopped
			case order <- result:
			}
			running.Go(func() { result <- work(item) })
			return nil
		})
	})
	var err error
	for result := range order {
		r := <-result
		if err == nil {
			if err = consume(r); err != nil {
				close(stop)
			}
		}
	}
	running.Wait()
	if err == nil && !errors.Is(produced, errStopped) {
		err = produced
	}
	return err
}
