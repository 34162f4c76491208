// Package examples_test checks the files that administrators copy: that they are well formed, agree with the program
// and with one another, and do in Wazuh what their comments say.
package examples_test

import (
	"cmp"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
	"go.yaml.in/yaml/v4"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/engine/mappingtest"
	"custom-misp/mappings"
)

func read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.FromSlash(name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestMappings runs the tests of the example mappings, next to the built-in ones: ids must not collide.
func TestMappings(t *testing.T) {
	builtin, err := engine.ReadFS(mappings.FS, "mappings")
	if err != nil {
		t.Fatal(err)
	}
	own, err := engine.ReadFS(os.DirFS("mappings"), "mappings")
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.Load(append(builtin, own...)...)
	if err != nil {
		t.Fatal(err)
	}
	for _, src := range own {
		name := strings.TrimSuffix(src.Name, ".yaml") + "_test.yaml"
		cases, err := mappingtest.Load(engine.Source{Name: name, Data: read(t, name)}, os.ReadFile)
		if err != nil {
			t.Fatal(err)
		}
		picked, misses := map[string]bool{}, 0
		for _, c := range cases {
			t.Run(c.Name, func(t *testing.T) {
				if r := mappingtest.Run(e, c); !r.OK() {
					t.Error(r)
				}
			})
			for _, p := range c.Want {
				picked[p.Mapping] = true
			}
			if len(c.Want) == 0 {
				misses++
			}
		}
		if misses == 0 {
			t.Errorf("%s has no test in which nothing is picked", name)
		}
		for _, m := range e.Mappings() {
			if m.File == src.Name && !picked[m.ID] {
				t.Errorf("%s has no test in which %s picks", name, m.ID)
			}
		}
	}
}

// TestMappingShowsAll demands that the example that teaches the language uses every key of it.
func TestMappingShowsAll(t *testing.T) {
	var file struct {
		Mappings []map[string]any
	}
	if err := yaml.Load(read(t, "mappings/acme-gateway.yaml"), &file); err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	for _, m := range file.Mappings {
		for key := range m {
			used[key] = true
		}
		picks, _ := m["pick"].([]any)
		for _, p := range picks {
			pick, _ := p.(map[string]any)
			for key := range pick {
				used["pick."+key] = true
			}
			if pick["type"] == "auto" {
				used["type auto"] = true
			}
		}
	}
	for _, key := range []string{
		"id", "description", "match", "pick", "context", "lookup",
		"pick.path", "pick.split", "pick.regex", "pick.type", "pick.keep", "type auto",
	} {
		if !used[key] {
			t.Errorf("no mapping shows %s", key)
		}
	}
}

// TestConfiguration compares custom-misp.yaml with the program's list of options, as the source declares it: every
// key there must be in the file with its default, and no other.
func TestConfiguration(t *testing.T) {
	source := read(t, "../cmd/custom-misp/options.go")
	declared := map[string]string{} // key → default, in YAML
	for _, m := range regexp.MustCompile(`\{key: "([^"]+)", def: (.+?), kind: kind`).FindAllSubmatch(source, -1) {
		declared[string(m[1])] = yamlDefault(t, string(m[2]))
	}
	if n := strings.Count(string(source), "{key: "); n == 0 || n != len(declared) {
		t.Fatalf("found %d options in options.go, but it has %d", len(declared), n)
	}
	active := flatten(t, read(t, "custom-misp.yaml"))
	for _, key := range []string{"misp.url", "misp.key_file"} {
		if active[key] == "" {
			t.Errorf("%s has to be set as it stands", key)
		}
	}
	if len(active) != 2 {
		t.Errorf("more is set than the two settings that are needed: %v", active)
	}
	// A comment begins with "# "; a key that is commented out with "#" and the key, or its indentation.
	all := flatten(t, regexp.MustCompile(`(?m)^( *)#((?:  )*[a-z_]+:)`).ReplaceAll(read(t, "custom-misp.yaml"), []byte("$1$2")))
	for key, value := range all {
		def, known := declared[key]
		switch {
		case !known:
			t.Errorf("%s is not a key of the configuration", key)
		case active[key] == "" && value != def:
			t.Errorf("%s: %s stands there as the default, which is %s", key, value, def)
		}
	}
	for key := range declared {
		if _, there := all[key]; !there {
			t.Errorf("%s is missing", key)
		}
	}
}

// yamlDefault turns a default from the Go source into what [flatten] makes of it.
func yamlDefault(t *testing.T, expr string) string {
	t.Helper()
	if n, ok := strings.CutSuffix(expr, " * time.Second"); ok {
		return n + "s"
	}
	if list, ok := strings.CutPrefix(expr, "[]string{"); ok {
		return "[" + strings.ReplaceAll(strings.TrimSuffix(list, "}"), `"`, "") + "]"
	}
	if text, err := strconv.Unquote(expr); err == nil {
		return text
	}
	return expr
}

func flatten(t *testing.T, data []byte) map[string]string {
	t.Helper()
	var top map[string]any
	if err := yaml.Load(data, &top); err != nil {
		t.Fatalf("%v in\n%s", err, data)
	}
	flat := map[string]string{}
	for key, value := range top {
		section, ok := value.(map[string]any)
		if !ok {
			section, key = map[string]any{key: value}, ""
		}
		for k, v := range section {
			text, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			flat[strings.TrimPrefix(key+"."+k, ".")] = strings.ReplaceAll(string(text), `"`, "")
		}
	}
	return flat
}

// checkXML reads a whole file that holds several elements at its top, as Wazuh's configuration may.
func checkXML(t *testing.T, name string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader("<all>" + string(read(t, name)) + "</all>"))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
}

