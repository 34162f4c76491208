package app

import (
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unsafe"

	"github.com/tidwall/gjson"

	"custom-misp/cmd/custom-misp/internal/config"
	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/engine/history"
)

// HistoryOptions returns what the configuration says of the history.
func HistoryOptions(c *config.Config, log *slog.Logger) history.Options {
	h := c.History
	return history.Options{
		Dir: StateOf(c).History(), Days: h.Days, Bytes: h.Bytes, Kinds: h.Kinds, Names: h.Names, MinFree: h.MinFree, Log: log,
	}
}

// Seen answers what was seen of a value, with a count of 0 if it was not; false if that cannot be read.
type Seen func(engine.Indicator) (history.Entry, bool)

// prevalence returns what events say of a value; nil if the site keeps no history.
func (a *App) prevalence(h Hooks) func(engine.Observable) (enrich.Prevalence, bool) {
	c := a.Config
	if !c.History.Enabled {
		return nil
	}
	var seen Seen
	if h.Daemon != nil {
		if seen = h.Daemon.Seen; seen == nil {
			return nil
		}
	} else {
		files := &historyFiles{dir: StateOf(c).History()}
		a.closers = append(a.closers, files.close)
		seen = files.get
	}
	kept := func(k history.Kind) bool { return slices.Contains(c.History.Kinds, k) }
	return func(o engine.Observable) (enrich.Prevalence, bool) {
		i := o.Indicator()
		if !kept(history.KindOf(o.Type)) {
			host, ok := o.URLHost()
			if !ok || !kept(history.KindURLHost) {
				return enrich.Prevalence{}, false
			}
			i = host
		}
		e, ok := seen(i)
		return enrich.Prevalence{First: e.First, Last: e.Last, Count: e.Count, Agents: len(e.Agents)}, ok
	}
}

// historyFiles is the history of a process that does not record, read when it is first asked.
type historyFiles struct {
	dir  string
	mu   sync.Mutex
	view *history.View
}

func (f *historyFiles) get(i engine.Indicator) (history.Entry, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.view == nil {
		v, err := history.OpenView(f.dir)
		if err != nil {
			return history.Entry{}, false // a history that cannot be read stops nothing; doctor says so
		}
		f.view = v
	}
	e, _ := f.view.Get(i)
	return e, true
}

func (f *historyFiles) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.view != nil {
		f.view.Close()
		f.view = nil
	}
}

const wazuhTimestamp = "2006-01-02T15:04:05.999-0700"

// A HistoryReader describes alerts as the history keeps them. It is for one goroutine.
type HistoryReader struct {
	second string // the last timestamp, without its fraction
	at     time.Time
}

// Alert describes an alert of a file. Wazuh writes what is needed before the rest, so that most of an alert is not read. The
// texts are parts of data.
func (h *HistoryReader) Alert(data []byte, file string, offset int64) history.Alert {
	a := history.Alert{File: file, Offset: offset}
	missing := 4
	text := unsafe.String(unsafe.SliceData(data), len(data)) //nolint:gosec // no one changes data
	gjson.Parse(text).ForEach(func(key, value gjson.Result) bool {
		switch key.Str {
		case "timestamp":
			a.At = h.time(value.Str)
		case "id":
			a.ID = value.String()
		case "rule":
			value.ForEach(func(key, value gjson.Result) bool {
				switch key.Str {
				case "id":
					a.Rule = value.String()
				case "level":
					a.Level = int(value.Int())
				}
				return a.Rule == "" || a.Level == 0
			})
		case "agent":
			value.ForEach(func(key, value gjson.Result) bool {
				switch key.Str {
				case "id":
					a.Agent.ID = value.String()
				case "name":
					a.Agent.Name = value.String()
				case "ip":
					a.Agent.IP = value.String()
				}
				return true
			})
		default:
			return true
		}
		missing--
		return missing > 0
	})
	if missing <= 1 { // an event of archives.json has no rule, or an alert of the manager no agent
		return a
	}
	d := enrich.Describe(data)
	level, _ := strconv.Atoi(d.Source.RuleLevel)
	return history.Alert{
		ID: d.Source.AlertID, Rule: d.Source.RuleID, Level: level, File: file, Offset: offset, At: h.time(d.Source.Timestamp),
		Agent: history.Agent(d.Agent),
	}
}

// time reads the time of an alert; the zero time for none.
func (h *HistoryReader) time(text string) time.Time {
	const seconds = len("2006-01-02T15:04:05")
	if len(text) > seconds && text[:seconds] == h.second {
		return h.at
	}
	at, err := time.Parse(wazuhTimestamp, text)
	if err != nil {
		if at, err = time.Parse(time.RFC3339, text); err != nil { // Wazuh 5
			return time.Time{}
		}
	}
	h.second, h.at = strings.Clone(text[:seconds]), at.Truncate(time.Second)
	return h.at
}
