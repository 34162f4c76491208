package api

import (
	"fmt"
	"strings"
	"testing"

	"custom-misp/misp"
)

// BenchmarkAnswer reads an answer with a full page of attributes.
func BenchmarkAnswer(b *testing.B) {
	list := make([]string, pageSize)
	for i := range list {
		list[i] = fmt.Sprintf(`{"id":"%d","event_id":"7","category":"Network activity","type":"ip-dst","to_ids":true,"uuid":"u%d","timestamp":"1790000000","comment":"","deleted":false,"value":"192.31.196.%d","Event":{"id":"7","info":"i","threat_level_id":"1","analysis":"2","published":true,"uuid":"e","Orgc":{"name":"o"},"Tag":[{"name":"tlp:amber"}]},"Tag":[{"name":"tlp:amber"}]}`, i, i, i%250)
	}
	data := []byte(`{"response":{"Attribute":[` + strings.Join(list, ",") + `]}}`)
	b.ReportAllocs()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		n, err := decodeAnswer(b.Context(), data, func(a misp.Attribute, _ bool) error {
			sink = a
			return nil
		})
		if err != nil || n != pageSize {
			b.Fatal(n, err)
		}
	}
}

var sink misp.Attribute
