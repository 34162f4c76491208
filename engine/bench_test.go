package engine_test

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/vm"
	"github.com/tidwall/gjson"
	"go.yaml.in/yaml/v4"

	"custom-misp/engine"
	"custom-misp/mappings"
)

func benchAlert(b *testing.B, name string) []byte {
	b.Helper()
	data, err := os.ReadFile("../testdata/alerts/" + name + ".json")
	if err != nil {
		b.Fatal(err)
	}
	return data
}

// BenchmarkPick measures picking with the built-in mappings: from an alert that matches, from one that none can
// match, with a hundred times as many mappings for other groups, and from an alert of 60 KB; all without fallback. With
// it: from an alert that only a fallback picks from, and from one of 1.5 KB from which nothing is picked. Compare with
// BenchmarkBaseline in the same run.
func BenchmarkPick(b *testing.B) {
	whole, match := builtin(b), benchAlert(b, "sysmon-windows-1-process")
	nomatch := benchAlert(b, "windows-security-log-cleared")
	sources, err := engine.ReadFS(mappings.FS, "mappings")
	if err != nil {
		b.Fatal(err)
	}
	sources = slices.DeleteFunc(sources, func(s engine.Source) bool { return strings.HasSuffix(s.Name, "/fallback.yaml") })
	small, err := engine.Load(sources...)
	if err != nil {
		b.Fatal(err)
	}
	for f := range 99 {
		var file strings.Builder
		file.WriteString("version: 1\nmappings:\n")
		for i := range small.Mappings() {
			fmt.Fprintf(&file, "  - id: generated-%d-%d\n    match: '\"group-%d-%d\" in groups and field(\"data.kind\") == \"x\"'\n"+
				"    pick: [{path: data.srcip, type: ip-src}]\n", f, i, f, i)
		}
		sources = append(sources, engine.Source{Name: fmt.Sprintf("many-%d.yaml", f), Data: []byte(file.String())})
	}
	large, err := engine.Load(sources...)
	if err != nil {
		b.Fatal(err)
	}
	long := []byte(strings.Replace(string(match), `"commandLine":"`, `"commandLine":"`+strings.Repeat("x", 58_000), 1))
	for _, bb := range []struct {
		name  string
		e     *engine.Engine
		alert []byte
	}{
		{"match", small, match},
		{"nomatch", small, nomatch},
		{"match100x", large, match},
		{"nomatch100x", large, nomatch},
		{"large", small, long},
		{"fallback", whole, fallbackAlert(`"src_ip":"192.31.196.1","query":"bad.example","message":"blocked http://bad.example/x"`)},
		{"fallback-nomatch", whole, fallbackAlert(`"src_ip":"10.0.0.1","query":"printer","message":"nothing to see"`)},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(bb.alert)))
			for b.Loop() {
				if _, err := bb.e.Pick(bb.alert); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// fallbackAlert returns an alert of 1.5 KB of a product that no mapping knows, with members of data.
func fallbackAlert(members string) []byte {
	const alert = `{"timestamp":"2026-10-05T08:10:00.123+0000","rule":{"level":5,"description":"Acme gateway: connection refused by policy","id":"100100",` +
		`"firedtimes":3,"mail":false,"groups":["acme","gateway"]},"agent":{"id":"007","name":"gw01","ip":"10.20.4.8"},"manager":{"name":"manager01"},` +
		`"id":"1791187800.123456","cluster":{"name":"wazuh","node":"node01"},"decoder":{"name":"acme-gateway"},"predecoder":{"program_name":"acmed",` +
		`"timestamp":"Oct  5 08:10:00","hostname":"gw01"},"full_log":"Oct  5 08:10:00 gw01 acmed[4711]: session 8812 closed: policy=default ` +
		`zone=inside user=jdoe bytes_in=1032 bytes_out=20480 duration=00:01:12.40 reason=timeout interface=eth0.100 rule=/etc/acme/policy.conf:12",` +
		`"data":{%s,"dst_ip":"10.20.4.9","src_port":"50122","dst_port":"443","action":"deny","protocol":"tcp","user":"jdoe","session":"8812",` +
		`"policy":"default","zone":"inside","interface":"eth0.100","bytes_in":"1032","bytes_out":"20480","duration":"72.400000","reason":"timeout",` +
		`"details":{"started":"2026-10-05T08:08:48.000Z","ended":"2026-10-05T08:10:00.400Z","firmware":"7.2.1","config":"/etc/acme/policy.conf",` +
		`"module":"session.tracker","thread":"worker-3","queue":"fast","retries":"0","flags":["established","reset","logged"],"comment":` +
		`"The session was closed since no packet came in for the time that the policy allows"}},"location":"/var/log/acme.log"}`
	return fmt.Appendf(nil, alert, members)
}

// BenchmarkBaseline is what BenchmarkPick is compared with: checking that the same bytes are JSON; and decoding them
// into a map and evaluating the match of every built-in mapping over it, without picking a value.
func BenchmarkBaseline(b *testing.B) {
	match := benchAlert(b, "sysmon-windows-1-process")
	for name, alert := range map[string][]byte{"valid": match, "valid-fallback-nomatch": fallbackAlert(`"src_ip":"10.0.0.1"`)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(alert)))
			for b.Loop() {
				if !gjson.ValidBytes(alert) {
					b.Fatal("not valid")
				}
			}
		})
	}
	b.Run("mapnaive", func(b *testing.B) {
		programs := naivePrograms(b)
		b.ReportAllocs()
		b.SetBytes(int64(len(match)))
		for b.Loop() {
			if matched := naively(b, programs, match); matched != 4 { // with the two of fallback.yaml
				b.Fatal(matched, "mappings match")
			}
		}
	})
}

