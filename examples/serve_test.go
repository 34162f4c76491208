package examples_test

import (
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

// This file checks the examples for running and monitoring the daemon: the unit agrees with the program's defaults, and the
// rules and the dashboard ask for nothing that the program does not measure.

// metrics is what "custom-misp serve" measures: names, and the labels of each besides job and instance, which Prometheus
// adds. The program's own tests write the list.
var metrics = func() map[string][]string {
	data, err := os.ReadFile("monitoring/metrics.txt")
	if err != nil {
		panic(err)
	}
	list := map[string][]string{}
	for line := range strings.Lines(string(data)) {
		if words := strings.Fields(line); len(words) > 0 && words[0] != "#" {
			list[words[0]] = words[1:]
		}
	}
	return list
}()

// asked is a metric as a PromQL expression asks for it.
type asked struct {
	name   string
	labels []string // of its selector
	counts bool     // with a range, as rate needs it
}

var (
	promText  = regexp.MustCompile(`"[^"]*"`)
	promGroup = regexp.MustCompile(`\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)`)
	promName  = regexp.MustCompile(`([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(\(?)(\{[^}]*\})?(\[?)`)
	promLabel = regexp.MustCompile(`([a-zA-Z_][a-zA-Z0-9_]*)\s*[!=]`)
	promRange = regexp.MustCompile(`\[[^\]]*\]`)
	promShift = regexp.MustCompile(`\boffset\s+\w+`)
	promNum   = regexp.MustCompile(`\b[0-9][0-9a-zA-Z.]*`)
	promWords = []string{"and", "or", "unless", "bool"}
)

// parse finds the metrics in an expression, and the labels by which it groups or joins. It is not a parser of PromQL, which
// would be a dependency of many modules: promtool checks the language, this only the names.
func parse(expr string) (found []asked, labels []string) {
	expr = promText.ReplaceAllString(expr, `""`)
	for _, m := range promGroup.FindAllStringSubmatch(expr, -1) {
		for l := range strings.SplitSeq(m[1], ",") {
			labels = append(labels, strings.TrimSpace(l))
		}
	}
	expr = promGroup.ReplaceAllString(expr, " ")
	expr = promShift.ReplaceAllString(promRange.ReplaceAllString(expr, "["), "")
	expr = promNum.ReplaceAllString(expr, "0")
	for _, m := range promName.FindAllStringSubmatch(expr, -1) {
		if m[2] == "(" || slices.Contains(promWords, m[1]) {
			continue
		}
		a := asked{name: m[1], counts: m[4] == "["}
		for _, l := range promLabel.FindAllStringSubmatch(m[3], -1) {
			a.labels = append(a.labels, l[1])
		}
		found = append(found, a)
	}
	return found, labels
}

// checkExpr reports what an expression asks for that is not measured, and notes in used what it asks for.
func checkExpr(t *testing.T, where, expr string, used map[string]bool) {
	t.Helper()
	found, grouped := parse(expr)
	if len(found) == 0 {
		t.Errorf("%s: no metric in %s", where, expr)
	}
	known := []string{"job", "instance"}
	for _, a := range found {
		if a.name == "up" { // Prometheus's own
			continue
		}
		name, labels := a.measured()
		if name == "" {
			t.Errorf("%s: %s is not measured, in %s", where, a.name, expr)
			continue
		}
		if fault := a.fault(name, labels); fault != "" {
			t.Errorf("%s: %s, in %s", where, fault, expr)
		}
		used[name] = true
		known = append(known, labels...)
	}
	for _, l := range grouped {
		if !slices.Contains(known, l) {
			t.Errorf("%s: nothing has the label %s, in %s", where, l, expr)
		}
	}
}

// measured returns the metric that is asked for, and its labels; "" if nothing measures it. Of a histogram, Prometheus
// stores three.
func (a asked) measured() (name string, labels []string) {
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		if base, ok := strings.CutSuffix(a.name, suffix); ok && slices.Contains(metrics[base], "le") {
			return base, metrics[base]
		}
	}
	if labels, ok := metrics[a.name]; ok {
		return a.name, labels
	}
	return "", nil
}

