package enrich

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"custom-misp/engine/atomicfile"
)

// An Outage is what is known of MISP, or of Wazuh's queue, being unreachable. It is recorded in a file that all calls
// share, so that only the first of them waits for a time-out, and only one of them reports it to Wazuh.
type Outage struct {
	Since       time.Time `json:"since"`             // of the first failure
	Until       time.Time `json:"until,omitzero"`    // when it was over and everything queued was processed; zero while it lasts
	Answered    time.Time `json:"answered,omitzero"` // when it was reachable again; zero while it is not
	Code        Code      `json:"code"`              // of the last failure
	Description string    `json:"description"`       // of the last failure
	RetryAt     time.Time `json:"retry_at,omitzero"` // before this, the server wants no question (Retry-After)
	PatientAt   time.Time `json:"patient_at"`        // when a question last had as much time as usual
	Queued      int       `json:"held"`              // alerts, or events for the queue
	Processed   int       `json:"processed"`         // of these
	Dropped     int       `json:"dropped,omitempty"` // because the spool was full
	DeadLetters int       `json:"set_aside,omitempty"`
	// ReportedAt is when each kind was last reported to Wazuh, in this outage or an earlier one.
	ReportedAt map[Code]time.Time `json:"told_at,omitempty"`
}

// Lasts reports whether there is an outage, or one that is over but whose queued entries are not all processed.
func (o Outage) Lasts() bool { return !o.Since.IsZero() && o.Until.IsZero() }

// Unreachable reports whether the last question failed.
func (o Outage) Unreachable() bool { return o.Lasts() && o.Answered.IsZero() }

const (
	// flapping is the time after which a further outage of the same kind is reported again. One that begins earlier is
	// reported when it still lasts then.
	flapping = 5 * time.Minute
	// longestWait bounds what a server may ask for by Retry-After.
	longestWait = time.Minute
)

// backingOff reports whether the server wants no question now.
func (o Outage) backingOff(now time.Time) bool {
	return o.Unreachable() && now.Before(o.RetryAt) && o.RetryAt.Sub(now) <= longestWait // further, if the clock was set back
}

// reported reports whether Wazuh knows of this outage.
func (o Outage) reported() bool {
	for _, at := range o.ReportedAt {
		if !at.Before(o.Since) {
			return true
		}
	}
	return false
}

// An OutageFile is the record of an [Outage]. It alone changes it. What cannot be written is logged, and otherwise as if
// it were: an outage is noticed anew.
type OutageFile struct {
	Path string           // empty for no record
	Now  func() time.Time // nil for the machine's clock
	Log  *slog.Logger     // nil for none
	// Writer writes changes in the background; nil if each change waits for the disk.
	Writer *OutageWriter
}

const (
	outageVersion = 1
	maxOutage     = 64 << 10 // bytes
)

// Load returns the present or last outage; the zero Outage if there was none. Its error wraps [atomicfile.ErrDamaged] or
// [atomicfile.ErrNotState], or is an [atomicfile.NewerError], if the file is not what this program wrote.
func (f OutageFile) Load() (Outage, error) {
	if o, ok := f.Writer.unwritten(); ok {
		return o, nil
	}
	return f.read()
}

func (f OutageFile) read() (o Outage, err error) {
	if f.Path == "" {
		return o, nil
	}
	err = atomicfile.ReadJSON(f.Path, outageVersion, maxOutage, &o)
	if errors.Is(err, fs.ErrNotExist) {
		return Outage{}, nil
	}
	if err != nil {
		return Outage{}, fmt.Errorf("record of outages: %w", err)
	}
	return o, nil
}

// Mend is for after an error of Load: it keeps what is there as a file that ends in .broken, and writes the record anew, unless a
// later program wrote it.
func (f OutageFile) Mend(err error) {
	if _, newer := errors.AsType[*atomicfile.NewerError](err); !newer {
		_ = atomicfile.KeepDamaged(f.Path)
	}
	f.change(func(*Outage) {})
}

