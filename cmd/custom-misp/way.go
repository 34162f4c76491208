package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/misp/api"
	"custom-misp/misp/mirror"
)

// A way is all that a resident process makes of one configuration: the way of an alert, and the syncs of the mirror.
// When the configuration changes, another takes its place; what has begun ends on the old one.
type way struct {
	settings *settings
	made     time.Time
	seen     string // fingerprint of the files, before the mappings were read
	durable  *enrich.Durable
	policy   string
	mirror   *mirror.Mirror // nil if the policy is live
	syncer   *mirror.Syncer // nil if the policy is live
	batch    *enrich.Batch  // nil if it is mirror
	live     bool           // MISP is asked
	stop     context.CancelFunc
	clients  []*api.Client // that hold connections
	syncs    sync.WaitGroup
	log      *slog.Logger
}

// close ends the syncs.
func (w *way) close() {
	w.stop()
	w.syncs.Wait()
	if w.mirror != nil {
		w.syncer.Close()
		w.mirror.Close()
	}
	for _, c := range w.clients {
		c.Close()
	}
}

const (
	liveValues   = 1000                  // in one question to MISP
	liveWait     = 50 * time.Millisecond // for more of them
	liveParallel = 2                     // questions at a time: more only wait for each other in MISP
	liveEntries  = 200_000               // answers that are remembered
	firstSync    = time.Minute           // until a mirror that could not be made is told of: networks come up late
)

// newWay makes a way. ctx bounds it: also its questions to MISP, which go on when another way has taken its place. At
// the start of the program, mappings with faults are left out and the others do their work, as in a call; later they
// are a reason to keep what was there.
func (v *server) newWay(ctx context.Context, s *settings, start bool) (*way, error) {
	seen := s.fingerprint(v.global)
	sources, err := mappingSources(s, nil)
	if err != nil {
		return nil, err
	}
	e, faults := engine.Load(sources...)
	if faults != nil && !start {
		return nil, faults
	}
	if e, err = forSite(s, e); err != nil {
		return nil, err
	}
	asking := ctx
	ctx, stop := context.WithCancel(ctx)
	w := &way{settings: s, seen: seen, made: time.Now(), policy: s.text("lookup.policy"), stop: stop, log: v.log}
	var lookup enrich.Lookup
	var sighter enrich.Lookup // the live one: it takes sightings
	if w.policy != policyMirror || s.flag("sightings.enabled") {
		live, err := newLive(s, v.log)
		if err != nil {
			stop()
			return nil, err
		}
		sighter = live
		if c, ok := live.(*api.Client); ok {
			w.clients = append(w.clients, c)
		}
		if w.policy != policyMirror {
			w.live = s.path("feed.dir") == ""
			lookup = live
		}
	}
	if w.policy != policyLive {
		if w.mirror, err = newMirror(s); err != nil {
			stop()
			return nil, err
		}
	}
	w.durable = newDurable(s, e, sighter, v.log)
	w.durable.Sink = v.once
	w.durable.Faults.Sink = v.once
	w.durable.DrainTime = drainTimeout
	if lookup != nil {
		var asked enrich.Lookup = timed{lookup, v.meter, "misp"}
		if w.policy == policyMirrorThenLive {
			asked = &enrich.Circuit{Asked: asked, Outage: w.durable.MISP, Log: v.log, Now: time.Now}
		}
		w.batch = enrich.NewBatch(asking, asked, enrich.BatchLimits{
			Values: liveValues, Wait: liveWait, Parallel: liveParallel, Timeout: s.duration("timeout"),
			Hit: s.duration("lookup.remember_hit"), Miss: s.duration("lookup.remember_miss"), Entries: liveEntries,
		})
		w.durable.Lookup, w.durable.Local = cached{w.batch, w.batch, v.meter}, true
		if w.policy == policyLive {
			// Outside of the batch, so that an alert need not wait for a question as long as MISP may take for it.
			circuit := &enrich.Circuit{Asked: w.batch, Outage: w.durable.MISP, Log: v.log, Now: time.Now}
			w.durable.Lookup = cached{circuit, w.batch, v.meter}
		}
	}
	switch w.policy {
	case policyMirror:
		w.durable.Lookup = timed{w.mirror, v.meter, "mirror"}
		w.durable.Local = true
	case policyMirrorThenLive:
		w.durable.Lookup = &enrich.MirrorFirst{Mirror: timed{w.mirror, v.meter, "mirror"}, Live: w.durable.Lookup}
	}
	w.durable.Meanwhile = "alerts wait in Wazuh's own file and are looked up when MISP answers"
	if w.policy == policyMirrorThenLive {
		w.durable.Meanwhile = "the mirror answers meanwhile"
	}
	if w.mirror != nil {
		if err := v.syncAll(ctx, w); err != nil {
			stop()
			return nil, err
		}
	}
	if faults != nil {
		v.log.Error("mapping files left out", "faults", faults.Error())
		w.durable.Tell(ctx, enrich.Alert{}, &enrich.Trouble{Code: enrich.CodeMapping, Err: faults, Remedy: "these files are left out, see custom-misp lint"})
	}
	return w, nil
}

