package examples_test

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"custom-misp/engine/enrich"
)

// A mapping is one field of an index template; those of an object are in Properties.
type mapping struct {
	Type            string             `json:"type"`
	Format          string             `json:"format"`
	IgnoreAbove     int                `json:"ignore_above"`
	IgnoreMalformed bool               `json:"ignore_malformed"`
	Fields          map[string]mapping `json:"fields"`
	Properties      map[string]mapping `json:"properties"`
}

// leaves returns the fields of an object that hold values, by their path.
func (m mapping) leaves(path string) map[string]mapping {
	if m.Properties == nil {
		return map[string]mapping{path: m}
	}
	all := map[string]mapping{}
	for name, p := range m.Properties {
		maps.Copy(all, p.leaves(strings.TrimPrefix(path+"."+name, ".")))
	}
	return all
}

// eventFields returns the fields that an event can have, as the indexer names them.
func eventFields(of reflect.Type, path string) []string {
	switch of.Kind() {
	case reflect.Pointer, reflect.Slice:
		return eventFields(of.Elem(), path)
	case reflect.Struct:
		var names []string
		for _, f := range reflect.VisibleFields(of) {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			names = append(names, eventFields(f.Type, path+"."+name)...)
		}
		return names
	}
	return []string{path}
}

// TestIndexTemplate checks that the template stands beside that of Wazuh, which is a legacy one of order 0 with these two
// patterns, and that no value of an event is refused by it. Wazuh maps nothing under data.misp.
func TestIndexTemplate(t *testing.T) {
	var template struct {
		Order         int      `json:"order"`
		IndexPatterns []string `json:"index_patterns"`
		Settings      any      `json:"settings"`
		Mappings      struct {
			DynamicTemplates []map[string]struct {
				PathMatch        string  `json:"path_match"`
				MatchMappingType string  `json:"match_mapping_type"`
				Mapping          mapping `json:"mapping"`
			} `json:"dynamic_templates"`
			mapping
		} `json:"mappings"`
	}
	dec := json.NewDecoder(strings.NewReader(string(read(t, "indexer/template.json"))))
	dec.DisallowUnknownFields() // a composable template has others
	if err := dec.Decode(&template); err != nil {
		t.Fatal(err)
	}
	if template.Order < 1 || !slices.Equal(template.IndexPatterns, []string{"wazuh-alerts-4.x-*", "wazuh-archives-4.x-*"}) {
		t.Errorf("order %d, patterns %v", template.Order, template.IndexPatterns)
	}
	if template.Settings != nil {
		t.Error("a setting would take the place of Wazuh's, like index.query.default_field")
	}
	if len(template.Mappings.DynamicTemplates) != 1 {
		t.Fatalf("dynamic templates: %v", template.Mappings.DynamicTemplates)
	}
	dynamic := template.Mappings.DynamicTemplates[0]["misp_texts"]
	if dynamic.PathMatch != "data.misp.*" || dynamic.MatchMappingType != "string" {
		t.Errorf("dynamic template %+v", dynamic)
	}
	known := eventFields(reflect.TypeFor[enrich.Body](), "data.misp")
	fields := template.Mappings.leaves("")
	fields["dynamic template"] = dynamic.Mapping
	for name, m := range fields {
		if name != "dynamic template" && !slices.Contains(known, name) {
			t.Errorf("%s is no field of an event", name)
		}
		m.check(t, name)
		for sub, f := range m.Fields {
			f.check(t, name+"."+sub)
		}
	}
	for _, f := range []string{"decay_score", "match_count", "repeats", "history.count", "history.agent_count"} {
		if !slices.Contains(known, "data.misp."+f) || !slices.Contains(known, "data.misp.padded."+strings.ReplaceAll(f, ".", "_")) {
			t.Errorf("%s is not in the event, or not with zeros before it", f)
		}
		if typ := fields["data.misp."+f].Type; typ != "integer" && typ != "float" {
			t.Errorf("%s has the type %q", f, typ)
		}
	}
}

// check reports a mapping that refuses a whole event because of one value.
func (m mapping) check(t *testing.T, name string) {
	t.Helper()
	switch m.Type {
	case "keyword": // its values are longer than a term can be if they are not ignored: 4 bytes for a character
		if m.IgnoreAbove == 0 || 4*m.IgnoreAbove > 32_766 || m.IgnoreAbove < enrich.MaxText {
			t.Errorf("%s: ignore_above %d", name, m.IgnoreAbove)
		}
	case "date", "integer", "float", "ip":
		if !m.IgnoreMalformed {
			t.Errorf("%s: a malformed %s refuses the whole event", name, m.Type)
		}
	default:
		t.Errorf("%s: type %q", name, m.Type)
	}
	if m.Type == "date" && !strings.Contains(m.Format, "date_optional_time") {
		t.Errorf("%s: format %q does not take %s", name, m.Format, time.RFC3339)
	}
}
