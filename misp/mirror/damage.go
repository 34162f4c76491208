package mirror

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
	"custom-misp/engine/enrich"
)

// A Damage is a source whose files cannot be read as they were written. Look-ups that need the damaged part fail, and the
// next sync of the source fetches it again as a whole.
type Damage struct {
	Origin string    // name of the source
	Err    error     // what is damaged: the file, and where
	Since  time.Time // when it was first noticed, by a process that could note it
}

// String returns it in words, without a remedy.
func (d Damage) String() string {
	if mayPass(d.Err) || errors.Is(d.Err, fs.ErrPermission) {
		return fmt.Sprintf("the mirror of %s cannot be read: %v", d.Origin, d.Err)
	}
	return fmt.Sprintf("the mirror of %s is damaged: %v", d.Origin, d.Err)
}

// Remedy returns what to do about it.
func (d Damage) Remedy() string {
	if errors.Is(d.Err, fs.ErrPermission) {
		return "run this as root or as Wazuh's user, or correct the rights"
	}
	return "custom-misp serve fetches it again by itself, and custom-misp sync does it at once"
}

// A DamagedError says which sources could not be looked up in. [Mirror.Lookup] wraps it in an [enrich.Trouble].
type DamagedError struct{ Sources []Damage }

// Error implements error.
func (e *DamagedError) Error() string {
	texts := make([]string, len(e.Sources))
	for i, d := range e.Sources {
		texts[i] = d.String()
	}
	return strings.Join(texts, ", and ")
}

// trouble returns damage as an event reports it.
func (m *Mirror) trouble(found []Damage) error {
	if len(found) == 0 {
		return nil
	}
	t := &enrich.Trouble{Code: enrich.CodeDamaged, Err: &DamagedError{found}, Remedy: found[0].Remedy()}
	for _, d := range found {
		t.OnlyHere = t.OnlyHere || !m.isServer(d.Origin)
	}
	return t
}

// faults are the sets that one look-up could not read; nothing is allocated as long as there are none.
type faults struct{ found []fault }

type fault struct {
	set *set
	err error
}

func (f *faults) add(s *set, err error) {
	for _, known := range f.found {
		if known.set == s {
			return
		}
	}
	f.found = append(f.found, fault{s, err})
}

// fault returns why nothing can be said about what a set has; nil for a set that is whole, or that is not there.
func (s *set) fault() error {
	if errors.Is(s.err, ErrNever) || errors.Is(s.err, errNewer) {
		return nil
	}
	return s.err
}

// damaged returns the damage of a set that was found so far, in this process.
func (s *set) damaged() error {
	if err := s.fault(); err != nil || s.snapshot == nil {
		return err
	}
	return s.snapshot.damaged()
}

// damages returns faults with the times since when they are known.
func (m *Mirror) damages(all faults) []Damage {
	var found []Damage
	for _, f := range all.found {
		found = append(found, Damage{f.set.name, f.err, m.since(f.set)})
	}
	return found
}

// Damages returns the damage that was found so far: by look-ups and by [Mirror.Verify] in this process, when the files
// were opened, and by other processes that noted it.
func (m *Mirror) Damages() []Damage {
	v := m.use()
	defer v.release()
	return m.known(v)
}

func (m *Mirror) known(v *view) []Damage {
	var found []Damage
	for _, s := range v.sets {
		err := s.damaged()
		if err == nil {
			if n := readNote(filepath.Join(m.dir, s.name)); n.about == s.identity && n.about != "" {
				err = errors.New(n.text)
			}
		}
		if err == nil {
			m.whole(s)
			continue
		}
		found = append(found, Damage{s.name, err, m.since(s)})
	}
	return found
}

// noticed says when the damage of a set was noticed first.
type noticed struct {
	identity string // of the set
	at       time.Time
}

// since returns since when a set is known to be damaged.
func (m *Mirror) since(s *set) time.Time {
	m.noticing.Lock()
	defer m.noticing.Unlock()
	if n := m.noticed[s.name]; n.identity == s.identity && !n.at.IsZero() {
		return n.at
	}
	n := noticed{s.identity, m.clock()}
	if known := readNote(filepath.Join(m.dir, s.name)); known.about == s.identity && known.since.Before(n.at) {
		n.at = known.since
	}
	if m.noticed == nil {
		m.noticed = map[string]noticed{}
	}
	m.noticed[s.name] = n
	return n.at
}

// whole forgets that a set was damaged.
func (m *Mirror) whole(s *set) {
	m.noticing.Lock()
	defer m.noticing.Unlock()
	delete(m.noticed, s.name)
}

// NoteDamage notes, beside each set that this process knows to be damaged, since when: other processes then know it too,
// and the next sync fetches the source again. What cannot be written is left.
func (m *Mirror) NoteDamage() {
	v := m.use()
	defer v.release()
	for _, s := range v.sets {
		err := s.damaged()
		if err == nil || mayPass(err) {
			continue
		}
		dir := filepath.Join(m.dir, s.name)
		if n := readNote(dir); n.about != s.identity || n.since.After(m.clock()) {
			writeNote(dir, note{s.identity, err.Error(), m.since(s)})
		}
	}
}

// mayPass reports whether an error says nothing about the files: there are too many open ones, or too little memory.
func mayPass(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOMEM) || errors.Is(err, syscall.EAGAIN)
}

// noteFile is the note that a set is damaged. Its first line is the identity of the set, its second says what is
// damaged, and its time of modification is since when.
const noteFile = "damaged"

// A note is the content of a noteFile; the zero note is none.
type note struct {
	about, text string
	since       time.Time
}

func readNote(dir string) note {
	name := filepath.Join(dir, noteFile)
	data, err := atomicfile.ReadFile(name, maxNote)
	if err != nil {
		return note{}
	}
	st, err := os.Stat(name)
	if err != nil {
		return note{}
	}
	about, text, _ := strings.Cut(string(data), "\n")
	return note{about, strings.TrimSpace(text), st.ModTime()}
}

func writeNote(dir string, n note) {
	name := filepath.Join(dir, noteFile)
	text := strings.ReplaceAll(n.text, "\n", " ")
	text = strings.ToValidUTF8(text[:min(len(text), maxFailure)], "")
	if atomicfile.WriteFile(name, []byte(n.about+"\n"+text+"\n"), atomicfile.Volatile) == nil {
		_ = os.Chtimes(name, n.since, n.since)
	}
}

// removeNote removes the note that a set is damaged.
func removeNote(dir string) error {
	if err := os.Remove(filepath.Join(dir, noteFile)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
