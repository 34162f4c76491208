package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"slices"
	"time"

	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/cmd/custom-misp/internal/config"
	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/engine/wazuh"
	"custom-misp/engine/yamlfile"
	"custom-misp/misp/api"
	"custom-misp/misp/mirror"
	"custom-misp/misp/source"
)

// Hooks adapt the chain to the one who runs it. The zero value is that of a call by integratord.
type Hooks struct {
	Log *slog.Logger // nil for none
	// Sink takes the events; nil for Wazuh's queue.
	Sink enrich.Sink
	// Settle writes what Sink has to remember of an alert before it is taken out of the spool; nil for no call.
	Settle func() error
	// Mappings are files and directories with further mappings.
	Mappings []string
	// DrainTime is how long a round of work on the spool may take; 0 for what the configuration gives a call.
	DrainTime time.Duration
	// Now is the clock; nil for the machine's.
	Now func() time.Time
	// Daemon is set for serve: questions of many alerts to MISP are put together, and answers remembered.
	Daemon *Daemon
	// NotReported is called for each alert, value and match that is not reported by a filter, a mute or ignore.alerts; nil for no
	// call. It may be called at the same time by several goroutines.
	NotReported func(enrich.Reason)
	// Join has App.Lookup and App.Live do the same, and bounds the questions; nil for verbs that ask few.
	Join context.Context
}

// notReported counts what is not reported.
func (h Hooks) notReported(why enrich.Reason) {
	if h.Daemon != nil {
		h.Daemon.Meter.NotReported(why)
	}
	if h.NotReported != nil {
		h.NotReported(why)
	}
}

// maxValues is how many values a question to MISP has at most; 0 for what is usual.
func (h Hooks) maxValues() int {
	if h.Daemon != nil || h.Join != nil {
		return liveMost
	}
	return 0
}

// Daemon is what serve adds to a chain.
type Daemon struct {
	// Context bounds the questions to MISP: they go on when another chain has taken the place of this one.
	Context context.Context
	// Meter counts look-ups.
	Meter Meter
	// Seen answers what was seen of a value; nil without a history.
	Seen Seen
	// Muted is called for each value whose hits are muted, with one of them; nil for no call.
	Muted func(enrich.Match)
}

// An App is the chain that one configuration asks for. It is not changed once it is built.
type App struct {
	Config *config.Config
	Engine *engine.Engine
	Faults yamlfile.Faults // of mapping files, which are left out
	// Live asks MISP, or the feed directory; nil if the policy does not.
	Live enrich.Lookup
	// Mirror is nil if the policy does not ask it.
	Mirror *mirror.Mirror
	// Syncs are the sources of the mirror; nil if there is none.
	Syncs []Sync
	// Batches put the questions of serve together, one for each server; nil if there is none.
	Batches []*enrich.Batch
	// Servers are the MISP servers; one without an address if none is configured.
	Servers []Server
	// Chain processes an alert.
	Chain *enrich.QueueingPipeline
	// Suppress decides what the chain does not report.
	Suppress *enrich.Suppression
	// Lookup is that of the chain without a record of outages, for verbs that only look.
	Lookup enrich.Lookup

	declared source.Declared                 // in files of sources
	sighter  enrich.Sighter                  // nil if no sightings are wanted, or there are several servers
	sighters map[string]enrich.Sighter       // of several servers, by name
	faults   []error                         // why some of several servers cannot be asked
	writers  map[string]*enrich.OutageWriter // of the records of outages in serve, by path
	closers  []func()
}

// A LookupError says why the look-up of a chain cannot be made; the chain picks all the same.
type LookupError struct{ Err error }

// Error implements error.
func (e *LookupError) Error() string { return e.Err.Error() }

// Unwrap returns the reason.
func (e *LookupError) Unwrap() error { return e.Err }

