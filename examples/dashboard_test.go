package examples_test

import (
	"encoding/json"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"custom-misp/engine/enrich"
)

// A savedObject is an object of Wazuh's dashboard, as it is imported.
type savedObject struct {
	ID         string `json:"id"`
	Type       string `json:"type"`
	Attributes struct {
		Title, Description   string
		VisState, PanelsJSON string
		Columns              []string
		Source               struct {
			JSON string `json:"searchSourceJSON"`
		} `json:"kibanaSavedObjectMeta"`
	} `json:"attributes"`
	References []struct{ Name, Type, ID string } `json:"references"`
}

// readSavedObjects reads the objects of the dashboard.
func readSavedObjects(t *testing.T) (all []savedObject) {
	t.Helper()
	for line := range strings.Lines(string(read(t, "dashboard/misp.ndjson"))) {
		var o savedObject
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			t.Fatal(err)
		}
		all = append(all, o)
	}
	return all
}

// fields returns the fields that an object shows or searches in.
func (o savedObject) fields(t *testing.T) []string {
	t.Helper()
	list := slices.Clone(o.Attributes.Columns)
	if o.Attributes.VisState != "" {
		var state struct {
			Type string
			Aggs []struct {
				Type   string
				Params struct{ Field string }
			}
		}
		if err := json.Unmarshal([]byte(o.Attributes.VisState), &state); err != nil {
			t.Fatalf("%s: %v", o.ID, err)
		}
		for _, a := range state.Aggs {
			if a.Params.Field != "" {
				list = append(list, a.Params.Field)
			}
			if !slices.Contains([]string{"count", "terms", "date_histogram"}, a.Type) {
				t.Errorf("%s: %s needs a number, which no field of an event is without the template", o.ID, a.Type)
			}
		}
	}
	var source struct {
		Query struct{ Query, Language string }
	}
	if err := json.Unmarshal([]byte(o.Attributes.Source.JSON), &source); err != nil || source.Query.Language != "kuery" {
		t.Fatalf("%s: query %+v (%v)", o.ID, source, err)
	}
	for _, m := range regexp.MustCompile(`([\w.]+) : `).FindAllStringSubmatch(source.Query.Query, -1) {
		list = append(list, m[1])
	}
	return list
}

// TestSavedObjects checks that what is imported into Wazuh's dashboard is complete, shows only fields that alerts about our
// events have, and that what a site asks first is there.
func TestSavedObjects(t *testing.T) {
	known := append(eventFields(reflect.TypeFor[enrich.Body](), "data.misp"), "data.integration", "timestamp", "agent.name", "manager.name", "rule.level")
	objects := map[string]savedObject{}
	shown := map[string]bool{}
	for _, o := range readSavedObjects(t) {
		if _, twice := objects[o.ID]; twice || !strings.HasPrefix(o.ID, "custom-misp") || o.Attributes.Title == "" || o.Attributes.Description == "" {
			t.Errorf("%q: the id is there twice, is not ours, or the object has no title or description", o.ID)
		}
		objects[o.ID] = o
		for _, f := range o.fields(t) {
			shown[f] = true
			if !slices.Contains(known, f) {
				t.Errorf("%s: no alert has the field %s", o.ID, f)
			}
		}
	}
	for _, o := range objects {
		for _, r := range o.References {
			if target, there := objects[r.ID]; r.Type != "index-pattern" && (!there || target.Type != r.Type) || r.Type == "index-pattern" && r.ID != "wazuh-alerts-*" {
				t.Errorf("%s refers to %s %s, which is not there", o.ID, r.Type, r.ID)
			}
		}
	}
	for _, f := range []string{
		"observable.value", "event.info", "event.threat_level", "tlp", "mitre_id", "match_mode", "repeats", "error", "recovered", "link", "history.first_seen", "history.count",
	} {
		if !shown["data.misp."+f] {
			t.Errorf("nothing shows %s", f)
		}
	}
	checkPanels(t, objects["custom-misp"], len(objects)-1)
}

// checkPanels checks that a dashboard shows a number of objects, in the order of its references.
func checkPanels(t *testing.T, board savedObject, all int) {
	t.Helper()
	var panels []struct{ PanelRefName string }
	if err := json.Unmarshal([]byte(board.Attributes.PanelsJSON), &panels); err != nil {
		t.Fatal(err)
	}
	if len(panels) != all || len(board.References) != len(panels) {
		t.Fatalf("%d panels, %d references, for %d objects", len(panels), len(board.References), all)
	}
	for i, p := range panels {
		if p.PanelRefName != board.References[i].Name {
			t.Errorf("panel %d refers to %s, which is %s", i, p.PanelRefName, board.References[i].Name)
		}
	}
}