type integration struct {
	Inner string   `xml:",innerxml"`
	Name  string   `xml:"name"`
	Group []string `xml:"group"`
	Level string   `xml:"level"`
	Form  string   `xml:"alert_format"`
	Rest  []struct {
		XMLName xml.Name
	} `xml:",any"`
}

// integrations returns the blocks of ossec.conf, those in comments last.
func integrations(t *testing.T) (active, commented []integration) {
	t.Helper()
	checkXML(t, "ossec.conf")
	comment := regexp.MustCompile(`(?s)<!--(.*?)-->`)
	text := string(read(t, "ossec.conf"))
	blocks := func(text string) (found []integration) {
		for _, b := range regexp.MustCompile(`(?s)<integration>\s*<name>.*?</integration>`).FindAllString(text, -1) {
			var i integration
			if err := xml.Unmarshal([]byte(b), &i); err != nil {
				t.Fatalf("%v in %s", err, b)
			}
			found = append(found, i)
		}
		return found
	}
	for _, c := range comment.FindAllStringSubmatch(text, -1) {
		commented = append(commented, blocks(c[1])...)
	}
	return blocks(comment.ReplaceAllString(text, "")), commented
}

func TestIntegration(t *testing.T) {
	active, commented := integrations(t)
	if len(active) != 1 || len(commented) != 1 {
		t.Fatalf("%d blocks and %d in comments, want one each", len(active), len(commented))
	}
	for _, i := range append(active, commented...) {
		if i.Name != "custom-misp" || i.Form != "json" {
			t.Errorf("name %q, alert_format %q", i.Name, i.Form)
		}
		if len(i.Group) > 1 {
			t.Errorf("of %d group elements only the last counts", len(i.Group))
		}
		for _, g := range i.Group {
			if strings.ContainsAny(g, " \t\r\n") || slices.Contains(strings.Split(g, ","), "") {
				t.Errorf("group %q holds a blank or an empty item", g)
			}
		}
		for _, r := range i.Rest {
			t.Errorf("<%s> is not known to every 4.x or holds a secret; it has to stand in a comment", r.XMLName.Local)
		}
	}
	if len(active[0].Group) == 0 || commented[0].Level == "" {
		t.Error("the first variant has to go by group, the second by level")
	}
}

// TestIntegrationGroups demands that an alert that the built-in mappings pick from passes integratord's filter. The
// alerts of a site's own rules, whose groups nobody can know, are left out.
func TestIntegrationGroups(t *testing.T) {
	active, _ := integrations(t)
	passing := strings.Split(active[0].Group[0], ",")
	sources, err := engine.ReadFS(mappings.FS, "mappings")
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.Load(sources...)
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("../testdata/alerts/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d alerts, %v", len(files), err)
	}
	used := map[string]bool{}
	for _, name := range files {
		alert := read(t, name)
		found, err := e.Pick(alert)
		if err != nil {
			t.Error(err)
		}
		if len(found) == 0 {
			continue
		}
		passes, local := false, false
		for _, g := range gjson.GetBytes(alert, "rule.groups").Array() {
			passes = passes || slices.Contains(passing, g.Str)
			local = local || g.Str == "local"
			used[g.Str] = true
		}
		if !passes && !local {
			t.Errorf("%s: mappings pick from it, but none of its groups %s is in <group> of ossec.conf (%v)",
				filepath.Base(name), gjson.GetBytes(alert, "rule.groups").Raw, passing)
		}
	}
	for _, g := range passing {
		if !used[g] {
			t.Errorf("group %q in ossec.conf: no bundled alert of it has anything that is picked", g)
		}
	}
}

