package misptest

import (
	"encoding/json"
	"net/http"
)

// What the server says of itself and of the user of the key, in the shape of a real MISP 2.5 asked by a user who
// may only read.
var (
	versionAnswer = map[string]any{
		"version": "2.5.8", "pymisp_recommended_version": "2.5.8", "perm_sync": false, "perm_sighting": false,
		"perm_galaxy_editor": false, "perm_analyst_data": false, "uuid": "-", "request_encoding": []string{"gzip"},
		"filter_sightings": true,
	}
	userAnswer = map[string]any{
		"User": map[string]any{"id": "4", "email": "wazuh@soc.example", "role_id": "6", "disabled": false},
		"Role": map[string]any{
			"id": "6", "name": "Read Only", "perm_add": false, "perm_modify": false, "perm_publish": false,
			"perm_admin": false, "perm_site_admin": false, "perm_auth": true, "perm_sighting": false,
			"enforce_rate_limit": false, "rate_limit_count": "0",
		},
		"UserSetting":  []any{},
		"Organisation": map[string]any{"id": "2", "name": "SOC"},
	}
)

func answerJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	data, _ := json.Marshal(v)
	_, _ = w.Write(data)
}
