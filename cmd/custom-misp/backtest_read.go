package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"

	"custom-misp/cmd/custom-misp/internal/backtest"
	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/engine/wazuh"
)

// This file reads the alerts of many files on all cores: as many files at a time as there are cores, since one that is compressed
// takes a whole core, and whatever lines they yield.

// Bounds of what is read and not judged yet.
const (
	backtestBytes = 256 << 10 // in one batch
	backtestLines = 256
	toldFaults    = 20 // lines that are printed
)

// backtestRead is what became of reading.
type backtestRead struct {
	result        *backtest.Result
	files, unread int
	partial       bool
	err           error // values cannot be looked up
}

// backtestReader reads files, and has their lines judged.
type backtestReader struct {
	s       cli.Streams
	run     *backtest.Run
	result  *backtest.Result
	watch   func(io.Reader) io.Reader
	batches chan []backtest.Line

	mu                    sync.Mutex
	closed                bool
	files, unread, faults int
	err                   error
}

// readBacktest reads all files, until ctx ends. It does not wait then for one that is being read: no one can end a read of
// standard input.
func readBacktest(ctx context.Context, s cli.Streams, run *backtest.Run, list alertFileList) backtestRead {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	watch, done := progress(s, list.size)
	r := &backtestReader{s: s, run: run, result: backtest.NewResult(), watch: watch, batches: make(chan []backtest.Line, 2*runtime.GOMAXPROCS(0))}
	for _, u := range list.unread {
		r.unreadable(wazuh.Position{File: u.name, Item: -1}, u.err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.work(ctx, stop, list.names)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
	}
	done()
	return r.end(ctx)
}

// end returns what was read so far, and has what comes later left out.
func (r *backtestReader) end(ctx context.Context) backtestRead {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	if r.faults > toldFaults {
		fmt.Fprintf(r.s.Err, "custom-misp: %d more errors like these are not shown\n", r.faults-toldFaults)
	}
	return backtestRead{result: r.result, files: r.files, unread: r.unread, partial: ctx.Err() != nil, err: r.err}
}

// work reads and judges everything.
func (r *backtestReader) work(ctx context.Context, stop func(), names []string) {
	type numbered struct {
		number int
		name   string
	}
	files := make(chan numbered)
	var readers, judges sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		readers.Go(func() {
			for f := range files {
				r.read(ctx, f.number, f.name)
			}
		})
		judges.Go(func() {
			for lines := range r.batches {
				r.judge(ctx, stop, lines)
			}
		})
	}
	for i, name := range names {
		select {
		case files <- numbered{i, name}:
		case <-ctx.Done():
		}
	}
	close(files)
	readers.Wait()
	close(r.batches)
	judges.Wait()
}

// read reads one file.
func (r *backtestReader) read(ctx context.Context, number int, name string) {
	var batch []backtest.Line
	size, whole := 0, true
	flush := func() error {
		select {
		case r.batches <- batch:
			batch, size = nil, 0
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	err := eachText(name, r.s, r.watch, func(at wazuh.Position, text []byte, err error) error {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, wazuh.ErrEmpty): // a day without alerts
			return nil
		case errors.Is(err, wazuh.ErrLongLine):
			r.fault(at, err)
			r.result.Unreadable()
			return nil
		case err != nil:
			whole = false
			r.unreadable(at, err)
			return nil
		}
		batch = append(batch, backtest.Line{At: at, File: number, Text: text})
		if size += len(text); size < backtestBytes && len(batch) < backtestLines {
			return nil
		}
		return flush()
	})
	if err == nil {
		err = flush()
	}
	if err == nil && whole {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.files++
	}
}

// judge judges lines, and adds up what was found.
func (r *backtestReader) judge(ctx context.Context, stop func(), lines []backtest.Line) {
	part, err := r.run.Judge(ctx, lines)
	switch {
	case err != nil && ctx.Err() != nil: // that is why
	case err != nil:
		r.mu.Lock()
		defer r.mu.Unlock()
		r.err = err
		stop()
	default:
		for _, f := range part.Faults {
			r.fault(f.At, f.Err)
		}
		r.result.Add(part)
	}
}

// unreadable notes a file that cannot be read, or not to its end.
func (r *backtestReader) unreadable(at wazuh.Position, err error) {
	r.fault(at, err)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unread++
}

// fault prints the first few of what cannot be read.
func (r *backtestReader) fault(at wazuh.Position, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	if r.faults++; r.faults <= toldFaults {
		cli.PrintError(r.s.Err, at.String(), err)
	}
}
