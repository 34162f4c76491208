package enrich

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"custom-misp/engine/atomicfile"
)

// Throttle is a [Sink] that sends an error event of one kind once in an interval, and every other event. A mapping file
// that cannot be read would otherwise raise an error alert for each alert. When an event of a kind was last sent is the
// time of an empty file in Dir, which all calls share; if the file cannot be written, the event is sent.
type Throttle struct {
	Sink     Sink
	Dir      string           // empty for no throttle
	Interval time.Duration    // likewise 0
	Now      func() time.Time // nil for the machine's clock
}

// Send implements Sink.
func (t *Throttle) Send(ctx context.Context, e Enrichment) error {
	if e.Body.Error == "" || t.Interval <= 0 || t.Dir == "" {
		return sendTo(ctx, t.Sink, e)
	}
	stamp := filepath.Join(t.Dir, "told."+string(e.Body.Error))
	now := clock(t.Now)
	if st, err := os.Lstat(stamp); err == nil && st.Mode().IsRegular() {
		if age := now.Sub(st.ModTime()); age >= 0 && age < t.Interval {
			return nil
		}
	}
	if err := sendTo(ctx, t.Sink, e); err != nil {
		return err
	}
	if err := atomicfile.MkdirAll(t.Dir, dirMode); err != nil {
		return nil //nolint:nilerr // as good as a file that cannot be written
	}
	if err := atomicfile.WriteFile(stamp, nil, atomicfile.Volatile); err == nil {
		_ = os.Chtimes(stamp, now, now)
	}
	return nil
}
