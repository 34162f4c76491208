package mirror

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Verify reads all files of the sets and compares them with their checksums, at no more than a rate in bytes a second; 0
// for as fast as can be. It finds what look-ups would find only later, or not at all: a block that was damaged after it
// was read first. Look-ups fail from then on where they need it, and [Mirror.Damages] says so. The error joins the first
// damage of each file, and is that of ctx if it ended.
func (m *Mirror) Verify(ctx context.Context, rate int64) error {
	return m.verify(pacer{rate: rate, wait: func(d time.Duration) error {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		return ctx.Err()
	}}.pause(ctx))
}

func (m *Mirror) verify(pause func(int) error) error {
	v := m.use()
	defer v.release()
	var errs []error
	for _, s := range v.sets {
		if err := s.fault(); err != nil {
			errs = append(errs, fmt.Errorf("mirror of %s: %w", s.name, err))
		}
		for _, g := range s.snapshot.segments() {
			g.checkChange()
			err := g.verify(pause)
			if err != nil && !errors.Is(err, errDamaged) {
				return err
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("mirror of %s: %w", s.name, err))
			}
		}
	}
	return errors.Join(errs...)
}

// A pacer waits so that no more bytes are read in a second than its rate, in steps of an eighth of a second.
type pacer struct {
	rate int64
	wait func(time.Duration) error
}

func (p pacer) pause(ctx context.Context) func(n int) error {
	read := int64(0)
	return func(n int) error {
		if read += int64(n); p.rate <= 0 || read < p.rate/8 {
			return ctx.Err()
		}
		d := time.Duration(float64(read) / float64(p.rate) * float64(time.Second))
		read = 0
		return p.wait(d)
	}
}
