package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/tidwall/gjson"

	"custom-misp/engine/enrich"
	"custom-misp/engine/wazuh"
)

// This file is how a call by integratord and a resident process know of each other: by a lock that the latter has, and
// a note in it, which says how large the spool may be. With these a call that hands its alert over reads neither the
// configuration nor the mappings, and is over before a process that does would have begun.

// lockServe takes the lock that one resident of an installation has; a call by integratord sees by it whether there
// is one.
func lockServe(s *settings) (unlock func(), err error) {
	dir := s.path("state_dir")
	if err := os.MkdirAll(filepath.Join(dir, spoolDir), 0o750); err != nil {
		return nil, fmt.Errorf("state_dir: %w; make it for the user that Wazuh runs as", err)
	}
	name := filepath.Join(dir, serveLock)
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o640) //nolint:gosec // as Wazuh has it: for its group
	if err != nil {
		return nil, fmt.Errorf("state_dir: %w; give the directory to the user that Wazuh runs as", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	for range lockTries { // a call that looks whether somebody has the lock has it itself for a moment
		if err == nil {
			break
		}
		time.Sleep(lockWait)
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	if err != nil {
		note, _ := os.ReadFile(name)
		_ = f.Close()
		return nil, fmt.Errorf("serve runs already (pid %s), with the lock %s; see custom-misp status", gjson.GetBytes(note, "pid").String(), name)
	}
	// What was being written when a process was killed; files of calls that run now are younger.
	if leftovers, err := filepath.Glob(filepath.Join(dir, ".new-*")); err == nil {
		for _, l := range leftovers {
			if st, err := os.Stat(l); err == nil && time.Since(st.ModTime()) > time.Minute {
				_ = os.Remove(l)
			}
		}
	}
	_ = f.Truncate(0)
	_, _ = f.WriteAt(fmt.Appendf(nil, `{"pid":%d,"max_entries":%d,"max_mib":%d}`+"\n", os.Getpid(), s.count("spool.max_entries"), s.count("spool.max_mib")), 0)
	return func() { _ = f.Close() }, nil
}

// locked reports whether a resident process has the lock in a state directory, and returns its note.
func locked(dir string) (note []byte, yes bool) {
	f, err := os.Open(filepath.Join(dir, serveLock))
	if err != nil {
		return nil, false
	}
	defer f.Close() //nolint:errcheck // only read
	if !errors.Is(syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB), syscall.EWOULDBLOCK) {
		return nil, false
	}
	note = make([]byte, 512)
	n, _ := f.Read(note)
	return note[:n], true
}

// served reports whether a resident process runs, which takes the alerts that are put into the spool.
func served(s *settings) bool {
	_, yes := locked(s.path("state_dir"))
	return yes
}

// handOverAtOnce hands an alert over to a resident process in the usual place. It reports whether that is done; if not,
// for whatever reason, the call takes its usual course, which also says what is wrong.
func handOverAtOnce(g globalFlags, call wazuh.Call) (bool, error) {
	usual, _ := findOption("state_dir")
	if g.config != "" || call.Debug || os.Getenv(envName(usual.key)) != "" {
		return false, nil
	}
	dir := filepath.Join(findHome(g.home), usual.def.(string))
	note, yes := locked(dir)
	entries, mib := gjson.GetBytes(note, "max_entries").Int(), gjson.GetBytes(note, "max_mib").Int()
	if !yes || entries <= 0 || mib <= 0 {
		return false, nil
	}
	data, err := readAlertFile(call.AlertFile)
	if err != nil {
		return false, nil //nolint:nilerr // said later
	}
	alert, err := enrich.ParseAlert(data)
	if err != nil {
		return false, nil //nolint:nilerr // said later
	}
	if wazuh.IsEnrichment(alert.JSON) {
		return true, nil
	}
	spool := enrich.Spool{Dir: filepath.Join(dir, spoolDir), MaxEntries: int(entries), MaxBytes: mib << 20, Now: time.Now}
	dropped, err := spool.Put(enrich.SpoolAlerts, alert.JSON)
	if err != nil {
		return false, nil //nolint:nilerr // said later, if it fails again
	}
	if dropped > 0 {
		return true, fmt.Errorf("the spool is full, %d of the oldest entries were dropped; see custom-misp status", dropped)
	}
	return true, nil
}

// handOver puts an alert where the resident process takes it from.
func handOver(s *settings, alert enrich.Alert, log *slog.Logger) error {
	dropped, err := newSpool(s).Put(enrich.SpoolAlerts, alert.JSON)
	if err != nil {
		return fmt.Errorf("alert %s is lost: %w", alert.Source.AlertID, err)
	}
	if dropped > 0 {
		log.Error("spool is full, the oldest entries were dropped", "dropped", dropped)
	}
	log.Debug("alert handed over to serve", "alert_id", alert.Source.AlertID)
	return nil
}
