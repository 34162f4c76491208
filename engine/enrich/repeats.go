package enrich

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"

	"custom-misp/engine/atomicfile"
)

// Repeats is a [Sink] that sends a hit, and then no other of the same kind for a while: the same agent, value, MISP event, kind
// of match, flag, threat level and verdict. Anything stronger is of another kind. The hits that it does not send are counted. When
// the window is over, the first of them is sent with misp.repeats, which says how many more there were; if another hit comes
// before that, it has them. A value with more than Storm events in a window, of whatever agents, is counted as a whole from then
// on.
//
// A hit is counted once, although its alert may come again after a restart, and what is counted is not lost with the process: it
// is in a file of which [Repeats.Flush] says that it is written. A window opens only once the sink has taken the event. Where
// memory or disk do not allow to count, hits are sent. Make one with [NewRepeats]; another has no sink.
type Repeats struct {
	// Window is how long it lasts; 0 to send everything.
	Window time.Duration
	// Storm is how many events one value has in a window, at most; 0 for no bound.
	Storm int
	Now   func() time.Time // nil for the machine's clock
	// Sent reports whether the sink has sent the event of this alert before a restart, although no window knows it; nil if it
	// never has. Such a hit is not counted again.
	Sent func(Enrichment) bool
	// Counted is called for each hit that is not sent, with why; nil for no call. It must not call this Repeats.
	Counted func(Enrichment, Reason)

	sink  Sink
	mu    sync.Mutex
	state repeatsState
	due   []dueWindow // those that may be over, in the order in which they began
	file  *repeatsFile
	fault error
}

const (
	maxWindows      = 1_000_000
	maxRepeatEvents = 64 << 20 // bytes of events that are counted and may be sent
	maxStormAgents  = 50       // that a summary names
)

type dueWindow struct {
	key   uint64
	began int64
}

// NewRepeats returns a Repeats with what a file remembers. Close it. Without a file that can be read and written, it sends
// everything, and [Repeats.Trouble] says why.
func NewRepeats(sink Sink, file string) *Repeats {
	r := &Repeats{sink: sink, state: repeatsState{windows: map[uint64]window{}}}
	for i := range r.state.seen {
		r.state.seen[i] = map[uint64]bool{}
	}
	r.file, r.fault = openRepeats(file, &r.state)
	for key, w := range r.state.windows {
		r.due = append(r.due, dueWindow{key, w.began})
	}
	slices.SortFunc(r.due, func(a, b dueWindow) int { return cmp.Compare(a.began, b.began) })
	return r
}

// Trouble returns what of the file could not be used; nil if nothing. It wraps [atomicfile.ErrDamaged],
// [atomicfile.ErrNotState] or an [atomicfile.NewerError] if the file is not what this program wrote.
func (r *Repeats) Trouble() error { return r.fault }

// Send implements Sink. Events about errors are always sent.
func (r *Repeats) Send(ctx context.Context, e Enrichment) error {
	if e.Body.Observable == nil || e.Body.Source == nil || r.Window <= 0 || r.file == nil {
		return sendTo(ctx, r.sink, e)
	}
	r.mu.Lock()
	defer r.mu.Unlock() // over sending too: of two at once, one is to be sent
	h := r.hit(e)
	if why := r.unsent(h); why != "" {
		if r.Counted != nil {
			r.Counted(e, why)
		}
		return nil
	}
	w, known := r.state.windows[h.key]
	carries := known && !r.lasts(w) && w.hits > 0
	if carries {
		e.Body = withRepeats(e.Body, int(w.hits))
		r.written()
	}
	if err := sendTo(ctx, r.sink, e); err != nil {
		return err
	}
	r.opened(h)
	if carries {
		r.written()
	}
	return nil
}

// A repeatedHit is a hit with its keys.
type repeatedHit struct {
	Enrichment
	alert uint64 // 0 for none
	key   uint64 // of the kind of hit
	value uint64 // 0 if there is no bound on values
}

func (r *Repeats) hit(e Enrichment) repeatedHit {
	h := repeatedHit{Enrichment: e, alert: alertKey(e), key: repeatKey(e)}
	if r.Storm > 0 {
		h.value = valueKey(e)
	}
	return h
}

// unsent counts a hit that is not sent, and returns why; empty for one that is.
func (r *Repeats) unsent(h repeatedHit) Reason {
	if h.alert != 0 && (r.state.seen[0][h.alert] || r.state.seen[1][h.alert]) {
		return ReasonSent
	}
	w, known := r.state.windows[h.key]
	open := known && r.lasts(w)
	if h.alert != 0 && r.Sent != nil && r.Sent(h.Enrichment) {
		if open {
			r.state.see(h.alert)
		} else {
			r.opened(h)
		}
		return ReasonSent
	}
	if open && r.add(h.key, w, h, "") {
		return ReasonRepeat
	}
	v, known := r.state.windows[h.value]
	if r.Storm > 0 && known && r.lasts(v) && int(v.sent) >= r.Storm && r.add(h.value, v, h, cmp.Or(h.Agent.Name, h.Agent.ID, "000")) {
		return ReasonStorm
	}
	return ""
}

// written writes what is counted, before and after an event that says how much: a process that is killed in between would
// count it again. If the disk does not take it, that may happen.
func (r *Repeats) written() { _ = r.file.flush() }

// lasts reports whether a window is not over. A clock that was set back by more than a window ends it too.
func (r *Repeats) lasts(w window) bool {
	age := time.Duration(clock(r.Now).UnixNano() - w.began)
	return age < r.Window && age > -r.Window
}

