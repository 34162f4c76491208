package enrich

import (
	"context"
	"os"
	"path/filepath"
	"time"
)

// Throttle is a [Sink] that lets an error event of one kind through once in an interval, and every other event. A
// mapping file that cannot be read would otherwise raise an error alert for each alert. When an event of a kind was
// last sent, the time of a file in Dir tells, which all calls share; if the file cannot be written, the event is sent.
type Throttle struct {
	Sink     Sink
	Dir      string
	Interval time.Duration
	Now      func() time.Time
}

// Send implements Sink.
func (t *Throttle) Send(ctx context.Context, e Enrichment) error {
	if e.Body.Error == "" || t.Interval <= 0 {
		return t.Sink.Send(ctx, e)
	}
	stamp := filepath.Join(t.Dir, "told."+string(e.Body.Error))
	now := t.Now()
	if st, err := os.Stat(stamp); err == nil {
		if age := now.Sub(st.ModTime()); age >= 0 && age < t.Interval {
			return nil
		}
	}
	if err := t.Sink.Send(ctx, e); err != nil {
		return err
	}
	if err := os.MkdirAll(t.Dir, spoolMode); err != nil {
		return nil //nolint:nilerr // as good as a file that cannot be written
	}
	if err := os.WriteFile(stamp, nil, 0o640); err == nil { //nolint:gosec // as Wazuh has it: for its group
		_ = os.Chtimes(stamp, now, now)
	}
	return nil
}
