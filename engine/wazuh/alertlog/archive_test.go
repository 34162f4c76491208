package alertlog

import (
	"bytes"
	"compress/gzip"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// TestGenerationEmpty looks whether there is anything in a file of the archive, plain or compressed.
func TestGenerationEmpty(t *testing.T) {
	t.Parallel()
	packed := func(text string) []byte {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		if _, err := z.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	path := filepath.Join(t.TempDir(), "ossec-alerts-05.json")
	stat := func(name string, content []byte) fs.FileInfo {
		t.Helper()
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	for name, tt := range map[string]struct {
		plain, compressed []byte // nil if there is no such file
		want              bool
	}{
		"no file":                {nil, nil, true},
		"plain, nothing":         {[]byte{}, nil, true},
		"plain, a line":          {[]byte("a\n"), nil, false},
		"compressed, no byte":    {nil, []byte{}, true},
		"compressed, nothing":    {nil, packed(""), true},
		"compressed, a line":     {nil, packed("a\n"), false},
		"compressed, cut short":  {nil, packed("a\n")[:12], false},
		"plain before the other": {[]byte{}, packed("a\n"), true},
	} {
		g := generation{path: path}
		if tt.plain != nil {
			g.plain = stat(path, tt.plain)
		}
		if tt.compressed != nil {
			g.compressed = stat(path+".gz", tt.compressed)
		}
		if got := g.empty(); got != tt.want {
			t.Errorf("%s: empty %t, want %t", name, got, tt.want)
		}
	}
}