// A rule is one of Wazuh's, with the elements that the examples use; any other fails the test.
type rule struct {
	ID          int    `xml:"id,attr"`
	Level       int    `xml:"level,attr"`
	IfSID       string `xml:"if_sid"`
	DecodedAs   string `xml:"decoded_as"`
	Field       []cond `xml:"field"`
	Description string `xml:"description"`
	Options     string `xml:"options"`
	Group       string `xml:"group"`
	Rest        []struct {
		XMLName xml.Name
	} `xml:",any"`

	groups []string
}

type cond struct {
	Name  string `xml:"name,attr"`
	Regex string `xml:",chardata"`
}

func (r rule) parents() []string { return strings.Split(strings.ReplaceAll(r.IfSID, " ", ""), ",") }

func rules(t *testing.T, name string) []rule {
	t.Helper()
	checkXML(t, name)
	var group struct {
		Name  string `xml:"name,attr"`
		Rules []rule `xml:"rule"`
	}
	if err := xml.Unmarshal(read(t, name), &group); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if len(group.Rules) == 0 {
		t.Fatalf("%s holds no rules", name)
	}
	for i := range group.Rules {
		r := &group.Rules[i]
		// Wazuh puts the two texts together as they stand.
		r.groups = strings.Split(strings.TrimSuffix(group.Name+r.Group, ","), ",")
		if !strings.HasSuffix(group.Name, ",") || r.Group != "" && !strings.HasSuffix(r.Group, ",") {
			t.Errorf("rule %d: a group list without a comma at its end", r.ID)
		}
		for _, g := range r.groups {
			if g == "" || strings.TrimSpace(g) != g {
				t.Errorf("rule %d: group %q", r.ID, g)
			}
		}
		for _, x := range r.Rest {
			t.Errorf("rule %d: <%s> is unexpected", r.ID, x.XMLName.Local)
		}
		if r.Description == "" || r.Options != "no_full_log" {
			t.Errorf("rule %d: description %q, options %q", r.ID, r.Description, r.Options)
		}
		if r.Level == 10 || r.Level > 15 {
			t.Errorf("rule %d has level %d", r.ID, r.Level)
		}
	}
	return group.Rules
}

// TestRuleIDs checks the ids and parents of both files together, as a manager loads them.
func TestRuleIDs(t *testing.T) {
	seen := map[int]bool{}
	for _, f := range []struct {
		name        string
		first, last int
	}{
		{"rules/misp_rules.xml", 100620, 100629},
		{"rules/sysmon_base_events.xml", 100630, 100659},
	} {
		for _, r := range rules(t, f.name) {
			if r.ID < f.first || r.ID > f.last {
				t.Errorf("rule %d is not in %d to %d", r.ID, f.first, f.last)
			}
			if seen[r.ID] {
				t.Errorf("rule %d stands there twice", r.ID)
			}
			for _, p := range r.parents() {
				id, err := strconv.Atoi(p)
				stock := id == 61600 || id >= 61603 && id <= 61655
				if r.IfSID != "" && (err != nil || !stock && !seen[id]) {
					t.Errorf("rule %d: parent %q is no rule above it and none of Wazuh's for Sysmon", r.ID, p)
				}
			}
			if f.first == 100620 && !slices.Contains(r.groups, "misp") {
				t.Errorf("rule %d: without the group misp its alerts are looked up again", r.ID)
			}
			seen[r.ID] = true
		}
	}
}

// choose returns the rule that analysisd chooses for an event, nil for none: of the rules below parent, those of
// level 0 first and then by falling level, the first that matches and then what is below it (contract wazuh.md, c).
func choose(all []rule, parent *rule, event []byte) *rule {
	below := []*rule{}
	for i := range all {
		if parent == nil && all[i].IfSID == "" || parent != nil && slices.Contains(all[i].parents(), strconv.Itoa(parent.ID)) {
			below = append(below, &all[i])
		}
	}
	slices.SortStableFunc(below, func(a, b *rule) int {
		priority := func(r *rule) int { return (r.Level + 99) % 100 } // 0 becomes the highest
		return cmp.Compare(priority(b), priority(a))
	})
	for _, r := range below {
		if r.matches(event) {
			if deeper := choose(all, r, event); deeper != nil {
				return deeper
			}
			return r
		}
	}
	return nil
}

