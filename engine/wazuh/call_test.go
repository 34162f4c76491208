package wazuh_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"custom-misp/engine/wazuh"
)

func TestParseCall(t *testing.T) {
	const alert, options = "/tmp/custom-misp-1791187801-118.alert", "/tmp/custom-misp-1791187801-118.options"
	tests := []struct {
		name string
		args []string
		want wazuh.Call
	}{
		{
			"4.0 to 4.6",
			[]string{alert, "fake-key", "https://misp.example.org", " > /dev/null 2>&1"},
			wazuh.Call{AlertFile: alert, APIKey: "fake-key", HookURL: "https://misp.example.org", Retries: -1},
		},
		{
			"4.0 to 4.6, debug",
			[]string{alert, "fake-key", "", "debug"},
			wazuh.Call{AlertFile: alert, APIKey: "fake-key", Debug: true, Retries: -1},
		},
		{
			"4.7, nothing set",
			[]string{alert, "", "", "", "", "> /dev/null 2>&1"},
			wazuh.Call{AlertFile: alert, Retries: -1},
		},
		{
			"4.7, options",
			[]string{alert, "", "", "", options, "> /dev/null 2>&1"},
			wazuh.Call{AlertFile: alert, OptionsFile: options, Retries: -1},
		},
		{
			"4.7, debug",
			[]string{alert, "", "", "debug", options},
			wazuh.Call{AlertFile: alert, Debug: true, OptionsFile: options, Retries: -1},
		},
		{
			"4.8 and later",
			[]string{alert, "fake-key", "https://misp.example.org", "", options, "10", "3", "> /dev/null 2>&1"},
			wazuh.Call{AlertFile: alert, APIKey: "fake-key", HookURL: "https://misp.example.org", OptionsFile: options, Timeout: 10 * time.Second, Retries: 3},
		},
		{
			"4.8 and later, debug",
			[]string{alert, "", "", "debug", "", "20", "0"},
			wazuh.Call{AlertFile: alert, Debug: true, Timeout: 20 * time.Second},
		},
		{
			"alert file could not be written",
			[]string{"", "", "", "", "", "10", "3", "> /dev/null 2>&1"},
			wazuh.Call{Timeout: 10 * time.Second, Retries: 3},
		},
		{"by hand", []string{alert}, wazuh.Call{AlertFile: alert, Retries: -1}},
		{"nothing", nil, wazuh.Call{Retries: -1}},
		{
			"nonsense numbers",
			[]string{alert, "", "", "", "", "-5", "many", "x", "y", "z"},
			wazuh.Call{AlertFile: alert, Retries: -1},
		},
		{
			"huge numbers",
			[]string{alert, "", "", "", "", "99999999999999999999", "1000"},
			wazuh.Call{AlertFile: alert, Retries: -1},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, wazuh.ParseCall(tt.args)); diff != "" {
				t.Errorf("call (-want +got):\n%s", diff)
			}
		})
	}
}
