package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"custom-misp/cmd/custom-misp/internal/cli"
)

// watchInterval is how often lint --watch looks for changes. It compares times and sizes of files, and asks the system for no
// events of them: these do not come from network drives and from outside of a container, and end when an editor saves by renaming.
// For some hundred files a look takes a few milliseconds.
const watchInterval = time.Second

// lintOnChange lints, and again after each change of a file, when tick says to look for one, until ctx ends.
func lintOnChange(ctx context.Context, s cli.Streams, tick <-chan time.Time, names []string, lint func() error) error {
	for {
		seen := filesState(names)
		if err := lint(); err != nil && !errors.Is(err, cli.ErrReported) {
			cli.PrintError(s.Err, "custom-misp", err)
		}
		fmt.Fprintln(s.Out, "\nwaiting for a change; an interrupt ends this")
		for changed := false; !changed; {
			select {
			case <-ctx.Done():
				return nil
			case <-tick:
				changed = filesState(names) != seen
			}
		}
	}
}

// filesState returns a text that differs after a change of one of the files, or of one in the directories.
func filesState(names []string) string {
	var b strings.Builder
	for _, name := range names {
		_ = filepath.WalkDir(name, func(path string, _ fs.DirEntry, err error) error {
			st, statErr := os.Stat(path)
			if err != nil || statErr != nil {
				fmt.Fprintf(&b, "%s gone\n", path)
				return nil //nolint:nilerr // that it is gone is a state too
			}
			fmt.Fprintf(&b, "%s %d %d\n", path, st.Size(), st.ModTime().UnixNano())
			return nil
		})
	}
	return b.String()
}