// fault returns what is wrong in the way in which a metric is asked for; "" if nothing.
func (a asked) fault(name string, labels []string) string {
	if slices.Contains(labels, "le") && name == a.name {
		return name + " is a histogram; _bucket, _sum and _count can be asked for"
	}
	for _, l := range a.labels {
		if l != "job" && l != "instance" && !slices.Contains(labels, l) {
			return name + " has no label " + l
		}
	}
	counter := strings.HasSuffix(name, "_total") || name != a.name
	if counter && !a.counts {
		return a.name + " only grows; ask for its rate or increase"
	}
	return ""
}

// TestParse checks what checkExpr relies on.
func TestParse(t *testing.T) {
	found, labels := parse(`topk(3, sum by (type) (increase(a_total{job=~"$job", x!="b_total"}[$__range])) > 0) and on (instance) (c offset 1d) * 2e3`)
	if len(found) != 2 || found[0].name != "a_total" || !found[0].counts || !slices.Equal(found[0].labels, []string{"job", "x"}) ||
		found[1].name != "c" || found[1].counts {
		t.Errorf("metrics %+v", found)
	}
	if !slices.Equal(labels, []string{"type", "instance"}) {
		t.Errorf("labels %v", labels)
	}
}

type alertingRule struct {
	Alert       string
	Expr        string
	For         string
	Labels      map[string]string
	Annotations map[string]string
}

// alertingRules reads alerts.yml. An unknown key is an error, as in Prometheus.
func alertingRules(t *testing.T) (all []alertingRule) {
	t.Helper()
	var file struct {
		Groups []struct {
			Name  string
			Rules []alertingRule
		}
	}
	if err := yaml.Load(read(t, "monitoring/alerts.yml"), &file, yaml.WithKnownFields()); err != nil {
		t.Fatal(err)
	}
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	if len(all) == 0 {
		t.Fatal("no rules")
	}
	return all
}

// TestAlertingRules checks the rules for Prometheus, and that each has a test for promtool.
func TestAlertingRules(t *testing.T) {
	tests := string(read(t, "monitoring/alerts_test.yml"))
	seen := map[string]bool{}
	for _, r := range alertingRules(t) {
		if !strings.HasPrefix(r.Alert, "CustomMisp") || seen[r.Alert] {
			t.Errorf("alert %q has no name of its own that begins with CustomMisp", r.Alert)
		}
		seen[r.Alert] = true
		checkExpr(t, r.Alert, r.Expr, map[string]bool{})
		if s := r.Labels["severity"]; s != "warning" && s != "critical" {
			t.Errorf("%s: severity %q", r.Alert, s)
		}
		if r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
			t.Errorf("%s: an alert needs a summary, and a description that says what to do", r.Alert)
		}
		if !strings.Contains(r.Annotations["summary"], "$labels.instance") {
			t.Errorf("%s: the summary does not say where", r.Alert)
		}
		if !strings.Contains(tests, `alertname="`+r.Alert+`"`) {
			t.Errorf("%s has no test in alerts_test.yml", r.Alert)
		}
	}
	var file struct {
		RuleFiles []string `yaml:"rule_files"`
		Tests     []map[string]any
	}
	if err := yaml.Load([]byte(tests), &file); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(file.RuleFiles, []string{"alerts.yml"}) || len(file.Tests) == 0 {
		t.Errorf("alerts_test.yml tests %v with %d tests", file.RuleFiles, len(file.Tests))
	}
}

