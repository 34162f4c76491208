package wazuhtest

import (
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// An AlertLog is where analysisd writes alerts: a file with the date in its name, of which alerts.json is another name. Its
// methods are for one goroutine.
type AlertLog struct {
	live    string
	kind    string // in the names of dated files
	day     time.Time
	counter int
	out     *os.File
}

// NewAlertLog begins the file of a day in a home.
func NewAlertLog(home string, day time.Time) (*AlertLog, error) {
	l := &AlertLog{live: filepath.Join(home, Alerts), kind: "alerts", day: day}
	return l, l.open()
}

// NewArchiveLog is [NewAlertLog] for archives.json.
func NewArchiveLog(home string, day time.Time) (*AlertLog, error) {
	l := &AlertLog{live: filepath.Join(home, Archives), kind: "archive", day: day}
	return l, l.open()
}

// Day returns the day of the present file.
func (l *AlertLog) Day() time.Time { return l.day }

// Name returns the dated name of the present file.
func (l *AlertLog) Name() string {
	name := filepath.Join(filepath.Dir(l.live), l.day.Format("2006/Jan/")+"ossec-"+l.kind+l.day.Format("-02"))
	if l.counter > 0 {
		name += fmt.Sprintf("-%03d", l.counter)
	}
	return name + ".json"
}

func (l *AlertLog) open() error {
	name := l.Name()
	if err := os.MkdirAll(filepath.Dir(name), 0o750); err != nil {
		return err
	}
	var err error
	if l.out, err = os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640); err != nil { //nolint:gosec // as Wazuh does
		return err
	}
	_ = os.Remove(l.live)
	return os.Link(name, l.live)
}

// Write implements [io.Writer]: it writes to the present file, in one step.
func (l *AlertLog) Write(text []byte) (int, error) { return l.out.Write(text) }

// NextDay begins the file of the next day, as at midnight, and returns the name of the last one.
func (l *AlertLog) NextDay() (last string, err error) {
	last = l.Name()
	l.day, l.counter = l.day.AddDate(0, 0, 1), 0
	return last, l.turn()
}

// NextFile begins a further file of the same day, as when the present one is too large, and returns the name of the last
// one.
func (l *AlertLog) NextFile() (last string, err error) {
	last = l.Name()
	l.counter++
	return last, l.turn()
}

func (l *AlertLog) turn() error { return errors.Join(l.out.Close(), l.open()) }

// Truncate empties the present file, as logrotate does with copytruncate. With a suffix, like .1, its content is first
// copied to alerts.json with that suffix.
func (l *AlertLog) Truncate(suffix string) error {
	if suffix != "" {
		data, err := os.ReadFile(l.live)
		if err == nil {
			err = os.WriteFile(l.live+suffix, data, 0o600) //nolint:gosec // in the home of a test
		}
		if err != nil {
			return err
		}
	}
	return l.out.Truncate(0)
}

// Close closes the present file.
func (l *AlertLog) Close() error { return l.out.Close() }

// Compress compresses a file as Wazuh does: beside it, under the name that stays, and then it is removed. pause is called
// now and then while only a part is there; nil for no call.
func Compress(name string, pause func()) error {
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	out, err := os.Create(name + ".gz")
	if err != nil {
		return err
	}
	w := gzip.NewWriter(out)
	half := len(data) / 2
	_, err = w.Write(data[:half])
	if pause != nil && err == nil {
		err = w.Flush()
		pause()
	}
	if err == nil {
		_, err = w.Write(data[half:])
	}
	if err = errors.Join(err, w.Close(), out.Close()); err != nil {
		return err
	}
	if pause != nil {
		pause()
	}
	return os.Remove(name)
}
