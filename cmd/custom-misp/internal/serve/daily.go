package serve

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/engine/enrich"
)

// day is how often the counts are reported.
const day = 24 * time.Hour

// counts is how much was done since serve began.
type counts struct{ read, lookedUp, hits, sent, cut, lost, muted uint64 }

func (m *metricSet) counts() counts {
	return counts{
		read:     m.alertsRead() + m.read("spool").Get() + m.read("delayed").Get(),
		lookedUp: m.considered.Get(), hits: m.matched.Get(), sent: m.sent.Get(), cut: m.cuts.Load(), lost: m.unreadable.Get(), muted: m.notReported(enrich.ReasonMute).Get(),
	}
}

// daily reports once a day what was done since the last time.
func (v *server) daily(ctx context.Context) error {
	var before counts
	every := time.NewTicker(day)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-every.C:
		}
		now := v.metrics.counts()
		if g := v.current.Load(); g.config.Serve.Daily {
			depth, _ := app.NewSpool(g.config).Depth() // a spool that cannot be read is reported elsewhere
			e := dailyEvent(before, now, depth.Alerts+depth.Events, depth.DeadLetters)
			if err := v.events.Dedup.Send(ctx, e); err != nil {
				v.log.Error("the counts of the day were not sent", "error", err.Error())
			}
		}
		before = now
	}
}

// dailyEvent returns the event about what was done between two counts.
func dailyEvent(before, now counts, queued, deadLetters int) enrich.Enrichment {
	less := func(a, b uint64) string { return strconv.FormatUint(a-min(a, b), 10) }
	c := enrich.CountsBody{
		Read: less(now.read, before.read), LookedUp: less(now.lookedUp, before.lookedUp), Hits: less(now.hits, before.hits),
		Sent: less(now.sent, before.sent), Queued: strconv.Itoa(queued), Cut: less(now.cut, before.cut),
		Lost: strconv.FormatUint(now.lost-min(now.lost, before.lost)+uint64(max(0, deadLetters)), 10), Muted: less(now.muted, before.muted),
	}
	var words []string
	parts := []struct{ count, what string }{
		{c.Read, "alerts read"},
		{c.LookedUp, "looked up"},
		{c.Hits, "with hits"},
		{c.Sent, "events sent"},
		{c.Queued, "queued"},
		{c.Cut, "cut"},
		{c.Lost, "lost"},
		{c.Muted, "muted"},
	}
	for _, part := range parts {
		words = append(words, fmt.Sprintf("%s %s", part.count, part.what))
	}
	return enrich.Enrichment{Body: enrich.Body{
		Notice: enrich.NoticeDaily, Counts: &c, Description: "in the last 24 hours " + strings.Join(words, ", "),
	}}
}
