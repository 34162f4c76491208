package enrich

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"custom-misp/engine/atomicfile"
)

// An Outage is what is known of MISP, or of Wazuh's queue, not being there. It is kept in a file that all calls
// share, so that only the first of them waits for a time-out, and only one of them tells Wazuh.
type Outage struct {
	Since       time.Time `json:"since"`             // of the first failure
	Until       time.Time `json:"until,omitzero"`    // when it was over and everything held was done; zero while it lasts
	Answered    time.Time `json:"answered,omitzero"` // when it was there again; zero while it is not
	Code        Code      `json:"code"`              // of the last failure
	Description string    `json:"description"`       // of the last failure
	RetryAt     time.Time `json:"retry_at,omitzero"` // before this, it asked to be left alone
	PatientAt   time.Time `json:"patient_at"`        // when it was last waited for with patience
	Held        int       `json:"held"`              // alerts, or events for the queue
	Processed   int       `json:"processed"`         // of these
	Dropped     int       `json:"dropped,omitempty"` // because the spool was full
	SetAside    int       `json:"set_aside,omitempty"`
	// ToldAt is when Wazuh was last told of each kind, in this outage or an earlier one.
	ToldAt map[Code]time.Time `json:"told_at,omitempty"`
}

// Lasts reports whether there is an outage, or one that is over but whose held entries are not all done.
func (o Outage) Lasts() bool { return !o.Since.IsZero() && o.Until.IsZero() }

// Away reports whether the last that was heard is a failure.
func (o Outage) Away() bool { return o.Lasts() && o.Answered.IsZero() }

const (
	// flapping is the time after which a further outage of the same kind is told again. One that begins
	// earlier is told when it is still there then.
	flapping = 5 * time.Minute
	// patient is how often an alert waits for something that is away as long as for something that is not.
	patient = 30 * time.Second
	// quick is how long the other alerts wait for it.
	quick = 300 * time.Millisecond
	// longestWait bounds what a server may ask for.
	longestWait = time.Minute
)

// An OutageFile is where an [Outage] is kept.
type OutageFile struct {
	Path string
	Now  func() time.Time
}

// Load returns the present or last outage; the zero Outage if there was none.
func (f OutageFile) Load() (Outage, error) {
	var o Outage
	data, err := os.ReadFile(f.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return o, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &o)
	}
	if err != nil {
		return Outage{}, fmt.Errorf("state of outages: %w", err)
	}
	return o, nil
}

// update changes the outage, one process at a time.
func (f OutageFile) update(change func(*Outage)) (Outage, error) {
	if err := os.MkdirAll(filepath.Dir(f.Path), spoolMode); err != nil {
		return Outage{}, fmt.Errorf("state of outages: %w", err)
	}
	unlock := lockBriefly(f.Path + ".lock")
	defer unlock()
	o, err := f.Load()
	if err != nil {
		o = Outage{} // a file that cannot be read is written anew
	}
	change(&o)
	data, err := json.MarshalIndent(o, "", "  ")
	if err != nil {
		return o, fmt.Errorf("state of outages: %w", err)
	}
	if err := atomicfile.WriteFile(f.Path, append(data, '\n'), atomicfile.Volatile); err != nil { // if the power goes, it is learnt anew
		return o, fmt.Errorf("state of outages: %w", err)
	}
	return o, nil
}

// lockBriefly waits a moment for a lock and goes on without it if somebody keeps it: a count that is off by one
// is better than an alert that waits.
func lockBriefly(name string) (unlock func()) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o640) //nolint:gosec // as Wazuh has it: for its group
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

// failed notes a failure.
func (f OutageFile) failed(err error, patiently bool) (Outage, error) {
	now := f.Now()
	return f.update(func(o *Outage) {
		if !o.Lasts() {
			*o = Outage{Since: now, PatientAt: now, ToldAt: o.ToldAt}
		}
		if patiently {
			o.PatientAt = now
		}
		o.Answered, o.Code, o.Description, o.RetryAt = time.Time{}, codeOf(err, CodeUnavailable), err.Error(), time.Time{}
		if t, ok := errors.AsType[*Trouble](err); ok && t.Wait > 0 {
			o.RetryAt = now.Add(min(t.Wait, longestWait))
		}
	})
}

// shouldTell reports whether Wazuh is to be told of the outage now: of each kind of trouble once, and not of every
// bout of one that comes and goes.
func (o Outage) shouldTell(now time.Time) bool {
	at, ever := o.ToldAt[o.Code]
	return !ever || at.Before(o.Since) && now.Sub(at) >= flapping || now.Before(at)
}

// told reports whether Wazuh was told of this outage.
func (o Outage) told() bool {
	for _, at := range o.ToldAt {
		if !at.Before(o.Since) {
			return true
		}
	}
	return false
}
