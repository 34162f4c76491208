package doctor

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/engine"
	"custom-misp/misp/misptest"
)

// unpack returns the files of a bundle by name.
func unpack(t *testing.T, data []byte) map[string]string {
	t.Helper()
	zipped, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for archive := tar.NewReader(zipped); ; {
		head, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		files[strings.TrimPrefix(head.Name, "custom-misp-bundle/")] = string(content)
	}
}

// observed returns what the mappings pick from the bundled alerts.
func observed(t *testing.T, w *ward) []engine.Observable {
	t.Helper()
	i := w.examination(t, nil)
	e, _, err := app.Engine(i.config)
	if err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob("../../../../testdata/alerts/*.json")
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	var all []engine.Observable
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		picked, err := e.Pick(data)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		all = append(all, picked...)
	}
	return all
}

// TestBundle checks that the archive has everything that helps, and neither secrets nor values of alerts.
func TestBundle(t *testing.T) {
	w := newWard(t)
	w.configure(t, "ignore: {values: [corp.example]}\n")
	w.block(t, blockName+blockFormat+blockLevel+"<api_key>"+misptest.Key+"</api_key><options>{\"misp\": {\"key\": \"another-key\"}, \"timeout\": \"9s\"}</options>")
	values := observed(t, w)
	if len(values) < 50 {
		t.Fatalf("only %d values are picked", len(values))
	}
	var log strings.Builder
	for _, v := range values {
		fmt.Fprintf(&log, "2026/11/25 10:00:00 custom-misp: WARNING: alert queued until MISP answers alert_id=1764064800.100 reason=\"MISP refused %s\" queued=1\n", v.Value)
		fmt.Fprintf(&log, "2026/11/25 10:00:00 custom-misp: DEBUG: asked value=%s\n", v.Value)
	}
	fmt.Fprintf(&log, "2026/11/25 10:00:01 custom-misp: WARNING: mappings failed on this alert errors=\"int: parsing \\\"jexample\\\"\" file=/x/site.yaml key=misp.timeout\n")
	w.write(t, "logs/integrations.log", log.String(), 0o660)
	w.write(t, "logs/ossec.log", "2026/11/25 10:00:00 wazuh-integratord: INFO: Enabling integration for: 'custom-misp'.\n"+
		"2026/11/25 10:00:02 wazuh-integratord: ERROR: Command exited abnormally: integrations /tmp/custom-misp-1-2.alert "+misptest.Key+"\n"+
		"2026/11/25 10:00:02 wazuh-remoted: INFO: something else\n", 0o660)
	data, err := w.examination(t, nil).bundle(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	files := unpack(t, data)
	var names []string
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	want := []string{
		"configuration.json", "doctor.json", "doctor.txt", "integration.txt", "integrations.log", "ossec.log", "state.txt", "status.json", "versions.json",
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	for name, content := range files {
		for _, secret := range []string{misptest.Key, "another-key", "corp.example", "jexample"} {
			if strings.Contains(content, secret) {
				t.Errorf("%s has %q", name, secret)
			}
		}
		for _, v := range values {
			if (strings.ContainsAny(v.Value, ".:") || len(v.Value) >= 32) && len(v.Value) > 6 && strings.Contains(content, "refused "+v.Value+`"`) {
				t.Errorf("%s has the value %q of an alert", name, v.Value)
			}
		}
	}
	for name, part := range map[string]string{
		"versions.json": `"wazuh": "4.14.7"`, "configuration.json": `"1 value"`, "doctor.txt": "the key is in <api_key>", "integration.txt": "<api_key>********</api_key>",
		"integrations.log": "alert queued until MISP answers alert_id=1764064800.100", "ossec.log": "Enabling integration for: 'custom-misp'", "state.txt": "spool: ",
		"status.json": `"policy": "live"`,
	} {
		if !strings.Contains(files[name], part) {
			t.Errorf("%s lacks %q:\n%s", name, part, files[name])
		}
	}
	for _, part := range []string{"DEBUG", "remoted"} {
		if strings.Contains(files["integrations.log"]+files["ossec.log"], part) {
			t.Errorf("a log has %q", part)
		}
	}
	if !strings.Contains(files["integrations.log"], "file=/x/site.yaml key=misp.timeout") {
		t.Errorf("too much is masked:\n%s", files["integrations.log"][max(0, len(files["integrations.log"])-300):])
	}
}