// Build assembles the chain for a configuration. It asks no one. The error says everything that is wrong, also what keeps
// only serve from working.
//
// Without a chain, since mappings or the site's filter cannot be read, the App is nil: no value may leave the site. With a
// [LookupError] the look-up of the chain always fails with that reason, so that an alert with nothing to look up is done
// and any other is queued. With any other error the chain does its work.
func Build(c *config.Config, h Hooks) (*App, error) {
	if h.Log == nil {
		h.Log = slog.New(slog.DiscardHandler)
	}
	if h.Now == nil {
		h.Now = time.Now
	}
	a := &App{Config: c}
	var engineErr error
	a.Engine, a.Faults, engineErr = Engine(c, h.Mappings...)
	condition, err := alertCondition(c)
	engineErr = errors.Join(engineErr, err)
	errs := []error{engineErr}
	var wrong distinctErrors
	declared, faults, err := declarations(c)
	a.declared, a.Faults = declared, append(a.Faults, faults...)
	a.Servers = serversOf(c, declared.Servers)
	wrong.add(err)
	if h.Daemon != nil {
		for _, w := range SourceWarnings(c, declared.Sources) {
			h.Log.Warn("a filter needs what a source does not have", "source", fmt.Sprintf("%s:%d", w.File, w.Line), "reason", w.Message, "remedy", w.Remedy)
		}
	}
	a.openLookup(h, &wrong)
	forLookup := len(wrong)
	var lookup, whole enrich.Lookup
	if forLookup > 0 {
		err := &LookupError{errors.Join(wrong...)}
		errs = append(errs, err)
		lookup = failing{asTrouble(err)}
		a.Lookup = lookup
	} else {
		lookup, whole = a.lookup(h)
		lookup, whole, a.Lookup = a.Warned(lookup), a.Warned(whole), a.Warned(a.Lookup)
	}
	for _, err := range a.faults {
		wrong.add(err)
	}
	a.openServe(h, &wrong)
	a.Suppress = a.suppression(condition, h, &wrong)
	err = errors.Join(append(errs, wrong[forLookup:]...)...)
	if engineErr != nil {
		a.Close()
		return nil, err
	}
	a.Chain = a.chain(h, lookup)
	a.Chain.Whole = whole
	return a, err
}

// Close ends the connections that the chain holds, and unmaps the files of its mirror. Look-ups that have begun end.
func (a *App) Close() {
	if a.Mirror != nil {
		a.Mirror.Close()
	}
	for _, end := range a.closers {
		end()
	}
}

const (
	liveValues   = 1000                   // in one question to MISP
	liveMost     = 10_000                 // in one that it is likely to answer within liveAim
	liveAim      = 250 * time.Millisecond // so that an alert that comes meanwhile does not wait long
	liveWait     = 50 * time.Millisecond  // for more of them
	joinWait     = 5 * time.Millisecond   // the same for a verb, which reads without a pause
	liveParallel = 2                      // questions at a time: more only wait for each other in MISP
	liveEntries  = 200_000                // answers that are remembered
	liveBytes    = 64 << 20               // of their matches
)

// openLookup opens what the policy asks: Live and Mirror.
func (a *App) openLookup(h Hooks, faults *distinctErrors) {
	var err error
	switch {
	case a.Config.Lookup.Policy == config.PolicyMirror:
	case a.Several():
		a.faults, err = a.openServers(h)
		faults.add(err)
	default:
		a.Live, err = newLive(a.Config, h)
		faults.add(err)
		if client, ok := a.Live.(*api.Client); ok {
			a.closers = append(a.closers, client.Close)
		}
	}
	if usesMirror(a.Config, a.declared.Sources) {
		a.Mirror, err = openMirror(a.Config, a.declared)
		faults.add(err)
		if a.Mirror != nil {
			a.Mirror.Now = h.Now
			if h.Daemon != nil || h.NotReported != nil {
				a.Mirror.Refused = func(o engine.Observable) {
					h.Log.Debug("hit not reported", "of", o.Value, "reason", string(enrich.ReasonFilter), "by", "a filter of lookup or of the mapping")
					h.notReported(enrich.ReasonFilter)
				}
			}
		}
	}
}

