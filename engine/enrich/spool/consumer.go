package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"custom-misp/engine/atomicfile"
)

// A Consumer takes entries out of a spool. There is one at a time, over all processes.
type Consumer struct {
	dir      *Dir
	lock     *os.File
	deferred map[string]bool      // words of entries that are not claimed again
	waiting  map[Kind][]entryName // as the directories were when they were last read, less what is claimed since
	newer    map[Kind][]string    // files of a later version beside them
}

// Open locks the spool and puts back what a process had claimed that was killed; such entries count as tried once more.
// It returns nil if another process has the lock, or if there is no spool yet.
func (d *Dir) Open() (*Consumer, error) {
	if _, err := os.Stat(d.Path); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	lock, err := atomicfile.Open(d.join(lockFile), os.O_CREATE|os.O_RDWR)
	if err != nil {
		return nil, d.fault(err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = lock.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, nil
		}
		return nil, d.fault(err)
	}
	c := &Consumer{d, lock, map[string]bool{}, map[Kind][]entryName{}, map[Kind][]string{}}
	if err := c.takeOver(); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// takeOver puts back the entries of a process that was killed, and removes files that it had begun to write.
func (c *Consumer) takeOver() error {
	for _, kind := range kinds {
		names, err := c.dir.list(kind.claimed())
		if err != nil {
			return c.dir.fault(err)
		}
		for _, n := range names {
			e := Entry{c, kind, n}
			if _, err := e.Fail("the program was killed while it worked on this entry"); err != nil {
				return err
			}
		}
		atomicfile.RemoveStale(c.dir.join(kind.waiting()), c.dir.now().Add(-staleWrite))
	}
	clear(c.deferred)
	return nil
}

// Close unlocks the spool.
func (c *Consumer) Close() error {
	for _, kind := range kinds {
		_ = atomicfile.SyncDir(c.dir.join(kind.claimed())) // so that what is done does not come back after a power cut
	}
	return c.lock.Close()
}

// Claim takes up to n of the oldest entries. One that was tried before is taken alone, so that its failure does not
// affect others.
func (c *Consumer) Claim(kind Kind, n int) ([]Entry, error) { return c.claim(kind, "", n, MaxTries) }

// ClaimUntried is Claim for entries that were never tried.
func (c *Consumer) ClaimUntried(kind Kind, n int) ([]Entry, error) { return c.claim(kind, "", n, 0) }

// ClaimFor is Claim for entries that are for someone, see [Dir.PutFor]; with an empty name, for those that are for all.
func (c *Consumer) ClaimFor(kind Kind, who string, n int) ([]Entry, error) {
	return c.claim(kind, who, n, MaxTries)
}

// ClaimUntriedFor is ClaimFor for entries that were never tried.
func (c *Consumer) ClaimUntriedFor(kind Kind, who string, n int) ([]Entry, error) {
	return c.claim(kind, who, n, 0)
}

// claim takes entries that were tried at most so many times. What it knows of the directory counts until there is nothing in
// it to claim: then it reads the directory again.
func (c *Consumer) claim(kind Kind, who string, n, tries int) ([]Entry, error) {
	for _, known := range []bool{true, false} {
		if !known {
			var err error
			if c.waiting[kind], c.newer[kind], err = c.dir.read(kind.waiting()); err != nil {
				return nil, c.dir.fault(err)
			}
		}
		entries, err := c.claimKnown(kind, who, n, tries)
		if len(entries) > 0 || err != nil {
			return entries, err
		}
	}
	return nil, nil
}

func (c *Consumer) claimKnown(kind Kind, who string, n, tries int) (entries []Entry, err error) {
	if len(c.waiting[kind]) == 0 {
		return nil, nil
	}
	if err := atomicfile.MkdirAll(c.dir.join(kind.claimed()), dirMode); err != nil {
		return nil, c.dir.fault(err)
	}
	var left []entryName
	for i, name := range c.waiting[kind] {
		if c.deferred[name.word] || name.tries > tries || !name.isFor(who) {
			left = append(left, name)
			continue
		}
		if len(entries) > 0 && (len(entries) >= n || name.tries > 0 || entries[0].name.tries > 0) {
			left = append(left, c.waiting[kind][i:]...)
			break
		}
		e := Entry{c, kind, name}
		ok, err := e.Claim()
		if err != nil {
			return entries, err
		}
		if !ok {
			continue
		}
		entries = append(entries, e)
	}
	c.waiting[kind] = left
	return entries, nil
}

// Newer returns, once for each Dir and version, that there are entries of a later version, among those that Claim has met. It
// leaves them in the spool. Its error is an [atomicfile.NewerError].
func (c *Consumer) Newer() error {
	var found *atomicfile.NewerError
	for kind, files := range c.newer {
		for _, file := range files {
			if v := newerVersion(file); found == nil || v > found.Version {
				found = &atomicfile.NewerError{File: filepath.Join(c.dir.join(kind.waiting()), file), Version: v, Known: version}
			}
		}
	}
	if found == nil || c.dir.newer.Swap(int64(found.Version)) >= int64(found.Version) {
		return nil
	}
	return found
}

// An Entry is one that this process has claimed. Exactly one of Done, Release, Defer, Fail and Reject ends the claim.
type Entry struct {
	consumer *Consumer
	kind     Kind
	name     entryName
}

func (e Entry) path(dir string) string {
	return filepath.Join(e.consumer.dir.join(dir), e.name.String())
}

// Since returns the time since which the entry is queued.
func (e Entry) Since() time.Time { return e.name.since }

// For returns for whom the entry is, see [Dir.PutFor]; nil for all.
func (e Entry) For() []string {
	if e.name.who == "" {
		return nil
	}
	return strings.Split(e.name.who, "+")
}

// Tries returns how often the entry was tried before.
func (e Entry) Tries() int { return e.name.tries }

// Data reads what was put in. An error says that it cannot be read, or is not what was put in.
func (e Entry) Data() ([]byte, error) {
	data, err := atomicfile.ReadFile(e.path(e.kind.claimed()), e.name.size)
	if err == nil {
		err = e.name.verify(data)
	}
	return data, err
}

// Done removes the entry.
func (e Entry) Done() error {
	if err := os.Remove(e.path(e.kind.claimed())); err != nil {
		return e.consumer.dir.fault(err)
	}
	return nil
}

// Release puts the entry back as it was. It may be claimed again at once.
func (e Entry) Release() error {
	e.consumer.waiting[e.kind] = nil // it is the oldest again
	return e.moveTo(e.kind.waiting(), e.name)
}

// Defer is Release for a later consumer: this one does not claim the entry again.
func (e Entry) Defer() error {
	e.consumer.deferred[e.name.word] = true
	return e.moveTo(e.kind.waiting(), e.name)
}

// Claim takes an entry again that was deferred. It returns false if the entry was dropped meanwhile, to make room.
func (e Entry) Claim() (bool, error) {
	err := os.Rename(e.path(e.kind.waiting()), e.path(e.kind.claimed()))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, e.consumer.dir.fault(err)
	}
	return true, nil
}

