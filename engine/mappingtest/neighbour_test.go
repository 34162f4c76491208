package mappingtest_test

import (
	"fmt"
	"slices"
	"testing"

	"custom-misp/engine"
	"custom-misp/engine/mappingtest"
)

// TestNeighbours names what is in the alert beside a path that is not.
func TestNeighbours(t *testing.T) {
	t.Parallel()
	const alert = `{"decoder":{"name":"d"},"data":{
		"acme":{"srcIP":"192.31.196.1","server_name":"a.example","items":[{"value":"x"}],"list":["y"],"net.dst":"192.31.196.2","deep":{"Client":{"addr":"z"}}}}}`
	for _, tt := range []struct {
		path, near string
		beside     []string
	}{
		{path: "data.acme.srcip", near: "data.acme.srcIP"},
		{path: "data.ACME.src_ip", near: "data.acme.srcIP"},
		{path: "data.acme.serverName", near: "data.acme.server_name"},
		{path: "data.acme.servername1", near: "data.acme.server_name"},
		{path: "data.acme.items.value", near: "data.acme.items.#.value"},
		{path: "data.acme.list.#.name", beside: nil},
		{path: "data.acme.net.dst", near: `data.acme.net\.dst`},
		{path: "data.acme.#.srcIP", near: "data.acme.srcIP"},
		{path: "data.acme.deep.client.addr", near: "data.acme.deep.Client.addr"},
		{path: "data.srcIP", near: "data.acme.srcIP"},
		{path: "data.acme.zzz", beside: []string{"srcIP", "server_name", "items", "list", "net.dst", "deep"}},
		{path: "data.acme.srcIP"}, // which is there
	} {
		e, err := engine.Load(engine.Source{Name: "m.yaml", Data: fmt.Appendf(nil, `
version: 1
mappings:
  - {id: m, match: decoder.name == "d", pick: [{path: %q, type: text}]}
`, tt.path)})
		if err != nil {
			t.Fatal(err)
		}
		x := e.Explain([]byte(alert))
		mappingtest.AddNeighbours(&x, []byte(alert))
		p := x.Mappings[0].Picks[0]
		if p.Near != tt.near || !slices.Equal(p.Beside, tt.beside) {
			t.Errorf("%s: near %q, beside %q; want %q, %q", tt.path, p.Near, p.Beside, tt.near, tt.beside)
		}
	}
}

// FuzzNeighbours looks for neighbours of any path in anything.
func FuzzNeighbours(f *testing.F) {
	f.Add("data.a.#.b", `{"data":{"A":[{"b":1}]}}`)
	f.Add(`a\`, `{"a":{}}`)
	f.Add("#.#", `[[]]`)
	f.Fuzz(func(_ *testing.T, path, alert string) {
		x := engine.Explanation{Mappings: []engine.MappingTrace{{
			Conjuncts: []engine.Conjunct{{Fields: []engine.FieldValue{{Path: path}}}}, Picks: []engine.PickTrace{{Path: path}},
		}}}
		mappingtest.AddNeighbours(&x, []byte(alert))
	})
}
