// Package examples_test checks the files that administrators copy: they are well formed, agree with the program and with each
// other, and do in Wazuh what their comments say.
package examples_test

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

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

// TestMappings runs the tests of the example mappings together with the built-in ones, as ids must not collide.
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
		testMappings(t, e, src)
	}
}

// testMappings runs the tests of one file, which have to show each of its mappings, and a case without a pick.
func testMappings(t *testing.T, e *engine.Engine, src engine.Source) {
	t.Helper()
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

// TestMappingShowsAll checks that the example that teaches the language uses every key of it.
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
	source := read(t, "../cmd/custom-misp/internal/config/options.go")
	declared := map[string]string{} // key → default, in YAML
	for _, m := range regexp.MustCompile(`\{key: "([^"]+)", def: (.+?), form: `).FindAllSubmatch(source, -1) {
		declared[string(m[1])] = yamlDefault(t, string(m[2]))
	}
	if n := strings.Count(string(source), "{key: "); n == 0 || n != len(declared) {
		t.Fatalf("found %d options in options.go, but it has %d", len(declared), n)
	}
	active := flatten(t, read(t, "custom-misp.yaml"))
	for _, key := range []string{"misp.url", "misp.key_file"} {
		if active[key] == "" {
			t.Errorf("%s has to be set in the file as it is", key)
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
			t.Errorf("%s: the file has %s as the default, which is %s", key, value, def)
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
	for unit, letter := range map[string]string{"time.Second": "s", "time.Minute": "m", "time.Hour": "h"} {
		if expr == unit {
			return "1" + letter
		}
		if n, ok := strings.CutSuffix(expr, " * "+unit); ok {
			return n + letter
		}
	}
	if list, ok := strings.CutPrefix(expr, "[]string{"); ok {
		return "[" + strings.NewReplacer(`"`, "", ", ", ",").Replace(strings.TrimSuffix(list, "}")) + "]"
	}
	if n, err := strconv.ParseInt(expr, 0, 64); err == nil { // 20_000
		return strconv.FormatInt(n, 10)
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

// checkXML reads a whole file, which may have several root elements, as Wazuh's configuration may.
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
				t.Errorf("group %q has a blank or an empty item", g)
			}
		}
		for _, r := range i.Rest {
			t.Errorf("<%s> is not known to every 4.x or has a secret in it; it has to be in a comment", r.XMLName.Local)
		}
	}
	if active[0].Level != "3" || len(active[0].Group) > 0 || len(commented[0].Group) == 0 {
		t.Error("the first variant has to let every recorded alert through, the second has to go by group")
	}
}

// TestReadme checks that README.md names every file that is here to be copied, and no other.
func TestReadme(t *testing.T) {
	readme := string(read(t, "README.md"))
	table, _, _ := strings.Cut(readme, "## Steps")
	named := map[string]bool{}
	for _, m := range regexp.MustCompile("`([a-z_/-]+\\.(?:ya?ml|xml|conf|py|(?:nd)?json|service|txt))`").FindAllStringSubmatch(table, -1) {
		named[m[1]] = true
		if _, err := os.Stat(filepath.FromSlash(m[1])); err != nil && !strings.HasPrefix(m[1], "/") {
			t.Error(err)
		}
	}
	err := filepath.WalkDir(".", func(name string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !strings.HasSuffix(name, ".go") && !named[filepath.ToSlash(name)] && filepath.Ext(name) != ".md" && filepath.Ext(name) != ".svg" {
			t.Errorf("README.md does not say what %s is for", name)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	keys := regexp.MustCompile(`\{key: "([^"]+)"`).FindAllStringSubmatch(string(read(t, "../cmd/custom-misp/internal/config/options.go")), -1)
	for _, m := range regexp.MustCompile("`((?:misp|lookup|mappings|wazuh|log|feed)\\.[a-z_]+)(?:: [a-z]+)?`").FindAllStringSubmatch(readme, -1) {
		if !slices.ContainsFunc(keys, func(k []string) bool { return k[1] == m[1] }) && !isEventField(m[1]) {
			t.Errorf("README.md names %s, which is not a key of the configuration", m[1])
		}
	}
}

// isEventField reports whether a name, which looks like a key, is a field of the event or a file of the state.
func isEventField(name string) bool {
	for f := range reflect.TypeFor[enrich.Body]().Fields() {
		if field, _, _ := strings.Cut(f.Tag.Get("json"), ","); name == "misp."+field {
			return true
		}
	}
	return name == "misp.json"
}