// TestScrape checks that prometheus.yml and the rules name the same job.
func TestScrape(t *testing.T) {
	var file struct {
		RuleFiles []string `yaml:"rule_files"`
		Scrape    []struct {
			JobName string `yaml:"job_name"`
			Static  []struct {
				Targets []string
			} `yaml:"static_configs"`
		} `yaml:"scrape_configs"`
	}
	if err := yaml.Load(read(t, "monitoring/prometheus.yml"), &file); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(file.RuleFiles, []string{"alerts.yml"}) || len(file.Scrape) != 1 || len(file.Scrape[0].Static) == 0 {
		t.Fatalf("%+v", file)
	}
	for _, r := range alertingRules(t) {
		for _, m := range regexp.MustCompile(`job="([^"]*)"`).FindAllStringSubmatch(r.Expr, -1) {
			if m[1] != file.Scrape[0].JobName {
				t.Errorf("%s is about job %s, but prometheus.yml has %s", r.Alert, m[1], file.Scrape[0].JobName)
			}
		}
	}
}

type panel struct {
	ID          int
	Type        string
	Title       string
	Description string
	Datasource  map[string]string
	GridPos     struct{ H, W, X, Y int }
	Targets     []struct {
		RefID      string
		Datasource map[string]string
		Expr       string
	}
	Panels []panel
}

// A dashboard is Grafana's, as far as it is checked.
type dashboard struct {
	ID            *int
	UID           *string
	Title         string
	SchemaVersion int
	Templating    struct {
		List []struct{ Type, Name, Label, Definition string }
	}
	Annotations struct {
		List []struct{ Name, Expr string }
	}
	Panels []panel
}

func readDashboard(t *testing.T) (board dashboard) {
	t.Helper()
	if err := json.Unmarshal(read(t, "monitoring/grafana-dashboard.json"), &board); err != nil {
		t.Fatal(err)
	}
	return board
}

// TestDashboard checks that Grafana's dashboard can be imported anywhere.
func TestDashboard(t *testing.T) {
	board := readDashboard(t)
	if board.ID != nil || board.UID != nil || board.Title == "" || board.SchemaVersion == 0 {
		t.Errorf("id %v, uid %v, title %q, schemaVersion %d", board.ID, board.UID, board.Title, board.SchemaVersion)
	}
	for _, m := range regexp.MustCompile(`"uid": *"([^"]*)"`).FindAllSubmatch(read(t, "monitoring/grafana-dashboard.json"), -1) {
		if uid := string(m[1]); uid != "${datasource}" && uid != "-- Grafana --" {
			t.Errorf("uid %q is of one Grafana only", uid)
		}
	}
	for _, a := range board.Annotations.List {
		if a.Expr != "" {
			checkExpr(t, "annotation "+a.Name, a.Expr, map[string]bool{})
		}
	}
	if !board.variables(t)["datasource"] {
		t.Error("no variable for the datasource")
	}
}

// variables returns the names that an expression of the dashboard can use.
func (d dashboard) variables(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{"__rate_interval": true, "__range": true}
	for _, v := range d.Templating.List {
		names[v.Name] = true
		if m := regexp.MustCompile(`label_values\((\w+)`).FindStringSubmatch(v.Definition); m != nil {
			if _, ok := metrics[m[1]]; !ok {
				t.Errorf("variable %s: %s is not measured", v.Name, m[1])
			}
		}
	}
	return names
}

// TestDashboardGrid checks that each panel has an id of its own and no two panels overlap.
func TestDashboardGrid(t *testing.T) {
	ids := map[int]bool{}
	type place struct{ x, y int }
	taken := map[place]string{}
	for _, p := range readDashboard(t).Panels {
		if p.Title == "" || ids[p.ID] || len(p.Panels) > 0 {
			t.Errorf("panel %d %q: no title, an id that another has, or panels in it, which are not checked here", p.ID, p.Title)
		}
		ids[p.ID] = true
		for n := range p.GridPos.W * p.GridPos.H {
			at := place{p.GridPos.X + n%p.GridPos.W, p.GridPos.Y + n/p.GridPos.W}
			if other, ok := taken[at]; ok || at.x >= 24 {
				t.Fatalf("panel %q is over %q or outside of the grid", p.Title, other)
			}
			taken[at] = p.Title
		}
	}
}

