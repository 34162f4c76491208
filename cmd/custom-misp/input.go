package main

import (
	"context"
	"errors"
	"io"
	"os"

	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/engine/enrich"
	"custom-misp/engine/wazuh"
)

// eachText calls do with the text of every alert of a file, or of standard input for "-"; see [wazuh.EachText]. watch,
// if not nil, is put between the file and its reader.
func eachText(name string, s cli.Streams, watch func(io.Reader) io.Reader, do func(at wazuh.Position, text []byte, err error) error) error {
	r := s.In
	if name == "-" {
		name = "standard input"
	} else {
		f, err := cli.OpenNamed(name)
		if p, ok := errors.AsType[*os.PathError](err); ok {
			err = p.Err // the position has the name
		}
		if err != nil {
			return do(wazuh.Position{File: name, Item: -1}, nil, err)
		}
		defer f.Close() //nolint:errcheck // only read
		r = f
	}
	if watch != nil {
		r = watch(r)
	}
	return wazuh.EachText(name, r, do)
}

// readText is the text of an alert, or why it cannot be read.
type readText struct {
	at   wazuh.Position
	text []byte
	err  error
}

// apart passes on what read yields, until ctx ends. It does not wait for read then: no one can end a read of standard input.
func apart[T any](ctx context.Context, read func(yield func(T) error) error, yield func(T) error) error {
	items, ended := make(chan T), make(chan error, 1)
	go func() {
		ended <- read(func(item T) error {
			select {
			case items <- item:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	for {
		select {
		case item := <-items:
			if err := yield(item); err != nil {
				return err
			}
		case err := <-ended:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// A budget bounds how many bytes are read and not done yet. What is larger than all of it waits until it is alone.
type budget struct {
	room chan struct{} // one for each piece that is not used
}

// The pieces of a budget.
const (
	budgetPiece = 64 << 10 // bytes
	budgetSize  = 512      // pieces: 32 MiB
)

func newBudget() budget { return budget{make(chan struct{}, budgetSize)} }

func pieces(bytes int) int { return min(1+bytes/budgetPiece, budgetSize) }

// take waits until there is room; only one goroutine may.
func (b budget) take(ctx context.Context, bytes int) error {
	for range pieces(bytes) {
		select {
		case b.room <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (b budget) giveBack(bytes int) {
	for range pieces(bytes) {
		<-b.room
	}
}

// eachAlert calls do with every alert of a file. What is not an alert is passed as an error at its place, and the rest
// goes on; an error of do ends it.
func eachAlert(name string, s cli.Streams, do func(where string, a enrich.Alert, err error) error) error {
	return eachText(name, s, nil, func(at wazuh.Position, text []byte, err error) error {
		var a enrich.Alert
		if err == nil {
			a, err = enrich.ParseAlert(text)
		}
		return do(at.String(), a, err)
	})
}