// openServe opens what serve needs besides, and the client for sightings.
func (a *App) openServe(h Hooks, faults *distinctErrors) {
	faults.add(StateOf(a.Config).check())
	for _, f := range a.Config.Serve.Files() {
		if st, err := os.Stat(f.Path); err == nil && st.IsDir() {
			faults.add(cli.WrongUsef("serve.alerts: %s is a directory; name a file", f.Path))
		}
	}
	if usesMirror(a.Config, a.declared.Sources) {
		syncs, closeSyncs, err := newSyncs(a.Config, a.declared, h)
		faults.add(err)
		if a.Syncs = syncs; closeSyncs != nil {
			a.closers = append(a.closers, closeSyncs)
		}
	}
	faults.add(a.openSighter(h))
}

// openSighter opens the client that reports sightings, if any are wanted: the one that is asked, or under the policy
// mirror one of its own.
func (a *App) openSighter(h Hooks) error {
	if !a.Config.Sightings.Enabled {
		return nil
	}
	if a.Several() {
		var err error
		a.sighters, err = a.sightersOf(h)
		return err
	}
	if a.Config.Lookup.Policy != config.PolicyMirror {
		a.sighter, _ = a.Live.(enrich.Sighter) // a feed directory takes none
		return nil
	}
	client, err := newClient(a.Config, a.Config.MISP.Timeout, h)
	if err != nil {
		return err
	}
	a.sighter, a.closers = client, append(a.closers, client.Close)
	return nil
}

// distinctErrors are errors of which each text stands once: parts of a chain share what they need.
type distinctErrors []error

func (d *distinctErrors) add(err error) {
	if err == nil || slices.ContainsFunc(*d, func(e error) bool { return e.Error() == err.Error() }) {
		return
	}
	*d = append(*d, err)
}

// lookup puts together what the policy asks for, and Batch and Lookup on the way. whole is what is asked again where the
// mirror answered alone; nil if it never does.
func (a *App) lookup(h Hooks) (lookup, whole enrich.Lookup) {
	left := &leftOut{app: a, h: h, reported: map[string]time.Time{}}
	live, mirrored := a.Live, enrich.Lookup(&mirror.LeaveOut{Mirror: a.Mirror, LeftOut: left.report})
	inside := a.Config.Lookup.Policy == config.PolicyMirrorThenLive
	var names []string
	if a.Several() {
		names = serverNames(a.Servers)
	}
	if h.Join != nil && live != nil && a.Config.FeedDir == "" {
		live = a.together(h)
		a.Live = live
	}
	if a.Lookup = a.withheld(live); inside {
		a.Lookup = &enrich.MirrorFirst{Mirror: a.Mirror, Live: a.withheld(live), Servers: names}
	}
	if h.Daemon != nil {
		mirrored = timed{mirrored, h.Daemon.Meter, "mirror", a.Config.Timeout}
	}
	switch {
	case a.Several() && live != nil:
		if h.Join == nil {
			live = a.patient(h)
		}
	case h.Daemon != nil:
		live = a.joined(live, h)
	case inside:
		live = a.circuit(h, live)
	}
	live = a.withheld(live)
	if inside {
		return &enrich.MirrorFirst{Mirror: mirrored, Live: live, Servers: names},
			&enrich.MirrorFirst{Mirror: mirrored, Live: live, Servers: names, Whole: true}
	}
	if a.Config.Lookup.Policy == config.PolicyMirror {
		a.Lookup = a.Mirror
		return mirrored, nil
	}
	if a.Mirror != nil {
		a.Lookup = &withSources{a.Mirror, a.Lookup}
		return &withSources{mirrored, live}, nil
	}
	return live, nil
}

// Warned adds to what a look-up finds the names of the warninglists that it is on; nil for nil.
func (a *App) Warned(asked enrich.Lookup) enrich.Lookup {
	if asked == nil || a.Mirror == nil || len(a.Mirror.Warninglists) == 0 {
		return asked
	}
	return warned{asked, a.Mirror}
}

