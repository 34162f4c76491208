package main

import (
	"runtime"
	"sync"
)

// inOrder does work on everything that produce yields, on all cores, and hands the results over in the order of what
// they were made from. It ends with the first error of consume, or with that of produce, and holds a bounded number of
// things at a time.
func inOrder[T, R any](produce func(yield func(T) error) error, work func(T) R, consume func(R) error) error {
	const batch = 64
	type job struct {
		in  []T
		out chan []R
	}
	cores := runtime.GOMAXPROCS(0)
	jobs, order, stop := make(chan job, cores), make(chan chan []R, 2*cores), make(chan struct{})
	var workers sync.WaitGroup
	for range cores {
		workers.Go(func() {
			for j := range jobs {
				out := make([]R, len(j.in))
				for i, t := range j.in {
					out[i] = work(t)
				}
				j.out <- out
			}
		})
	}
	var produced error
	workers.Go(func() {
		defer close(order)
		defer close(jobs)
		var in []T
		flush := func() error {
			j := job{in, make(chan []R, 1)}
			in = nil
			select {
			case order <- j.out:
				jobs <- j
				return nil
			case <-stop:
				return errSilent
			}
		}
		produced = produce(func(t T) error {
			if in = append(in, t); len(in) == batch {
				return flush()
			}
			return nil
		})
		if len(in) > 0 {
			_ = flush() // what was read before an error is done all the same
		}
	})
	var err error
	for out := range order {
		for _, r := range <-out {
			if err == nil {
				if err = consume(r); err != nil {
					close(stop)
				}
			}
		}
	}
	workers.Wait()
	if err == nil {
		err = produced
	}
	return err
}
