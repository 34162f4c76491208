package serve

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestStatusKeys holds the keys of status --output json, which are a promise to scripts: a key may be added here, and
// none renamed or removed.
func TestStatusKeys(t *testing.T) {
	var s Status
	fill(reflect.ValueOf(&s).Elem())
	data, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var tree map[string]any
	if err := json.Unmarshal(data, &tree); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"alerts", "alerts.absent", "alerts.behind_bytes", "alerts.behind_seconds", "alerts.delayed_bytes", "alerts.file", "alerts.offset", "alerts.saved_at",
		"canary_at", "configuration", "configuration.failure", "configuration.loaded_at", "configuration.mappings",
		"counters", "counters.x", "live_waiting", "mirror", "mirror.age_seconds", "mirror.attributes", "mirror.bytes",
		"mirror.damage", "mirror.damaged_since", "mirror.events", "mirror.events_read", "mirror.events_there",
		"mirror.failure", "mirror.failures", "mirror.full_at", "mirror.kind", "mirror.networks", "mirror.origin", "mirror.place",
		"mirror.retry_at", "mirror.synced_at",
		"misp", "misp.asked", "misp.away", "misp.description", "misp.outages", "misp.servers",
		"misp.servers.away", "misp.servers.description", "misp.servers.name", "misp.servers.outages", "misp.servers.url", "misp.servers.waiting",
		"not_ready", "not_reported", "not_reported.x",
		"other_alerts", "other_alerts.absent", "other_alerts.behind_bytes", "other_alerts.behind_seconds", "other_alerts.delayed_bytes",
		"other_alerts.file", "other_alerts.offset", "other_alerts.saved_at", "pid", "policy", "queue", "ready", "running", "since",
		"sources", "sources.event", "sources.hits", "sources.info", "sources.mutes", "sources.repeats", "sources.source",
		"spool", "spool.alerts", "spool.aside", "spool.bytes", "spool.delayed", "spool.events", "spool.newer", "spool.oldest", "version",
	}
	if diff := cmp.Diff(want, keys(tree, "")); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
}

// fill sets every field to something that is not left out.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(1, 0)))
			return
		}
		for _, field := range v.Fields() {
			fill(field)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("x"), reflect.Zero(v.Type().Elem()))
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(1)
	case reflect.Uint64:
		v.SetUint(1)
	case reflect.Float64:
		v.SetFloat(1)
	}
}

// keys returns the keys of a JSON object and of those in it, joined by dots.
func keys(tree map[string]any, prefix string) []string {
	var list []string
	for _, k := range slices.Sorted(maps.Keys(tree)) {
		list = append(list, prefix+k)
		v := tree[k]
		if items, ok := v.([]any); ok && len(items) > 0 {
			v = items[0]
		}
		if inner, ok := v.(map[string]any); ok {
			list = append(list, keys(inner, prefix+k+".")...)
		}
	}
	return list
}