// withheld keeps values from being asked for that must not leave the site; nil for nil. It is outside of what remembers
// answers: there is none for them.
func (a *App) withheld(live enrich.Lookup) enrich.Lookup {
	if live == nil || a.Config.Fallback.AskLive || a.Config.FeedDir != "" {
		return live
	}
	return withheld{live}
}

// circuit asks briefly while MISP is unreachable, and records its outages.
func (a *App) circuit(h Hooks, asked enrich.Lookup) enrich.Lookup {
	return &enrich.Circuit{Asked: asked, Outage: a.recorded(h, State.MISPOutage)}
}

// joined joins the questions to MISP, and records its outages; nil for nil.
func (a *App) joined(live enrich.Lookup, h Hooks) enrich.Lookup {
	if live == nil {
		return nil
	}
	inside := a.Config.Lookup.Policy == config.PolicyMirrorThenLive
	var asked enrich.Lookup = timed{live, h.Daemon.Meter, "misp", 0}
	if inside {
		asked = a.circuit(h, asked)
	}
	batch := enrich.NewBatch(h.Daemon.Context, asked, a.batchLimits(a.Config.MISP, liveWait))
	a.Batches = []*enrich.Batch{batch}
	if inside {
		return remembered{batch, batch, h.Daemon.Meter}
	}
	// Outside of the batch, so that an alert need not wait for a question as long as MISP may take for it.
	return remembered{a.circuit(h, batch), batch, h.Daemon.Meter}
}

// together joins the questions of a verb, which reads without a pause.
func (a *App) together(h Hooks) enrich.Lookup {
	join := func(s Server, asked enrich.Lookup) enrich.Lookup {
		batch := a.batchOf(h.Join, asked, joinWait, s)
		a.closers = append(a.closers, batch.Close)
		return batch
	}
	if a.Several() {
		return a.each(join)
	}
	return join(a.Servers[0], a.Live)
}

// Waiting returns how many values are being asked for.
func (a *App) Waiting() int {
	n := 0
	for _, b := range a.Batches {
		n += b.Waiting()
	}
	return n
}

// expect returns how long a question for so many values is likely to take, where it takes longest.
func (a *App) expect(values int) time.Duration {
	var longest time.Duration
	for _, b := range a.Batches {
		longest = max(longest, b.Expect(values))
	}
	return longest
}

// batchLimits are those of the questions to a server.
func (a *App) batchLimits(m config.MISP, wait time.Duration) enrich.BatchLimits {
	name := "MISP"
	if u, err := url.Parse(m.URL); err == nil {
		name += " at " + u.Host
	}
	return enrich.BatchLimits{
		Name:   name,
		Values: liveValues, Most: liveMost, Aim: liveAim, Filter: a.Config.Lookup.Filter, Wait: wait, Parallel: liveParallel,
		Timeout: a.Config.Timeout, Hit: a.Config.Lookup.RememberHit, Miss: a.Config.Lookup.RememberMiss, Entries: liveEntries / max(1, len(a.Servers)), Bytes: liveBytes / max(1, len(a.Servers)),
	}
}