// failed records that a question, or an event, failed. patiently says that it had as much time as usual.
func (f OutageFile) failed(err error, patiently bool) {
	now := clock(f.Now)
	f.change(func(o *Outage) {
		if !o.Lasts() {
			*o = Outage{Since: now, PatientAt: now, ReportedAt: o.ReportedAt}
		}
		if patiently {
			o.PatientAt = now
		}
		o.Answered, o.RetryAt = time.Time{}, time.Time{}
		if patiently || o.Description == "" || !timedOut(err) { // a brief question that ran out of time says less than the one before
			o.Code, o.Description = codeOf(err, CodeUnavailable), err.Error()
		}
		if t, ok := errors.AsType[*Trouble](err); ok && t.Wait > 0 {
			o.RetryAt = now.Add(min(t.Wait, longestWait))
		}
	})
}

// answered records that there was an answer.
func (f OutageFile) answered() {
	now := clock(f.Now)
	f.change(func(o *Outage) { o.Answered = now })
}

// queued counts entries that were queued, and those that were dropped for them.
func (f OutageFile) queued(n, dropped int) Outage {
	return f.changeLasting(func(o *Outage) { o.Queued += n; o.Dropped += dropped })
}

// processed counts entries that were queued and are processed.
func (f OutageFile) processed(n int) { f.changeLasting(func(o *Outage) { o.Processed += n }) }

// processedAll records that there is an answer again and nothing is queued any more.
func (f OutageFile) processedAll() {
	now := clock(f.Now)
	f.changeLasting(func(o *Outage) { o.Answered, o.Processed = now, o.Queued })
}

// deadLetter counts an entry that became a dead letter.
func (f OutageFile) deadLetter() { f.changeLasting(func(o *Outage) { o.DeadLetters++ }) }

// wantsReport reports whether an outage is to be reported to Wazuh now: each kind of trouble once, and not each time
// that MISP is flapping.
func (f OutageFile) wantsReport(o Outage) bool {
	now := clock(f.Now)
	at, ever := o.ReportedAt[o.Code]
	return !ever || at.Before(o.Since) && now.Sub(at) >= flapping || now.Before(at)
}

// markReported records that the outage was reported to Wazuh.
func (f OutageFile) markReported() {
	now := clock(f.Now)
	f.change(func(o *Outage) {
		reported := map[Code]time.Time{o.Code: now}
		for code, at := range o.ReportedAt { // others may be reading it
			if code != o.Code {
				reported[code] = at
			}
		}
		o.ReportedAt = reported
	})
}

// ended records that the outage is over and all of it is processed.
func (f OutageFile) ended() {
	now := clock(f.Now)
	f.change(func(o *Outage) { o.Until = now })
}

// changeLasting changes the record of an outage that lasts.
func (f OutageFile) changeLasting(change func(*Outage)) Outage {
	return f.change(func(o *Outage) {
		if o.Lasts() {
			change(o)
		}
	})
}

// change changes the record. change may be called twice, and must do the same each time.
func (f OutageFile) change(change func(*Outage)) Outage {
	if f.Writer != nil && f.Path != "" {
		return f.Writer.change(f, change)
	}
	o, err := f.write(change)
	if err != nil {
		logTo(f.Log).Error("outage not recorded", "error", err.Error())
	}
	return o
}

// write changes the record on disk, one process at a time.
func (f OutageFile) write(change func(*Outage)) (o Outage, err error) {
	if f.Path == "" {
		change(&o)
		return o, nil
	}
	err = atomicfile.MkdirAll(filepath.Dir(f.Path), dirMode)
	unlock := lockBriefly(f.Path + ".lock")
	defer unlock()
	o, unreadable := f.read() // a file that cannot be read is written anew
	change(&o)
	if _, newer := errors.AsType[*atomicfile.NewerError](unreadable); newer {
		return o, unreadable
	}
	if err == nil {
		err = atomicfile.WriteJSON(f.Path, outageVersion, o, atomicfile.Volatile)
	}
	if err != nil {
		return o, fmt.Errorf("record of outages: %w", err)
	}
	return o, nil
}

// dirMode is that of directories for state, as Wazuh has it: for its group.
const dirMode = 0o750

// lockBriefly waits a moment for a lock and goes on without it if another process keeps it: a count that is off by one
// is better than an alert that waits.
func lockBriefly(name string) (unlock func()) {
	f, err := atomicfile.Open(name, os.O_CREATE|os.O_RDWR)
	if err != nil {
		return func() {}
	}
	for range 50 {
		if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	return func() { _ = f.Close() }
}
