package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"custom-misp/cmd/custom-misp/internal/cli"
)

// TestSyncSideBySide has a list whose server does not answer until another one was asked, which is behind it.
func TestSyncSideBySide(t *testing.T) {
	asked := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/slow":
			select {
			case <-asked:
			case <-r.Context().Done():
				return
			}
		case "/fast":
			close(asked)
		}
		_, _ = w.Write([]byte(strings.Trim(r.URL.Path, "/") + ".example.org\n"))
	}))
	defer server.Close()
	home := t.TempDir()
	for _, dir := range []string{"etc", "logs", "integrations", "queue/sockets"} {
		if err := os.MkdirAll(filepath.Join(home, dir), 0o750); err != nil {
			t.Fatal(err)
		}
	}
	config := "lookup: {policy: mirror}\nmirror:\n  lists:\n    - slow=" + server.URL + "/slow\n    - fast=" + server.URL + "/fast\n"
	if err := os.WriteFile(filepath.Join(home, "etc/custom-misp.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	if err := syncMirror(t.Context(), globals{home: home}, cli.Streams{Out: &out, Err: &errs}, nil, false); err != nil {
		t.Fatalf("%v: %s", err, &errs)
	}
	slow, fast := strings.Index(out.String(), "\nslow"), strings.Index(out.String(), "\nfast")
	if slow < 0 || fast < slow {
		t.Errorf("table:\n%s", &out)
	}
}