// TestDashboardPanels checks that each panel says what it shows, and that together they show everything that is measured.
func TestDashboardPanels(t *testing.T) {
	board := readDashboard(t)
	variables, used, shown := board.variables(t), map[string]bool{}, 0
	for _, p := range board.Panels {
		if p.Type == "row" {
			continue
		}
		shown++
		if p.Description == "" || len(p.Targets) == 0 || p.Datasource["uid"] != "${datasource}" {
			t.Errorf("panel %q: no description, nothing to show, or a datasource of its own", p.Title)
		}
		for _, target := range p.Targets {
			checkExpr(t, p.Title, target.Expr, used)
			for _, m := range regexp.MustCompile(`\$\{?(\w+)`).FindAllStringSubmatch(target.Expr, -1) {
				if !variables[m[1]] {
					t.Errorf("panel %q: there is no variable %s", p.Title, m[1])
				}
			}
			if target.Datasource["uid"] != "${datasource}" {
				t.Errorf("panel %q: a datasource of its own", p.Title)
			}
		}
	}
	if shown == 0 {
		t.Error("no panels")
	}
	for _, name := range slices.Sorted(maps.Keys(metrics)) {
		if !used[name] {
			t.Errorf("no panel shows %s", name)
		}
	}
}

// TestUnit checks that the systemd unit lets the program write where it writes by default, and nowhere else.
func TestUnit(t *testing.T) {
	settings := map[string][]string{}
	section := ""
	for line := range strings.Lines(string(read(t, "systemd/custom-misp.service"))) {
		line = strings.TrimSpace(line)
		switch key, value, ok := strings.Cut(line, "="); {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "["):
			section = strings.Trim(line, "[]")
		case !ok || key != strings.TrimSpace(key):
			t.Errorf("%q is not a setting", line)
		default:
			settings[section+"."+key] = append(settings[section+"."+key], value)
		}
	}
	const home = "/var/ossec/"
	source := string(read(t, "../cmd/custom-misp/internal/config/options.go"))
	var want []string
	for _, option := range []struct{ key, prefix string }{{"state_dir", ""}, {"log.file", "-"}} {
		m := regexp.MustCompile(`\{key: "` + regexp.QuoteMeta(option.key) + `", def: "([^"]+)"`).FindStringSubmatch(source)
		if m == nil {
			t.Fatalf("no default for %s", option.key)
		}
		want = append(want, option.prefix+home+m[1])
	}
	old := regexp.MustCompile(`const oldStateDir = "([^"]+)"`).FindStringSubmatch(string(read(t, "../cmd/custom-misp/internal/app/movestate.go")))
	want = slices.Insert(want, 1, "-"+home+old[1])
	if got := settings["Service.ReadWritePaths"]; !slices.Equal(got, want) {
		t.Errorf("ReadWritePaths %q, but the program writes by default to %q", got, want)
	}
	for key, value := range map[string]string{
		"Service.Type": "notify", "Service.ExecStart": "/usr/bin/env " + home + "integrations/custom-misp serve",
		"Service.User": "wazuh", "Service.Group": "wazuh", "Service.ProtectSystem": "strict", "Service.Restart": "always",
		"Service.NoNewPrivileges": "yes", "Service.CapabilityBoundingSet": "", "Service.MemoryDenyWriteExecute": "yes",
		"Service.RestrictAddressFamilies": "AF_UNIX AF_INET AF_INET6",
	} {
		if got := settings[key]; !slices.Equal(got, []string{value}) {
			t.Errorf("%s is %q, want %q", key, got, value)
		}
	}
	// A restart of the manager must not stop this, and this must not start the manager.
	for _, key := range []string{"Unit.Requires", "Unit.BindsTo", "Unit.PartOf", "Unit.Wants", "Unit.Requisite"} {
		if strings.Contains(strings.Join(settings[key], " "), "wazuh-manager") {
			t.Errorf("%s names wazuh-manager", key)
		}
	}
}