func (r *rule) matches(event []byte) bool {
	return !slices.ContainsFunc(r.Field, func(c cond) bool {
		v := gjson.GetBytes(event, c.Name)
		return !v.Exists() || !osRegex(c.Regex).MatchString(v.String())
	})
}

// osRegex translates the few words of Wazuh's own expressions that the examples use: \. is any character, a plain
// dot is a dot.
func osRegex(s string) *regexp.Regexp {
	s = strings.NewReplacer(`\.`, `.`, `.`, `\.`, `\w`, `[A-Za-z0-9@_-]`).Replace(s)
	return regexp.MustCompile("(?i)" + s)
}

func hit(change func(*enrich.Body)) enrich.Body {
	b := enrich.Body{
		EventID: "25", Category: "Network activity", Value: "gate.bad-cdn.example", Type: "hostname", ToIDs: "true",
		Event:      &enrich.EventBody{Info: "Loader campaign", ThreatLevel: "medium"},
		Observable: &enrich.ObservableBody{Type: "hostname", Value: "gate.bad-cdn.example"},
		Source:     &enrich.Source{RuleID: "61650"},
	}
	change(&b)
	return b
}

func trouble(code enrich.Code) enrich.Body {
	return enrich.Body{Error: code, Description: "MISP at misp.example.org did not answer", Source: &enrich.Source{RuleID: "61650"}}
}

// TestMISPRules raises alerts for events as the program writes them.
func TestMISPRules(t *testing.T) {
	tests := []struct {
		name  string
		body  enrich.Body
		id    int
		level int
	}{
		{"hit", hit(func(*enrich.Body) {}), 100622, 12},
		{"hit of the first generation of scripts", enrich.Body{EventID: "25", Category: "Network activity", Value: "v", Type: "hostname"}, 100622, 12},
		{"not flagged", hit(func(b *enrich.Body) { b.ToIDs = "false" }), 100623, 7},
		{"high threat", hit(func(b *enrich.Body) { b.Event.ThreatLevel = "high" }), 100624, 14},
		{"high threat, not flagged", hit(func(b *enrich.Body) { b.Event.ThreatLevel, b.ToIDs = "high", "false" }), 100624, 14},
		{"high threat, on a warninglist", hit(func(b *enrich.Body) {
			b.Event.ThreatLevel, b.Warninglists = "high", []string{"List of known public DNS resolvers"}
		}), 100626, 3},
		{"MISP is down", trouble(enrich.CodeUnavailable), 100627, 5},
		{"rate limit", trouble(enrich.CodeRateLimited), 100627, 5},
		{"key refused", trouble(enrich.CodeUnauthorized), 100628, 5},
		{"question refused", trouble(enrich.CodeRejected), 100628, 5},
		{"certificate", trouble(enrich.CodeTLS), 100628, 5},
		{"not MISP's answer", trouble(enrich.CodeBadAnswer), 100621, 5},
		{"queue", trouble(enrich.CodeQueue), 100621, 5},
		{"mapping", trouble(enrich.CodeMapping), 100629, 5},
		{"feed", trouble(enrich.CodeFeed), 100629, 5},
		{"configuration", trouble(enrich.CodeConfig), 100629, 5},
		{"neither", enrich.Body{Value: "v"}, 100620, 0},
	}
	all := rules(t, "rules/misp_rules.xml")
	reached := map[int]bool{100625: true} // only leads to 100626
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			event, err := enrich.Enrichment{Body: tt.body}.JSON()
			if err != nil {
				t.Fatal(err)
			}
			r := choose(all, nil, event)
			if r == nil {
				t.Fatalf("no rule for %s", event)
			}
			reached[r.ID] = true
			if r.ID != tt.id || r.Level != tt.level {
				t.Errorf("rule %d of level %d, want %d of level %d, for %s", r.ID, r.Level, tt.id, tt.level, event)
			}
			if tt.body.Observable == nil && tt.body.Error == "" {
				return // an event with less in it than the program sends
			}
			for _, m := range regexp.MustCompile(`\$\(([^)]*)\)`).FindAllStringSubmatch(r.Description, -1) {
				if gjson.GetBytes(event, m[1]).String() == "" {
					t.Errorf("rule %d: the description names %s, which %s does not have", r.ID, m[1], event)
				}
			}
		})
	}
	for _, r := range all {
		if !reached[r.ID] {
			t.Errorf("rule %d is never reached", r.ID)
		}
	}
	for _, other := range []string{"misp2", "virustotal"} {
		if r := choose(all, nil, []byte(`{"integration":"`+other+`","misp":{"event_id":"1"}}`)); r != nil {
			t.Errorf("rule %d takes an event of %s", r.ID, other)
		}
	}
}

