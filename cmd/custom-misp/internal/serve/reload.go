package serve

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"custom-misp/cmd/custom-misp/internal/config"
	"custom-misp/engine/atomicfile"
	"custom-misp/engine/enrich"
)

// reloads is the result of reloads.
type reloads struct {
	mu       sync.Mutex
	failure  string    // of the last one; empty if it succeeded
	loadedAt time.Time // when the current generation was loaded
}

// note keeps the result of one.
func (r *reloads) note(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.failure = err.Error()
		return
	}
	r.failure, r.loadedAt = "", time.Now()
}

// watch reloads when a file changes that the configuration is made of or names, or on SIGHUP. hard bounds a generation.
func (v *server) watch(ctx, hard context.Context) error {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	every := time.NewTicker(watchInterval)
	defer every.Stop()
	seen := v.current.Load().fingerprint
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hup:
		case <-every.C:
			if g := v.current.Load(); fingerprint(g.config, g.files...) == seen {
				continue
			}
		}
		seen = v.reload(ctx, hard)
	}
}

// reload builds a generation anew. It returns the fingerprint of what it has read, by the configuration that is current
// then: a change that is made meanwhile causes another reload.
func (v *server) reload(ctx, hard context.Context) (seen string) {
	notify(fmt.Sprintf("%s\nMONOTONIC_USEC=%d", daemon.SdNotifyReloading, monotonic()))
	defer notify(daemon.SdNotifyReady)
	old := v.current.Load()
	seen = fingerprint(old.config, old.files...)
	c, err := v.load()
	var g *generation
	if err == nil {
		for _, key := range old.config.NeedRestart(c) {
			v.log.Warn("this change counts only after a restart of serve", "key", key)
		}
		g, err = v.newGeneration(hard, c, false)
	}
	v.reloads.note(err)
	if err != nil {
		v.log.Error("reload failed, keeping the previous configuration", "error", err.Error())
		old.app.Chain.Report(ctx, enrich.Alert{}, &enrich.Trouble{
			Code: enrich.CodeConfig, Err: fmt.Errorf("reload failed: %w", err),
			Remedy: "the previous configuration is kept; correct it, see custom-misp lint and custom-misp config",
		})
		return seen
	}
	v.current.Store(g)
	v.reportChanges(ctx, old, g)
	old.close()
	v.log.Info("configuration and mappings reloaded", "mappings", g.app.Engine.Len(), "policy", string(c.Lookup.Policy))
	return g.fingerprint
}

// monotonic returns the clock that systemd wants to see in microseconds, 0 if there is none.
func monotonic() int64 {
	data, err := atomicfile.ReadRegular("/proc/uptime", 1<<10)
	if err != nil {
		return 0
	}
	var seconds float64
	if _, err := fmt.Sscanf(string(data), "%f", &seconds); err != nil {
		return 0
	}
	return int64(seconds * 1e6)
}

// maxWatched bounds the files that are looked at for changes; a directory with more is compared as far as that.
const maxWatched = 100_000

// fingerprint tells the files that a configuration is made of and names from what they were: names, sizes, times.
// more are files that declared servers name.
func fingerprint(c *config.Config, more ...string) string {
	var b strings.Builder
	n := 0
	for _, name := range append(c.Watched(), more...) {
		_ = filepath.WalkDir(name, func(name string, _ fs.DirEntry, err error) error {
			if n++; n > maxWatched {
				return fs.SkipAll
			}
			if err != nil {
				return nil //nolint:nilerr // what is not there has no fingerprint
			}
			if st, err := os.Stat(name); err == nil && !st.IsDir() {
				fmt.Fprintf(&b, "%s %d %d %s\n", name, st.Size(), st.ModTime().UnixNano(), st.Mode())
			}
			return nil
		})
	}
	return b.String()
}
