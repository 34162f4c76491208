package cli

import (
	"runtime/debug"
)

// release is set by the linker in releases: -ldflags "-X custom-misp/cmd/custom-misp/internal/cli.release=v1.2.3".
var release string

// Version returns the release, or the commit that the binary was built from.
func Version() string {
	if release != "" {
		return release
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	revision, modified := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = "-modified"
		}
	}
	if revision == "" {
		return "development"
	}
	return revision + modified
}