// syncAll keeps every origin of the mirror in step until ctx ends.
func (v *server) syncAll(ctx context.Context, w *way) error {
	origins, err := newOrigins(w.settings, v.log)
	if err != nil {
		return err
	}
	w.syncer = newSyncer(w.settings, v.log)
	for _, o := range origins {
		if s, ok := o.(*mirror.Server); ok {
			w.clients = append(w.clients, s.Client)
		}
		w.syncs.Go(func() { v.keepInStep(ctx, w, w.syncer, o) })
	}
	return nil
}

// keepInStep syncs one origin again and again; after a failure sooner than usual, and then later and later.
func (v *server) keepInStep(ctx context.Context, w *way, y *mirror.Syncer, o mirror.Origin) {
	usual := w.settings.originInterval(o)
	failures := 0
	for {
		_, err := y.Sync(ctx, o, false)
		wait := usual
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, mirror.ErrBusy):
			wait = min(usual, 10*time.Second)
		case err != nil:
			v.meter.syncFailed(o.Name())
			if failures++; failures == 1 {
				v.log.Warn("mirror not synced; it stays as it was", "origin", o.Name(), "error", err.Error())
			}
			wait = min(usual, 5*time.Second<<min(failures, 8))
		case failures > 0:
			v.log.Info("mirror is in step again", "origin", o.Name(), "failures", failures)
			failures = 0
		}
		w.mirror.Refresh()
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// tell tells Wazuh what an administrator must know: that MISP is away, also if the mirror answers meanwhile, and that
// the mirror is old or not there.
func (w *way) tell(ctx context.Context) {
	w.durable.TellOutage(ctx, enrich.Alert{})
	if w.mirror == nil {
		return
	}
	for _, s := range w.mirror.States() {
		var err error
		switch {
		case s.SyncedAt.IsZero() && s.Failure != "" && time.Since(w.made) >= firstSync:
			err = fmt.Errorf("there is no mirror of %s yet: %s", s.Origin, s.Failure)
		case s.SyncedAt.IsZero() || s.Age(time.Now()) < w.settings.duration("serve.stale_after"):
			continue
		default:
			err = fmt.Errorf("the mirror of %s is of %s: %s", s.Origin, s.SyncedAt.Format(time.RFC3339), cmp.Or(s.Failure, "no sync has ended since"))
		}
		w.durable.Tell(ctx, enrich.Alert{}, &enrich.Trouble{
			Code: enrich.CodeMirror, Err: err, Remedy: "see custom-misp status; custom-misp sync tries at once",
		})
	}
}

// timed is a Lookup whose time is measured.
type timed struct {
	lookup enrich.Lookup
	meter  *meter
	by     string
}

// Lookup implements enrich.Lookup.
func (t timed) Lookup(ctx context.Context, observables []engine.Observable) ([]enrich.Match, error) {
	began := time.Now()
	matches, err := t.lookup.Lookup(ctx, observables)
	if err == nil {
		t.meter.asked(t.by, len(observables), countKnown(matches), time.Since(began))
	}
	return matches, err
}

// countKnown counts the observables that have matches.
func countKnown(matches []enrich.Match) int {
	known := map[engine.Indicator]bool{}
	for _, m := range matches {
		known[m.Observable.Indicator()] = true
	}
	return len(known)
}

// cached counts what a batch remembers. Where that is all, nobody else is asked: it says nothing about MISP.
type cached struct {
	asked enrich.Lookup
	batch *enrich.Batch
	meter *meter
}

