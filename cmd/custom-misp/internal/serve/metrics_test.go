package serve

import (
	"bytes"
	"flag"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/cmd/custom-misp/internal/lookback"
	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/misp/mirror"
)

var update = flag.Bool("update", false, "rewrite the list of metrics")

// TestMetrics checks that the list of metrics beside the dashboard is what the program measures; -update writes it.
func TestMetrics(t *testing.T) {
	m := newMetrics()
	o := engine.Observable{Type: "md5", Value: "c5c25b9b35b01135e8a037f2ee1213a5", Picks: []engine.Pick{{Mapping: "m", Path: "p", Type: "md5"}}}
	m.Picked([]engine.Observable{o}, []enrich.Match{{Observable: o}})
	for _, by := range []string{"mirror", "misp"} {
		m.Asked(by, 2, 1, time.Millisecond)
	}
	m.Remembered(true)
	m.Remembered(false)
	m.Cut(engine.Cut{Mapping: "m", Path: "p", What: engine.CutText, Number: 1})
	m.syncFailed("osint")
	m.listenerFull("socket")
	m.LeftOut("osint", 3)
	var out bytes.Buffer
	m.write(&out, Status{
		Version: "v1", CanaryAt: time.Now(), Mirror: []MirrorStatus{{Origin: "osint", Kind: mirror.KindFeed, SyncedAt: time.Now()}},
		Sources: []app.QualityRow{{Source: "osint", Hits: 1}}, History: &HistoryStatus{}, LookBack: &lookback.Status{},
	})
	if !strings.Contains(out.String(), `custom_misp_hits_total{mapping="m",type="md5"} 1`+"\n") {
		t.Errorf("no hit in:\n%s", &out)
	}
	for line := range strings.Lines(out.String()) {
		name := familyOf(line)
		if !strings.HasPrefix(line, metricPrefix) {
			continue
		}
		f, ok := families[strings.TrimPrefix(name, metricPrefix)]
		head := "# HELP " + name + " " + f.help + "\n# TYPE " + name + " " + f.kind + "\n"
		if !ok || strings.Count(out.String(), head) != 1 || strings.Index(out.String(), head) > strings.Index(out.String(), line) {
			t.Errorf("%s has no help and type before its values, once; add it to families", name)
		}
		if (f.kind == "counter") != strings.HasSuffix(name, "_total") {
			t.Errorf("%s is a %s", name, f.kind)
		}
	}
	labels := map[string]map[string]bool{}
	line := regexp.MustCompile(`(?m)^(custom_misp[a-z_]*?|process_resident_memory_bytes|process_cpu_seconds_total|process_open_fds|go_goroutines)(?:_bucket|_sum|_count)?(?:\{(.*)\})? [^ ]+$`)
	for _, found := range line.FindAllStringSubmatch(out.String(), -1) {
		if labels[found[1]] == nil {
			labels[found[1]] = map[string]bool{}
		}
		for _, label := range regexp.MustCompile(`([a-z_]+)="`).FindAllStringSubmatch(found[2], -1) {
			labels[found[1]][label[1]] = true
		}
	}
	var list []string
	for name, has := range labels {
		var names []string
		for label := range has {
			names = append(names, label)
		}
		slices.Sort(names)
		list = append(list, strings.TrimSpace(name+" "+strings.Join(names, " ")))
	}
	slices.Sort(list)
	want := "# Metrics of custom-misp serve, and their labels. Written by go test ./cmd/custom-misp/internal/serve -run Metrics -update\n" + strings.Join(list, "\n") + "\n"
	const file = "../../../../examples/monitoring/metrics.txt"
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil { //nolint:gosec // a document
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != want {
		t.Errorf("%s is out of date (%v), run: go test ./cmd/custom-misp/internal/serve -run Metrics -update", file, err)
	}
}