// naivePrograms compiles the match of every built-in mapping with expr-lang alone.
func naivePrograms(b *testing.B) []*vm.Program {
	b.Helper()
	sources, err := engine.ReadFS(mappings.FS, "mappings")
	if err != nil {
		b.Fatal(err)
	}
	var programs []*vm.Program
	for _, src := range sources {
		var file struct{ Mappings []struct{ Match string } }
		if err := yaml.Unmarshal(src.Data, &file); err != nil {
			b.Fatal(err)
		}
		for _, m := range file.Mappings {
			p, err := expr.Compile(m.Match, expr.Env(naiveNames(nil)), expr.AsBool())
			if err != nil {
				b.Fatal(err)
			}
			programs = append(programs, p)
		}
	}
	return programs
}

func naively(b *testing.B, programs []*vm.Program, alert []byte) (matched int) {
	b.Helper()
	var m map[string]any
	if err := json.Unmarshal(alert, &m); err != nil {
		b.Fatal(err)
	}
	names := naiveNames(m)
	for _, p := range programs {
		out, err := expr.Run(p, names)
		if err != nil {
			b.Fatal(err)
		}
		if out == true {
			matched++
		}
	}
	return matched
}

func naiveNames(alert map[string]any) map[string]any {
	follow := func(path string) any {
		var v any = alert
		for name := range strings.SplitSeq(path, ".") {
			m, _ := v.(map[string]any)
			v = m[name]
		}
		return v
	}
	text := func(path string) string {
		if v := follow(path); v != nil {
			return fmt.Sprint(v)
		}
		return ""
	}
	var groups []string
	list, _ := follow("rule.groups").([]any)
	for _, g := range list {
		groups = append(groups, fmt.Sprint(g))
	}
	return map[string]any{
		"groups": groups, "decoder": map[string]string{"name": text("decoder.name"), "parent": text("decoder.parent")},
		"location": text("location"), "field": text, "has": func(path string) bool { return follow(path) != nil },
	}
}

// BenchmarkHeap picks from every alert in testdata in turn and reports what is on the heap at the end, and how much more
// that is than after the first ten thousand: with -benchtime 1000000x, after a million alerts.
func BenchmarkHeap(b *testing.B) {
	e, alerts := builtin(b), bundledAlerts(b)
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for i := range 10_000 {
		_, _ = e.Pick(alerts[i%len(alerts)]) // some are broken on purpose
	}
	before := heap()
	for i := 0; b.Loop(); i++ {
		_, _ = e.Pick(alerts[i%len(alerts)])
	}
	b.StopTimer()
	after := heap()
	b.ReportMetric(float64(after), "heap-B")
	b.ReportMetric(float64(int64(after)-int64(before)), "growth-B") //nolint:gosec // bytes of a small heap
	if after > before+1<<20 {
		b.Errorf("the heap grew from %d to %d bytes", before, after)
	}
	runtime.KeepAlive(e)
}

// BenchmarkLoad measures what a call by integratord pays for the built-in mappings before it asks MISP: making them
// ready from their pack, and picking from one alert, which compiles the mappings that it can reach. all reads every file.
func BenchmarkLoad(b *testing.B) {
	sources := builtinFiles(b)
	match := benchAlert(b, "sysmon-windows-1-process")
	for _, bb := range []struct {
		name string
		read func() []engine.Source
	}{
		{"outline", func() []engine.Source { return engine.ReadPack(mappings.Pack, mappings.FS, "mappings") }},
		{"all", func() []engine.Source { return sources }},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				e, err := engine.Load(bb.read()...)
				if err != nil {
					b.Fatal(err)
				}
				if observables, err := e.Pick(match); err != nil || len(observables) == 0 {
					b.Fatal(observables, err)
				}
			}
		})
	}
}