// TestSysmonRules checks each rule against the number of its event, and that together they cover the events that
// the built-in mapping takes indicators from in the bundled alerts.
func TestSysmonRules(t *testing.T) {
	raised := map[string]bool{}
	for _, r := range rules(t, "rules/sysmon_base_events.xml") {
		n := r.ID - 100630
		event := strconv.Itoa(n)
		raised[event] = true
		if r.Level != 3 {
			t.Errorf("rule %d has level %d", r.ID, r.Level)
		}
		group, parent := "sysmon_event"+event, 61602+n
		if n >= 10 {
			group = "sysmon_event_" + event
		}
		if n >= 16 {
			parent = 61628 + n
		}
		if n > 26 {
			parent = 61600 // Wazuh has no rule of its own
		}
		if !slices.Equal(r.groups, []string{"windows", "sysmon", group}) {
			t.Errorf("rule %d has groups %v, want %s", r.ID, r.groups, group)
		}
		if p := r.parents(); p[len(p)-1] != strconv.Itoa(parent) {
			t.Errorf("rule %d for event %d has parent %s, want %d", r.ID, n, r.IfSID, parent)
		}
		if want := []cond{{"win.system.eventID", "^" + event + "$"}}; !slices.Equal(r.Field, want) {
			t.Errorf("rule %d has conditions %v, want %v", r.ID, r.Field, want)
		}
	}
	sources, err := engine.ReadFS(mappings.FS, "mappings")
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.Load(sources...)
	if err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob("../testdata/alerts/sysmon-windows-*.json")
	for _, name := range files {
		alert := read(t, name)
		found, err := e.Pick(alert)
		if err != nil {
			t.Error(err)
		}
		event := gjson.GetBytes(alert, "data.win.system.eventID").String()
		if len(found) > 0 && event != "" && !raised[event] {
			t.Errorf("%s: mappings pick from Sysmon event %s, which no rule raises", filepath.Base(name), event)
		}
	}
}

// TestReadme demands that README.md names every file that is here to be copied, and no other.
func TestReadme(t *testing.T) {
	readme := string(read(t, "README.md"))
	table, _, _ := strings.Cut(readme, "## Steps")
	named := map[string]bool{}
	for _, m := range regexp.MustCompile("`([a-z_/-]+\\.(?:ya?ml|xml|conf))`").FindAllStringSubmatch(table, -1) {
		named[m[1]] = true
		if _, err := os.Stat(filepath.FromSlash(m[1])); err != nil && !strings.HasPrefix(m[1], "/") {
			t.Error(err)
		}
	}
	err := filepath.WalkDir(".", func(name string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !strings.HasSuffix(name, ".go") && name != "README.md" && !named[filepath.ToSlash(name)] {
			t.Errorf("README.md does not say what %s is for", name)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	keys := regexp.MustCompile(`\{key: "([^"]+)"`).FindAllStringSubmatch(string(read(t, "../cmd/custom-misp/options.go")), -1)
	for _, m := range regexp.MustCompile("`((?:misp|lookup|mappings|wazuh|log|feed)\\.[a-z_]+)(?:: [a-z]+)?`").FindAllStringSubmatch(readme, -1) {
		if !slices.ContainsFunc(keys, func(k []string) bool { return k[1] == m[1] }) && !isEventField(m[1]) {
			t.Errorf("README.md speaks of %s, which is no key of the configuration", m[1])
		}
	}
}

// isEventField reports whether a name is one of the four fields that every hit has, which look like keys.
func isEventField(name string) bool {
	return slices.Contains([]string{"misp.event_id", "misp.category", "misp.value", "misp.type"}, name)
}
