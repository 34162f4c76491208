package wazuh

import (
	"strings"

	"github.com/tidwall/gjson"
)

// IsEnrichment reports whether an alert was raised by an event of ours. An <integration> block without a group
// hands such alerts back to us, and they must not be enriched again.
func IsEnrichment(alert []byte) bool {
	v := gjson.GetManyBytes(alert, "data.integration", "location", "rule.groups")
	if v[0].Str == "misp" || v[1].Str == "misp" || strings.HasSuffix(v[1].Str, "->misp") {
		return true
	}
	own := false
	v[2].ForEach(func(_, g gjson.Result) bool {
		own = strings.EqualFold(strings.TrimSpace(g.Str), "misp")
		return !own
	})
	return own
}
