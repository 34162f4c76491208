package alertlog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"
)

const (
	// A file without news is looked at again after minWait, then less and less often, up to maxWait.
	minWait = 5 * time.Millisecond
	maxWait = 100 * time.Millisecond
	// rescanWaits is after how many waits the directories are read again although alerts.json is unchanged.
	rescanWaits = 50
)

// A Follower reads the alerts that Wazuh writes, each once and in order, across the ends of files. [Follow] makes one; the
// zero value behaves like one that is closed. It starts no goroutine. Its methods are for one goroutine, except
// [Follower.Behind].
type Follower struct {
	path  string
	log   *slog.Logger
	state state // nil only in the zero value; see [Follower.current]
}

// A state is what a follower is doing now: [readingPlain], [readingCompressed], [between] files or [closed].
type state interface {
	// step reads or looks once. next is the state to go on with at once, often the same one; nil if there is nothing to do
	// but wait.
	step(f *Follower) (lines Lines, next state, err error)
	// at returns the place behind the last line that was returned.
	at() Checkpoint
	// close closes the files that are open.
	close() error
}

type settings struct {
	log       *slog.Logger
	fromStart bool
}

// An Option changes what [Follow] does.
type Option func(*settings)

// FromStart makes a follower without a checkpoint begin at the start of the file, not at its end.
func FromStart() Option { return func(s *settings) { s.fromStart = true } }

// LogTo sets the log for files that the follower finds again, and for alerts that it may have missed. Without this option,
// and with nil, nothing is logged.
func LogTo(log *slog.Logger) Option {
	return func(s *settings) {
		if log != nil {
			s.log = log
		}
	}
}

// Follow begins to read alerts. path is Wazuh's logs/alerts/alerts.json. Follow also looks for the dated files in the
// directories beside it, and for the files that logrotate moved it to.
//
// from is the place to go on at. Reading continues in the file of the checkpoint, which may have been moved or compressed
// since, and then in all later ones. If that file is gone, or does not begin as it did, a warning is logged, and reading
// continues at the start of the oldest file that can hold later alerts. Without a checkpoint, reading starts at the end of
// alerts.json, as integratord does. If alerts.json does not exist yet, the follower waits for it and reads it from its
// start.
//
// An error says that a file cannot be read, and what to do.
func Follow(path string, from *Checkpoint, options ...Option) (*Follower, error) {
	set := settings{log: slog.New(slog.DiscardHandler)}
	for _, o := range options {
		o(&set)
	}
	f := &Follower{path: path, log: set.log}
	if from == nil {
		var err error
		if f.state, err = f.begin(set.fromStart); err != nil {
			return nil, err
		}
		return f, nil
	}
	if err := from.check(); err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	f.state = &between{from: *from}
	if _, _, err := f.step(); err != nil {
		return nil, err
	}
	return f, nil
}

// begin opens alerts.json at its start or at its end.
func (f *Follower) begin(atStart bool) (state, error) {
	s, err := openSource(f.path, 0)
	if errors.Is(err, fs.ErrNotExist) {
		now := time.Now().UTC()
		return &between{from: Checkpoint{Opened: now, SavedAt: now}}, nil
	}
	if err != nil {
		return nil, readTrouble(err)
	}
	if !atStart {
		if s.pos, err = s.lastLine(); err != nil {
			_ = s.close()
			return nil, readTrouble(err)
		}
	}
	return f.read(s)
}

// read begins to read a file at its place. It closes the file on an error.
func (f *Follower) read(s *source) (state, error) {
	lines := lineReader{file: s, offset: s.pos}
	if s.compressed() {
		return &readingCompressed{lineReader: lines, size: s.info.Size()}, nil
	}
	if s.date == "" {
		var err error
		if s.date, err = dateOf(f.path, s.info); err != nil {
			_ = s.close()
			return nil, err
		}
	}
	return &readingPlain{lineReader: lines}, nil
}

// Next waits until there is at least one complete line and returns those that there are, up to about 256 KiB. It waits
// for a file that does not exist for a moment. The last line of a file that is followed by another one need not end in a
// newline. The error is that of ctx, or says that a file cannot be read and what to do; Next may be called again after it.
func (f *Follower) Next(ctx context.Context) (Lines, error) {
	for wait := minWait; ; wait = min(wait*3/2, maxWait) {
		for {
			if err := ctx.Err(); err != nil {
				return Lines{}, err
			}
			lines, more, err := f.step()
			if err != nil || len(lines.Text) > 0 || lines.Skipped > 0 {
				return lines, err
			}
			if !more {
				break
			}
			wait = minWait
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return Lines{}, ctx.Err()
		case <-timer.C:
		}
	}
}

// step takes one step. more says that the next one need not wait.
func (f *Follower) step() (lines Lines, more bool, err error) {
	lines, next, err := f.current().step(f)
	if next == nil {
		return lines, false, err
	}
	f.state = next
	return lines, true, err
}

// At returns the place behind what Next returned last, or the place where reading starts.
func (f *Follower) At() Checkpoint { return f.current().at() }

// Behind returns how many bytes Wazuh has written behind a checkpoint: the rest of its file, if that still exists, and all
// later ones. For compressed files it is the size that they say they had, which can be wrong for those of more than 4 GiB.
// Behind may be called at any time, from any goroutine.
func (f *Follower) Behind(c Checkpoint) int64 {
	live, err := os.Stat(f.path)
	if err == nil && c.Inode != 0 && inodeOf(live) == c.Inode && live.Size() >= c.Offset {
		return live.Size() - c.Offset
	}
	own, rest, err := later(f.path, c, nil)
	if err != nil {
		return 0
	}
	var n int64
	if own != nil {
		n = max(0, own.size()-c.Offset)
	}
	for _, g := range rest {
		n += g.size()
	}
	return n
}

// Close ends reading. From then on, Next returns [fs.ErrClosed].
func (f *Follower) Close() error {
	last := f.current()
	f.state = closed{last.at()}
	return last.close()
}

// current returns the state.
func (f *Follower) current() state {
	if f.state == nil {
		return closed{}
	}
	return f.state
}

// closed is the state after [Follower.Close].
type closed struct{ end Checkpoint }

func (c closed) step(f *Follower) (Lines, state, error) {
	return Lines{}, nil, fmt.Errorf("alerts: read %s: %w", f.path, fs.ErrClosed)
}

func (c closed) at() Checkpoint { return c.end }

func (c closed) close() error { return nil }
