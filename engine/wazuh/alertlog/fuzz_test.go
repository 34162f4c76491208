package alertlog_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"custom-misp/engine/wazuh/alertlog"
)

// FuzzFollow reads any bytes as a file of alerts, and as a compressed one with a checkpoint that fits.
func FuzzFollow(f *testing.F) {
	packed := pack(f, []byte("a\nb\n"))
	f.Add([]byte("a\n\nb\nc"))
	f.Add(packed)
	f.Add(packed[:len(packed)-5])
	f.Add([]byte("\x1f\x8b\x08"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			t.Skip()
		}
		path := filepath.Join(t.TempDir(), "alerts.json")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		plain, _ := follow(t, path, nil, alertlog.FromStart())
		var want []string
		if end := bytes.LastIndexByte(data, '\n'); end >= 0 {
			for line := range bytes.SplitSeq(data[:end], []byte("\n")) {
				if len(bytes.TrimSpace(line)) > 0 {
					want = append(want, string(line))
				}
			}
		}
		expect(t, plain, want...)
		from := plain.At()

		if err := os.Rename(path, path+".1.gz"); err != nil {
			t.Fatal(err)
		}
		again, err := alertlog.Follow(path, &from)
		if err != nil {
			t.Fatal(err)
		}
		defer again.Close() //nolint:errcheck // only read
		for range 2 * alertlog.Patience {
			if _, _, err := again.Step(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// FuzzLoadCheckpoint loads any bytes; what can be loaded can be followed from.
func FuzzLoadCheckpoint(f *testing.F) {
	f.Add([]byte(`{"file":"2026/Jan/ossec-alerts-05-001.json","offset":0,"opened":"2026-01-05T00:00:00Z"}`))
	f.Add([]byte(`{"prefix_length":1,"prefix_sha256":"ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb","offset":2}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s := newSite(t)
		s.write("a\nb\n")
		name := filepath.Join(t.TempDir(), "checkpoint.json")
		s.must(os.WriteFile(name, data, 0o600))
		c, ok, err := alertlog.LoadCheckpoint(name)
		if err != nil || !ok {
			return
		}
		follower, _ := follow(t, s.path, &c)
		_ = follower.Behind(c)
		_, _, _ = drain(t, follower)
	})
}
