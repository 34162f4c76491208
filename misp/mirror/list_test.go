package mirror

import (
	"os"
	"path/filepath"
	"testing"
)

func file(t testing.TB, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "list.csv")
	must(t, os.WriteFile(name, []byte(content), 0o600))
	return name
}

func syncList(t testing.TB, y *Syncer, o Origin) State {
	t.Helper()
	state, err := y.Sync(t.Context(), o, false)
	must(t, err)
	return state
}
