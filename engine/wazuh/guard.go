package wazuh

import (
	"bytes"

	"github.com/tidwall/gjson"
)

// OwnLocation is the location of all alerts that [IsEnrichment] is true of.
const OwnLocation = location

// IsEnrichment reports whether an alert was raised by an event that [Queue] sent. integratord passes such alerts back to
// us, and they must not be enriched again. They have the location "misp", which analysisd takes from the header of the
// event, and the decoder json (contracts/wazuh.md, a). Nothing else counts: the author of a log controls all of data, and
// through it which rules match and their groups, but not the location.
func IsEnrichment(alert []byte) bool {
	if !bytes.Contains(alert, []byte(`"misp"`)) { // most alerts end here: it costs a fraction of reading them as JSON
		return false
	}
	return gjson.GetBytes(alert, "location").Str == location && gjson.GetBytes(alert, "decoder.name").Str == "json"
}
