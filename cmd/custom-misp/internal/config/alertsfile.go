package config

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// An AlertsFile is a file that serve follows.
type AlertsFile struct {
	Path string
	// Main is set for the first file that is no archives.json. It has the state of an installation with one file, and calls by
	// integratord may leave its alerts to serve.
	Main bool
	// Archive is set for archives.json, which has all events. Alerts is then the file among the others that has those with an
	// alert too, empty if there is none.
	Archive bool
	Alerts  string
}

// archives is the name of the file that has all events.
const archives = "archives.json"

// Files returns the files that serve follows, those of alerts first, each once.
func (s Serve) Files() []AlertsFile {
	var alerts, all []AlertsFile
	for _, path := range s.Alerts {
		switch {
		case path == "" || slices.ContainsFunc(slices.Concat(alerts, all), func(f AlertsFile) bool { return f.Path == path }):
		case filepath.Base(path) == archives:
			all = append(all, AlertsFile{Path: path, Archive: true})
		default:
			alerts = append(alerts, AlertsFile{Path: path, Main: len(alerts) == 0})
		}
	}
	for i := range all {
		if of := ofSameManager(all[i].Path, alerts); len(of) == 1 {
			all[i].Alerts = of[0].Path
		}
	}
	return append(alerts, all...)
}

// ofSameManager returns the files of alerts that may be those of the manager of an archives.json: the one in logs/alerts beside
// logs/archives, or else all.
func ofSameManager(archives string, alerts []AlertsFile) []AlertsFile {
	logs := func(path string) string { return filepath.Dir(filepath.Dir(path)) }
	beside := slices.DeleteFunc(slices.Clone(alerts), func(f AlertsFile) bool { return logs(f.Path) != logs(archives) })
	if len(beside) > 0 {
		return beside
	}
	return alerts
}

// checkAlerts refuses an archives.json of which it cannot be known where its alerts are.
func (s Serve) checkAlerts() error {
	files := s.Files()
	alerts := slices.DeleteFunc(slices.Clone(files), func(f AlertsFile) bool { return f.Archive })
	for _, f := range files {
		if of := ofSameManager(f.Path, alerts); f.Archive && len(of) > 1 {
			var names []string
			for _, a := range of {
				names = append(names, a.Path)
			}
			return fmt.Errorf("serve.alerts: which of %s has the alerts of %s? Name them so that they are in directories beside each other, like logs/alerts/alerts.json and logs/archives/archives.json",
				strings.Join(names, " and "), f.Path)
		}
	}
	return nil
}
