package serve

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/cmd/custom-misp/internal/manager"
	"custom-misp/engine/enrich"
)

// maxChanged is how many files an event about changes names.
const maxChanged = 20

// reportChanges reports to Wazuh that another configuration is used: which files changed, whose they are, and when that
// was. Who changed a file is not known; its owner is who could.
func (v *server) reportChanges(ctx context.Context, old, now *generation) {
	files := changedFiles(old.fingerprint, now.fingerprint)
	if len(files) == 0 {
		return
	}
	e := enrich.Enrichment{Body: enrich.Body{
		Notice: enrich.NoticeChanged, Description: fmt.Sprintf("the configuration of custom-misp changed: %s, first %s", cli.Plural(len(files), "file"), files[0]),
	}}
	for _, file := range files[:min(len(files), maxChanged)] {
		e.Body.Changed = append(e.Body.Changed, describeFile(file))
	}
	if err := v.events.Dedup.Send(ctx, e); err != nil {
		v.log.Error("a change of the configuration was not reported", "error", err.Error())
	}
}

// changedFiles returns the files that two fingerprints do not agree on, sorted.
func changedFiles(old, now string) []string {
	before, after := marks(old), marks(now)
	var changed []string
	for file, mark := range after {
		if before[file] != mark {
			changed = append(changed, file)
		}
	}
	for file := range before {
		if after[file] == "" {
			changed = append(changed, file)
		}
	}
	slices.Sort(changed)
	return changed
}

// marks returns what a fingerprint says of each file.
func marks(fingerprint string) map[string]string {
	all := map[string]string{}
	for line := range strings.Lines(fingerprint) {
		line = strings.TrimSpace(line)
		at := len(line)
		for range 3 { // size, time and mode; a name may have blanks
			at = max(0, strings.LastIndexByte(line[:at], ' '))
		}
		all[line[:at]] = line[at:]
	}
	return all
}

// describeFile says whose a file is and when it was changed.
func describeFile(file string) string {
	st, err := os.Stat(file)
	if err != nil {
		return file + " is gone"
	}
	return fmt.Sprintf("%s, owner %s, changed %s", file, manager.ShownOwner(st), st.ModTime().UTC().Format(time.RFC3339))
}
