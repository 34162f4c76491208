package alertlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"custom-misp/engine/enrich"
)

const (
	// maxLine is the longest line that is handed out, in bytes without its newline.
	maxLine = enrich.MaxAlert
	// A file that has nothing new is looked at again after minWait, and then less and less often.
	minWait = 5 * time.Millisecond
	maxWait = 100 * time.Millisecond
	// afresh is after how many waits the archive is looked through again although alerts.json is as it was.
	afresh = 50
	// A compressed file that ends too early is read again when it has been of one size for steady waits, and left when
	// it has been for patience.
	steady, patience = 50, 250
)

// Lines is what was read at once.
type Lines struct {
	// Text holds the lines, at least one unless some were skipped, without their newlines. It is in memory of its own,
	// the receiver's to keep; one line keeps all of them (up to about 256 KiB).
	Text [][]byte
	// End is the place behind the last of them.
	End Checkpoint
	// Skipped is how many lines before End, longer than [enrich.MaxAlert], were passed over.
	Skipped int
}

// A Follower reads the alerts that Wazuh writes, each once and in their order, over the ends of files: see [Follow].
// It starts no goroutine. Its methods are for one goroutine, but for [Follower.Behind].
type Follower struct {
	path  string
	log   *slog.Logger
	start bool // without a checkpoint: at the start of the file

	cur     *source // nil while there is nothing to read
	offset  int64   // in cur: behind the last line that was handed out
	rest    []byte  // what was read behind it, a line that is not complete
	over    bool    // that line is too long, and its start was dropped
	leaving bool    // there is a later file: cur is read to its end, and then left

	from   Checkpoint // while cur is nil: where to go on
	past   bool       // from is the end of its file: go on with the next one
	left   *source    // the file that was read before
	closed bool

	waits  int      // since something was read
	waited liveness // what alerts.json was when there was no later file
	packed int64    // size of a compressed file that ends too early
}

// liveness is what of alerts.json says that a file may have come after the one that is read.
type liveness struct {
	inode   uint64
	written bool
}

// A Option changes what [Follow] does.
type Option func(*Follower)

// FromStart lets a follower without a checkpoint begin at the start of the file, not at its end.
func FromStart() Option { return func(f *Follower) { f.start = true } }

// LogTo has a follower tell a log of files that it finds again, and of alerts that may have been missed. nil is for
// silence, as without this option.
func LogTo(log *slog.Logger) Option {
	return func(f *Follower) {
		if log != nil {
			f.log = log
		}
	}
}

// Follow begins to read alerts. path is Wazuh's logs/alerts/alerts.json; the dated files are looked for in the
// directories beside it, and files that it was moved to as logrotate does.
//
// from is where to go on: in the file of the checkpoint, which may have been moved or compressed since, and then in
// all later ones. If that file is gone, or does not begin any more as it did, a warning says so, and reading goes on
// at the start of the oldest file that can hold later alerts. Without a checkpoint reading starts at the end of
// alerts.json, as integratord does. A file that does not exist yet is waited for, and read from its start.
//
// The error, for a file that cannot be read, says what to do.
func Follow(path string, from *Checkpoint, options ...Option) (*Follower, error) {
	f := &Follower{path: path, log: slog.New(slog.DiscardHandler)}
	for _, o := range options {
		o(f)
	}
	if from != nil {
		if err := from.check(); err != nil {
			return nil, fmt.Errorf("checkpoint: %w", err)
		}
		f.from = *from
		if err := f.open(); err != nil {
			return nil, err
		}
		return f, nil
	}
	s, err := openSource(path, 0)
	if errors.Is(err, fs.ErrNotExist) {
		now := time.Now().UTC()
		f.from = Checkpoint{Opened: now, SavedAt: now}
		return f, nil
	}
	if err != nil {
		return nil, readTrouble(err)
	}
	if !f.start {
		if s.pos, err = s.lastLine(); err != nil {
			_ = s.close()
			return nil, readTrouble(err)
		}
	}
	if err := f.use(s, s.pos); err != nil {
		return nil, err
	}
	return f, nil
}

// Next waits until there is at least one complete line and returns those that are there, up to about 256 KiB. A file
// that briefly does not exist is waited for. The last line of a file that is followed by another one need not end in
// a newline. The error is that of ctx, or one for a file that cannot be read, which says what to do; Next may be
// called again after it.
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

// At returns the place behind what Next returned last, or where reading starts.
func (f *Follower) At() Checkpoint {
	if f.cur == nil {
		return f.from
	}
	return Checkpoint{
		File: f.cur.date, Inode: f.cur.inode, PrefixLength: len(f.cur.prefix), PrefixSHA256: f.cur.digest(),
		Offset: f.offset, Opened: f.cur.opened.UTC(), SavedAt: time.Now().UTC(),
	}
}

// Behind returns how many bytes are written behind a checkpoint: the rest of its file, if that is still there, and
// all later ones. For compressed files it is the size that they say they had, which can be wrong for those of more
// than 4 GiB. It may be called at any time, from any goroutine.
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

// Close ends reading; Next returns [fs.ErrClosed] from then on.
func (f *Follower) Close() error {
	f.closed = true
	if f.cur != nil {
		f.from = f.At()
		f.leave()
	}
	if f.left == nil {
		return nil
	}
	s := f.left
	f.left = nil
	return s.close()
}

// step reads once. more says that there may be more at once.
func (f *Follower) step() (lines Lines, more bool, err error) {
	if f.closed {
		return lines, false, fmt.Errorf("alerts: read %s: %w", f.path, fs.ErrClosed)
	}
	if f.cur == nil {
		if f.waits++; f.waits%afresh != 1 {
			if _, err := os.Stat(f.path); errors.Is(err, fs.ErrNotExist) {
				return lines, false, nil
			}
		}
		err := f.open()
		return lines, f.cur != nil, err
	}
	known := len(f.rest)
	f.rest, err = f.cur.read(f.rest)
	switch {
	case err == nil:
		f.waits = 0
		return f.take(known), true, nil
	case errors.Is(err, errTruncated):
		f.from, f.past = f.At(), false
		f.leave()
		return lines, true, nil
	case f.cur.packed():
		return f.endPacked(err)
	case !errors.Is(err, io.EOF):
		return lines, false, readTrouble(err)
	case f.leaving:
		return f.finish()
	}
	f.waits++
	f.leaving, err = f.followed()
	return lines, f.leaving, err
}

// take hands out the complete lines of rest, whose first bytes are known not to hold a newline.
func (f *Follower) take(known int) (lines Lines) {
	end := bytes.LastIndexByte(f.rest[known:], '\n') + 1
	if end == 0 {
		if f.over || len(f.rest) > maxLine {
			f.over, f.rest = true, f.rest[:0]
		}
		return lines
	}
	text, tail := f.rest[:known+end], f.rest[known+end:]
	f.rest = bytes.Clone(tail)
	f.offset = f.cur.pos - int64(len(tail))
	lines.Text = make([][]byte, 0, bytes.Count(text, []byte{'\n'}))
	for len(text) > 0 {
		n := bytes.IndexByte(text, '\n')
		f.add(&lines, text[:n:n])
		text = text[n+1:]
	}
	lines.End = f.At()
	return lines
}

// add adds a line, unless it is empty or too long.
func (f *Follower) add(lines *Lines, line []byte) {
	switch {
	case f.over || len(line) > maxLine:
		f.over = false
		lines.Skipped++
	case len(bytes.TrimSpace(line)) > 0:
		lines.Text = append(lines.Text, line)
	}
}