// Lookup implements enrich.Lookup.
func (c cached) Lookup(ctx context.Context, observables []engine.Observable) ([]enrich.Match, error) {
	var all []enrich.Match
	remembered := 0
	for _, o := range observables {
		if known, ok := c.batch.Known(o); ok {
			remembered++
			all = append(all, known...)
			c.meter.remembered(len(known) > 0)
		}
	}
	if remembered == len(observables) {
		return all, nil
	}
	return c.asked.Lookup(ctx, observables)
}

// reloads is what became of changes of the configuration.
type reloads struct {
	mu   sync.Mutex
	err  string    // why the last one failed; empty if it did not
	good time.Time // when what is in force was loaded
}

// note takes the end of one down.
func (r *reloads) note(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.err = err.Error()
		return
	}
	r.err, r.good = "", time.Now()
}

// watch loads the configuration and the mappings anew when their files change, or on SIGHUP. hard is what bounds a way.
func (v *server) watch(ctx, hard context.Context) error {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	every := time.NewTicker(watchInterval)
	defer every.Stop()
	seen := v.way.Load().seen
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hup:
		case <-every.C:
			if v.way.Load().settings.fingerprint(v.global) == seen {
				continue
			}
		}
		seen = v.reload(ctx, hard)
	}
}

// atStart are the keys that count only when serve starts.
var atStart = []string{"state_dir", "wazuh.queue", "wazuh.plain_header", "serve.alerts", "serve.listen", "serve.listen_anywhere", "log.file", "log.format", "log.level"}

// reload returns the fingerprint of what it has read, by the settings that are in force then. A change that is made
// meanwhile makes another one.
func (v *server) reload(ctx, hard context.Context) (seen string) {
	notify(fmt.Sprintf("%s\nMONOTONIC_USEC=%d", daemon.SdNotifyReloading, monotonic()))
	defer notify(daemon.SdNotifyReady)
	old := v.way.Load()
	seen = old.settings.fingerprint(v.global)
	i := readInstallation(v.global)
	err := i.settingsErr
	var w *way
	if err == nil {
		for _, key := range atStart {
			if fmt.Sprint(i.s.k.Get(key)) != fmt.Sprint(old.settings.k.Get(key)) {
				v.log.Warn("this change counts only after a restart of serve", "key", key)
			}
		}
		w, err = v.newWay(hard, i.s, false)
	}
	v.reloads.note(err)
	if err != nil {
		v.log.Error("change of the configuration or a mapping not taken over; what was there stays in force", "error", err.Error())
		old.durable.Tell(ctx, enrich.Alert{}, &enrich.Trouble{
			Code: enrich.CodeConfig, Err: fmt.Errorf("a change was not taken over: %w", err), Remedy: "what was there stays in force; mend it, see custom-misp lint and custom-misp config",
		})
		return seen
	}
	v.way.Store(w)
	old.close()
	v.log.Info("configuration and mappings loaded anew", "mappings", w.durable.Engine.Len(), "policy", w.policy)
	return w.seen
}

// monotonic returns the clock that systemd wants to see in microseconds, 0 if there is none.
func monotonic() int64 {
	data, err := os.ReadFile("/proc/uptime")
	if err != nil {
		return 0
	}
	var seconds float64
	if _, err := fmt.Sscanf(string(data), "%f", &seconds); err != nil {
		return 0
	}
	return int64(seconds * 1e6)
}

// fingerprint tells the files that settings and mappings are read from, from what they were: names, sizes, times.
func (s *settings) fingerprint(g globalFlags) string {
	files := []string{g.config, s.fromHome("etc/custom-misp.yaml"), s.fromHome("etc/ossec.conf")}
	for _, key := range []string{"misp.key_file", "misp.ca_file", "misp.client_cert_file", "misp.client_key_file"} {
		files = append(files, s.path(key))
	}
	files = append(files, s.paths("ignore.files")...)
	var b strings.Builder
	add := func(name string, st fs.FileInfo) {
		fmt.Fprintf(&b, "%s %d %d %s\n", name, st.Size(), st.ModTime().UnixNano(), st.Mode())
	}
	for _, name := range files {
		if st, err := os.Stat(name); name != "" && err == nil {
			add(name, st)
		}
	}
	for _, dir := range s.paths("mappings.dirs") {
		_ = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && engine.IsMappingFile(name) {
				if st, err := os.Stat(name); err == nil {
					add(name, st)
				}
			}
			return nil
		})
	}
	return b.String()
}