// chain puts mappings, look-up and sink together with all that keeps an alert from being lost.
func (a *App) chain(h Hooks, lookup enrich.Lookup) *enrich.QueueingPipeline {
	c, state := a.Config, StateOf(a.Config)
	sink := h.Sink
	if sink == nil {
		sink = queue(c)
	}
	spool := NewSpool(c)
	spool.Now = h.Now
	q := &enrich.QueueingPipeline{
		Pipeline: enrich.Pipeline{
			Engine: a.Engine, Lookup: lookup, Sink: sink, Link: c.MISP.URL,
			Filter: filterOf(c, a.declared.Sources), Unlimited: c.Lookup.Policy == config.PolicyMirror, Suppress: a.Suppress,
			Withhold: c.Lookup.Withhold, Links: links(a.Servers), Prevalence: a.prevalence(h),
		},
		Spool: spool, MISP: a.recorded(h, State.MISPOutage), Outages: a.outages(h), Queue: a.recorded(h, State.QueueOutage), Log: h.Log,
		Reserve: c.Queue.SendTimeout, DrainTime: cmp.Or(h.DrainTime, c.Spool.DrainTime), Settle: h.Settle,
		Faults: &enrich.Throttle{Sink: sink, Dir: c.StateDir, Interval: c.ErrorInterval, Now: h.Now},
	}
	if h.Daemon != nil {
		q.Cut = h.Daemon.Meter.Cut
	}
	if len(a.Batches) > 0 {
		q.Alone = func(values int) bool { return values > liveValues || a.expect(values) > c.Timeout/4 }
	}
	switch {
	case c.Lookup.Policy == config.PolicyMirrorThenLive:
		q.Meanwhile = "the mirror answers meanwhile, and MISP is asked later for what the mirror does not know"
	case h.Daemon == nil && a.Several() && c.Lookup.Policy != config.PolicyMirror: // each server has its own
	case h.Daemon == nil:
		q.Circuit = &enrich.Circuit{Asked: lookup, Outage: q.MISP}
	default:
		q.Meanwhile = "alerts wait in Wazuh's own file and are looked up when MISP answers"
	}
	if a.sighter != nil || len(a.sighters) > 0 {
		q.Sightings = &enrich.Sightings{
			Sighter: a.sighter, Sighters: a.sighters, Source: c.Sightings.Source, TLPRed: c.Sightings.TLPRed, Dir: state.Sightings(), Now: h.Now,
		}
		if !c.Sightings.TLPRed {
			q.Sightings.Withhold = c.Lookup.WithholdOutside()
		}
	}
	return q
}

// recorded returns a record of outages with the clock and the log of the chain.
func (a *App) recorded(h Hooks, of func(State) enrich.OutageFile) enrich.OutageFile {
	f := of(StateOf(a.Config))
	f.Now, f.Log = h.Now, h.Log
	if h.Daemon == nil {
		return f
	}
	if a.writers == nil {
		a.writers = map[string]*enrich.OutageWriter{}
	}
	if f.Writer = a.writers[f.Path]; f.Writer == nil {
		f.Writer = &enrich.OutageWriter{}
		a.writers[f.Path], a.closers = f.Writer, append(a.closers, f.Writer.Close)
	}
	return f
}

// Dedup opens Wazuh's queue behind a record of what was sent. One process at a time has it for an alert.
func Dedup(c *config.Config) (*enrich.Dedup, error) { return enrich.NewDedup(queue(c), c.StateDir) }

// QueuePath returns the socket of analysisd: where the configuration says, or where managers before 4.2 have it.
func QueuePath(c *config.Config) string { return queue(c).Path }

// queue returns Wazuh's queue.
func queue(c *config.Config) *wazuh.Queue {
	q := &wazuh.Queue{Path: c.Queue.Path, PlainHeader: c.Queue.PlainHeader, Timeout: c.Queue.SendTimeout}
	if !c.Queue.Default {
		return q
	}
	if _, err := os.Stat(q.Path); errors.Is(err, fs.ErrNotExist) {
		old := c.FromHome(wazuh.OldQueuePath)
		if _, err := os.Stat(old); err == nil {
			q.Path, q.PlainHeader = old, true
		}
	}
	return q
}

// asTrouble returns an error about the configuration as an event reports it.
func asTrouble(err error) *enrich.Trouble {
	if t, ok := errors.AsType[*enrich.Trouble](err); ok {
		return t
	}
	return &enrich.Trouble{Code: enrich.CodeConfig, Err: err}
}

// ReportFault sends an error event about a configuration that no chain can be built for, unless one of its kind was sent
// lately.
func ReportFault(ctx context.Context, c *config.Config, log *slog.Logger, alert enrich.Alert, err error) {
	a := &App{Config: c}
	a.chain(Hooks{Log: log, Now: time.Now}, failing{asTrouble(err)}).Report(ctx, alert, asTrouble(err))
}
