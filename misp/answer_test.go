package misp

import (
	"fmt"
	"strings"
	"testing"

	"custom-misp/engine"
)

// FuzzAnswer reads any bytes as an answer, and as an event of a feed.
func FuzzAnswer(f *testing.F) {
	for _, s := range []string{
		`{"response":{"Attribute":[{"id":"1","type":"filename|sha256","value":"a|b","to_ids":true,"timestamp":"1790000000","Event":{"threat_level_id":"1","analysis":"2","published":false,"Orgc":{"name":"x"},"Tag":[{"name":"t"}]},"warnings":[{"warninglist_name":"w"}]}]}}`,
		`{"response":{"Attribute":[]}}`, `{"response":[]}`, `{"response":{"Attribute":[{"id":1,"to_ids":"1","deleted":null,"value":7.5,"Tag":null}]}}`,
		`{"Event":{"uuid":"u","Attribute":[{"type":"ip-dst","value":"192.31.196.1"}],"Object":[{"Attribute":[{"deleted":"1"}]}]}}`, `{"Event":null}`, ``, `[`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(_ *testing.T, data []byte) {
		attributes, _ := decodeAnswer(data)
		for _, w := range attributes {
			a := w.attribute()
			engine.Indicators(a.Type, a.Value)
		}
		event, _ := DecodeEvent(data)
		for _, a := range event {
			engine.Indicators(a.Type, a.Value)
		}
	})
}

// BenchmarkAnswer reads an answer with a thousand attributes.
func BenchmarkAnswer(b *testing.B) {
	list := make([]string, 1000)
	for i := range list {
		list[i] = fmt.Sprintf(`{"id":"%d","event_id":"7","category":"Network activity","type":"ip-dst","to_ids":true,"uuid":"u%d","timestamp":"1790000000","comment":"","deleted":false,"value":"192.31.196.%d","Event":{"id":"7","info":"i","threat_level_id":"1","analysis":"2","published":true,"uuid":"e","Orgc":{"name":"o"},"Tag":[{"name":"tlp:amber"}]},"Tag":[{"name":"tlp:amber"}]}`, i, i, i%250)
	}
	data := []byte(`{"response":{"Attribute":[` + strings.Join(list, ",") + `]}}`)
	b.ReportAllocs()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if attributes, err := decodeAnswer(data); err != nil || len(attributes) != 1000 {
			b.Fatal(err)
		}
	}
}