// add counts a hit in a window. It returns false where that is not possible.
func (r *Repeats) add(key uint64, w window, h repeatedHit, agent string) bool {
	if !r.file.canWrite() {
		return false
	}
	var event []byte
	if w.hits == 0 {
		var err error
		if event, err = json.Marshal(queuedEvent(h.Enrichment)); err != nil || r.state.bytes+int64(len(event)) > maxRepeatEvents {
			return false
		}
	}
	at := r.file.append(repeatsRecord{kind: recordHit, time: clock(r.Now).UnixNano(), key: key, alert: h.alert, agent: agent, event: event})
	r.state.hit(key, h.alert, agent, at, len(event))
	return true
}

// opened notes that an event was sent, which opens a window for its kind, and counts for its value.
func (r *Repeats) opened(h repeatedHit) {
	now, key, value := clock(r.Now).UnixNano(), h.key, h.value
	if _, known := r.state.windows[key]; !known && len(r.state.windows) >= maxWindows || !r.file.canWrite() {
		r.state.see(h.alert)
		return
	}
	v, known := r.state.windows[value]
	anew := value != 0 && (!known || !r.lasts(v))
	if anew && (v.hits > 0 || !known && len(r.state.windows) >= maxWindows) { // a summary is still to be sent, or there is no room
		value, anew = 0, false
	}
	record := repeatsRecord{kind: recordSent, time: now, key: key, alert: h.alert, value: value}
	if anew {
		record.count = 1
		r.due = append(r.due, dueWindow{value, now})
	}
	r.due = append(r.due, dueWindow{key, now})
	r.file.append(record)
	r.state.open(record)
}

// Sweep sends, for windows that are over, the first of the hits that were counted. Call it every second or so; an error says
// that the sink takes none now, and the rest is sent by a later call.
func (r *Repeats) Sweep(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.file == nil {
		return nil
	}
	defer r.file.compactIfLarge(&r.state)
	for len(r.due) > 0 {
		d := r.due[0]
		w, known := r.state.windows[d.key]
		if known && w.began == d.began {
			if r.Window > 0 && r.lasts(w) {
				return nil
			}
			if err := r.close(ctx, d.key, w); err != nil {
				return err
			}
		}
		r.due = r.due[1:]
	}
	r.due = nil // and its memory
	return nil
}

// close ends a window.
func (r *Repeats) close(ctx context.Context, key uint64, w window) error {
	if w.hits > 0 {
		r.written()
		e, err := r.event(w)
		if err != nil {
			r.fault = errors.Join(r.fault, fmt.Errorf("%d repeats of a hit are lost: %w", w.hits, err))
		} else if err := sendTo(ctx, r.sink, e); err != nil {
			return err
		}
	}
	r.file.append(repeatsRecord{kind: recordClosed, key: key})
	r.state.close(key)
	if w.hits > 0 {
		r.written()
	}
	return nil
}

// event returns the event of the first hit that was counted in a window, with the number of those after it.
func (r *Repeats) event(w window) (Enrichment, error) {
	data, err := r.file.read(w.event, int(w.size))
	if err != nil {
		return Enrichment{}, err
	}
	q, err := decodeEvent(data)
	if err != nil {
		return Enrichment{}, err
	}
	q.Body = withRepeats(q.Body, int(w.hits)-1)
	if w.agents != nil {
		q.Body.Agents = *w.agents
	}
	return Enrichment(q), nil
}

// Flush writes what is counted. Alerts may be forgotten by whoever hands them out once this has returned nil.
func (r *Repeats) Flush() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.file == nil {
		return nil
	}
	return r.file.flush()
}

// Close writes what is counted, and closes the file.
func (r *Repeats) Close() error {
	if r.file == nil {
		return nil
	}
	return errors.Join(r.Flush(), r.file.close())
}

func withRepeats(b Body, n int) Body {
	b.Repeats = strconv.Itoa(n)
	padded := Padded{}
	if b.Padded != nil {
		padded = *b.Padded
	}
	padded.Repeats = fmt.Sprintf("%08d", n)
	b.Padded = &padded
	return b
}

// alertKey tells a value of an alert from all others; 0 for an alert without an id.
func alertKey(e Enrichment) uint64 {
	keys, ok := sentKeysOf(e)
	if !ok {
		return 0
	}
	return max(1, keys.all()[0])
}

// repeatKey tells a kind of hit from all others.
func repeatKey(e Enrichment) uint64 {
	return keyOfTexts(append(kindOf(e), e.Agent.ID, e.Agent.Name, agentless(e))...)
}

// valueKey is the same for all agents.
func valueKey(e Enrichment) uint64 { return keyOfTexts(kindOf(e)...) }

func kindOf(e Enrichment) []string {
	b := e.Body
	threat := ""
	if b.Event != nil {
		threat = b.Event.ThreatLevel
	}
	kind := []string{b.Observable.Value, b.EventID, b.MatchKind, b.ToIDs, threat, b.MatchMode, b.Verdict()}
	if len(b.Origins) > 0 { // several MISP servers have other events under one id
		kind = append(kind, b.Origin)
	}
	return kind
}

func agentless(e Enrichment) string {
	if e.Body.Source.Agentless == nil {
		return ""
	}
	return e.Body.Source.Agentless.Host
}

func keyOfTexts(texts ...string) uint64 {
	d := xxhash.New()
	for _, s := range texts {
		_, _ = d.WriteString(s)
		_, _ = d.WriteString("\x00")
	}
	return max(1, d.Sum64())
}

// isNewer reports whether a file was written by a later version of the program.
func isNewer(err error) bool {
	_, newer := errors.AsType[*atomicfile.NewerError](err)
	return newer
}
