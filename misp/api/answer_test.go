package api

import (
	"fmt"
	"strings"
	"testing"
)

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
