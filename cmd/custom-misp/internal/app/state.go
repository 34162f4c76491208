package app

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"

	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/cmd/custom-misp/internal/config"
	"custom-misp/cmd/custom-misp/internal/handover"
	"custom-misp/engine/enrich"
	"custom-misp/engine/enrich/spool"
	"custom-misp/misp/mirror"
)

// State is the path of a state directory; its methods return the paths of the files in it. Administrators rely on their names.
type State string

// StateOf returns the state directory that the configuration names.
func StateOf(c *config.Config) State { return State(c.StateDir) }

// check returns an error if the directory cannot be there, since a file is in its place or above it. Whether this user
// may see it is another question.
func (s State) check() error {
	for dir := filepath.Clean(string(s)); ; dir = filepath.Dir(dir) {
		st, err := os.Stat(dir)
		if err == nil && !st.IsDir() {
			return cli.WrongUsef("state_dir: %s is not a directory; take it away, or name another directory", dir)
		}
		if err == nil || dir == filepath.Dir(dir) {
			return nil
		}
	}
}

func (s State) path(name string) string { return filepath.Join(string(s), name) }

// Spool is the directory of alerts and events that wait.
func (s State) Spool() string { return s.path("spool") }

// Mirror is the directory of the mirror.
func (s State) Mirror() string { return s.path("mirror") }

// Checkpoint is the file that says up to where serve has read a file of alerts.
func (s State) Checkpoint(f config.AlertsFile) string {
	return s.path("checkpoint" + nameOf(f) + ".json")
}

// CheckpointCopy is an older copy of it, for when it is damaged.
func (s State) CheckpointCopy(f config.AlertsFile) string {
	return s.path("checkpoint" + nameOf(f) + ".previous.json")
}

// Later is the file that says where the alerts begin that MISP has to be asked about after an outage.
func (s State) Later(f config.AlertsFile) string { return s.path("delayed" + nameOf(f) + ".json") }

// nameOf is what the state of a file of alerts has in its names: nothing for the main one, -archives-1f0c6bf2 for another, which
// does not depend on what other files there are.
func nameOf(f config.AlertsFile) string {
	if f.Main {
		return ""
	}
	sum := sha256.Sum256([]byte(f.Path))
	return "-" + strings.TrimSuffix(filepath.Base(f.Path), ".json") + "-" + hex.EncodeToString(sum[:4])
}

// Socket is where serve answers.
func (s State) Socket() string { return s.path("serve.sock") }

// Lock is the file that serve has locked while it runs.
func (s State) Lock() string { return s.path(handover.LockFile) }

// MISPOutage is the record of outages of MISP.
func (s State) MISPOutage() enrich.OutageFile {
	return enrich.OutageFile{Path: s.path("misp.json")}
}

// ServerOutage is the record of outages of one of several MISP servers.
func (s State) ServerOutage(name string) enrich.OutageFile {
	if name == mirror.ServerName {
		return s.MISPOutage()
	}
	return enrich.OutageFile{Path: s.path("misp." + name + ".json")}
}

// QueueOutage is the record of outages of Wazuh's queue.
func (s State) QueueOutage() enrich.OutageFile {
	return enrich.OutageFile{Path: s.path("queue.json")}
}

// Sightings is the directory that remembers which attributes were reported.
func (s State) Sightings() string { return s.path("sightings") }

// Repeats is the file that counts repeated hits.
func (s State) Repeats() string { return s.path("repeats") }

// Quality is the file that counts hits by source.
func (s State) Quality() string { return s.path("quality.json") }

// LookBack is the directory of what was looked up in the history, and reported.
func (s State) LookBack() string { return s.path("lookback") }

// History is the directory of what was seen.
func (s State) History() string { return s.path("history") }

// NewSpool returns the spool that the configuration describes.
func NewSpool(c *config.Config) *spool.Dir {
	return &spool.Dir{Path: StateOf(c).Spool(), MaxEntries: c.Spool.MaxEntries, MaxBytes: c.Spool.MaxBytes}
}
