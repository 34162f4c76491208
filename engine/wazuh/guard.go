package wazuh

import (
	"bytes"
	"strings"

	"github.com/tidwall/gjson"
)

// IsEnrichment reports whether an alert was raised by an event of ours. An <integration> block without a group
// hands such alerts back to us, and they must not be enriched again.
func IsEnrichment(alert []byte) bool {
	if bytes.Contains(alert, []byte("misp")) { // most alerts hold it nowhere, and the location stands at their end
		v := gjson.GetManyBytes(alert, "data.integration", "location")
		if v[0].Str == "misp" || v[1].Str == "misp" || strings.HasSuffix(v[1].Str, "->misp") {
			return true
		}
	}
	own := false
	gjson.GetBytes(alert, "rule.groups").ForEach(func(_, g gjson.Result) bool {
		own = strings.EqualFold(strings.TrimSpace(g.Str), "misp")
		return !own
	})
	return own
}
