package history

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"custom-misp/engine"
)

// An Agent is the agent of an alert.
type Agent struct {
	ID   string `json:"id,omitempty"` // 000 for the manager
	Name string `json:"name,omitempty"`
	IP   string `json:"ip,omitempty"`
}

// word returns the agent as files hold it.
func (a Agent) word() string { return a.ID + "\x00" + a.Name + "\x00" + a.IP }

// agentOf reads what word made.
func agentOf(word string) Agent {
	id, rest, _ := strings.Cut(word, "\x00")
	name, ip, _ := strings.Cut(rest, "\x00")
	return Agent{id, name, ip}
}

// An Alert is where a value was seen.
type Alert struct {
	// ID, Rule and Level are those of the alert; Rule is the rule's id. They are empty for an event without.
	ID    string
	Rule  string
	Level int
	// File is the file that the alert was read from, and Offset where it begins there, in uncompressed bytes; empty if it was
	// not read from a file.
	File   string
	Offset int64
	// At is when Wazuh wrote it. Its seconds are kept.
	At time.Time
	// Agent is whose alert it is.
	Agent Agent
}

// An Entry is what is known of one value: of all its days together.
type Entry struct {
	engine.Indicator
	// First and Last are when it was seen, in whole seconds, UTC.
	First, Last time.Time
	// Count is how often: each alert counts once for each value.
	Count int64
	// Days is on how many days.
	Days int
	// Agents are on which agents, in the order of their ids, at most [MaxAgents] of a day; MoreAgents says that there were more.
	// With [Options.Names] unset, they have a name only, which is made up.
	Agents     []Agent
	MoreAgents bool
	// Mappings are the ids of those that picked it, sorted; at most [MaxMappings] of a day.
	Mappings []string
	// Alert is the last alert that it was seen in.
	Alert Alert
	// Itself says that the value itself was seen, and URLHost that it was the host of a URL.
	Itself, URLHost bool
}

const (
	// MaxAgents is how many agents are kept of a value and a day.
	MaxAgents = 50
	// MaxMappings is the same for mappings.
	MaxMappings = 8
	maxAlertID  = 100 // bytes; longer ids are left out
)

// The bits of record.flags.
const (
	flagItself = 1 << iota
	flagURLHost
	flagMoreAgents
)

// A record is what is kept of a value and a day. Words are numbers in a list of the table or the file that has the record.
type record struct {
	first, last int64 // seconds since 1970
	count       uint64
	flags       uint8
	agents      []uint32
	mappings    []uint32
	alert       lastAlert
	own         [2]uint32 // memory for one agent and one mapping
	dirty       bool      // it is not in the journal as it is now
}

// lastAlert is the alert of record.last.
type lastAlert struct {
	id     string
	rule   uint32
	level  uint32
	file   uint32
	offset int64
	agent  uint32
}

// add puts what another record says of the same value and day into r. number turns its words into those of r.
func (r *record) add(o *record, number func(uint32) uint32) {
	if r.count == 0 || o.last >= r.last {
		r.last = o.last
		a := o.alert
		a.rule, a.file, a.agent = number(a.rule), number(a.file), number(a.agent)
		r.alert = a
	}
	if r.count == 0 || o.first < r.first {
		r.first = o.first
	}
	r.count += o.count
	r.flags |= o.flags
	for _, n := range o.agents {
		r.addAgent(number(n))
	}
	for _, n := range o.mappings {
		r.addMapping(number(n))
	}
}

func (r *record) addAgent(n uint32) {
	switch {
	case n == 0 || slices.Contains(r.agents, n):
	case len(r.agents) == MaxAgents:
		r.flags |= flagMoreAgents
	default:
		r.agents = append(r.agents, n)
	}
}

func (r *record) addMapping(n uint32) {
	if n != 0 && len(r.mappings) < MaxMappings && !slices.Contains(r.mappings, n) {
		r.mappings = append(r.mappings, n)
	}
}

// A collector makes an entry of the records of a value.
type collector struct {
	entry    Entry
	agents   map[Agent]bool
	mappings map[string]bool
}

func (c *collector) add(r *record, word func(uint32) string) {
	e := &c.entry
	if c.agents == nil {
		c.agents, c.mappings = map[Agent]bool{}, map[string]bool{}
	}
	first, last := time.Unix(r.first, 0).UTC(), time.Unix(r.last, 0).UTC()
	if e.Count == 0 || first.Before(e.First) {
		e.First = first
	}
	if e.Count == 0 || !last.Before(e.Last) {
		e.Last = last
		a := r.alert
		e.Alert = Alert{
			ID: a.id, Rule: word(a.rule), Level: int(a.level), File: word(a.file), Offset: a.offset, At: last, Agent: agentOf(word(a.agent)),
		}
	}
	e.Count += int64(r.count) //nolint:gosec // bounded by the number of alerts
	e.Itself = e.Itself || r.flags&flagItself != 0
	e.URLHost = e.URLHost || r.flags&flagURLHost != 0
	e.MoreAgents = e.MoreAgents || r.flags&flagMoreAgents != 0
	for _, n := range r.agents {
		c.agents[agentOf(word(n))] = true
	}
	for _, n := range r.mappings {
		c.mappings[word(n)] = true
	}
}

// done returns the entry.
func (c *collector) done(i engine.Indicator, days int) Entry {
	e := c.entry
	e.Indicator, e.Days = i, days
	for a := range c.agents {
		e.Agents = append(e.Agents, a)
	}
	slices.SortFunc(e.Agents, func(a, b Agent) int {
		return cmp.Or(cmp.Compare(len(a.ID), len(b.ID)), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Name, b.Name), cmp.Compare(a.IP, b.IP))
	})
	for m := range c.mappings {
		e.Mappings = append(e.Mappings, m)
	}
	slices.Sort(e.Mappings)
	return e
}

// words numbers texts. Number 0 is no text.
type words struct {
	list   []string
	number map[string]uint32
	agents map[Agent]uint32 // numbers of their words
}

const (
	maxWords = 1 << 20 // further ones are left out
	maxWord  = 1000    // bytes; longer ones are left out
)

func newWords() *words {
	return &words{list: []string{""}, number: map[string]uint32{"": 0}, agents: map[Agent]uint32{}}
}

func (w *words) add(text string) uint32 {
	if n, ok := w.number[text]; ok {
		return n
	}
	if len(text) > maxWord || len(w.list) >= maxWords {
		return 0
	}
	n := uint32(len(w.list)) //nolint:gosec // bounded above
	text = strings.Clone(text)
	w.list, w.number[text] = append(w.list, text), n
	return n
}

// agent is add for the word of an agent.
func (w *words) agent(a Agent) uint32 {
	n, ok := w.agents[a]
	if !ok {
		n = w.add(a.word())
		w.agents[agentOf(w.word(n))] = n // with texts that belong to the list
	}
	return n
}

// append appends a text, whatever there is.
func (w *words) append(text string) {
	w.number[text] = uint32(len(w.list)) //nolint:gosec // bounded by the file
	w.list = append(w.list, text)
}

func (w *words) word(n uint32) string {
	if int(n) >= len(w.list) {
		return ""
	}
	return w.list[n]
}

// translation returns what turns the numbers of one list into those of another.
func translation(from []string, to *words) func(uint32) uint32 {
	known := make([]uint32, len(from))
	return func(n uint32) uint32 {
		if n == 0 || int(n) >= len(from) {
			return 0
		}
		if known[n] == 0 {
			known[n] = to.add(from[n])
		}
		return known[n]
	}
}