// Fail puts the entry back as tried once more, for a later consumer. After the last try it becomes a dead letter.
func (e Entry) Fail(reason string) (dead bool, err error) {
	e.consumer.deferred[e.name.word] = true
	tried := e.name
	tried.tries++
	if tried.tries >= MaxTries {
		return true, e.Reject(fmt.Sprintf("tried %d times: %s", tried.tries, reason))
	}
	return false, e.moveTo(e.kind.waiting(), tried)
}

// Reject makes the entry a dead letter, with a reason in one line.
func (e Entry) Reject(reason string) error {
	d, dir := e.consumer.dir, e.kind.dead()
	if err := atomicfile.MkdirAll(d.join(dir), dirMode); err != nil {
		return d.fault(err)
	}
	if names, err := d.list(dir); err == nil && len(names) >= maxDeadLetters {
		for _, n := range names[:len(names)-maxDeadLetters+1] {
			oldest := filepath.Join(d.join(dir), n.String())
			_, _ = os.Remove(oldest+reasonSuffix), os.Remove(oldest)
		}
	}
	if err := atomicfile.WriteFile(e.path(dir)+reasonSuffix, []byte(reason+"\n"), atomicfile.Durable); err != nil {
		return d.fault(err)
	}
	return e.moveTo(dir, e.name)
}

func (e Entry) moveTo(dir string, as entryName) error {
	to := Entry{e.consumer, e.kind, as}
	if err := os.Rename(e.path(e.kind.claimed()), to.path(dir)); err != nil {
		return e.consumer.dir.fault(err)
	}
	return nil
}
