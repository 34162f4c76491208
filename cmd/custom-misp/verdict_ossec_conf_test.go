package main

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/misp/misptest"
)

// TestOneVerdictOssecConf has every verb know what integratord passes from the program's block in ossec.conf: settings
// that stand there alone, and faults of them.
func TestOneVerdictOssecConf(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ options, fault string }{
		"good":           {`{"ignore": {"values": ["example.org"]}}`, ""},
		"unknown key":    {`{"ignore": {"value": []}}`, `<options>: unknown key "ignore.value"`},
		"ignored absent": {`{"ignore.files": ["etc/gone"]}`, "ignore.files: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newVerdictSite(t)
			s.set(t, map[string]string{"misp.url": "", "misp.key_file": ""})
			s.put(t, "etc/ossec.conf", fmt.Sprintf("<ossec_config><integration><name>custom-misp</name><hook_url>%s</hook_url>"+
				"<api_key>%s</api_key><alert_format>json</alert_format><options>%s</options></integration></ossec_config>", s.misp.URL, misptest.Key, tt.options))
			s.put(t, "tmp/options", tt.options)
			ctx, cancel := context.WithTimeout(t.Context(), verdictTime)
			defer cancel()
			program, home := "custom-misp", s.home
			alert := s.alert(t, []byte(hostAlert("1", liveHit)))
			lines := map[string][]string{
				"lint": {program, "lint", "--home", home}, "config": {program, "config", "--home", home},
				"enrich": {program, "enrich", "--home", home, alert}, "lookup": {program, "lookup", "--home", home, listHit},
				"call": {"integrations", "--home", home, alert, misptest.Key, s.misp.URL, "", filepath.Join(home, "tmp/options"), "10", "3"},
			}
			if tt.fault != "" {
				lines["serve"] = []string{program, "serve", "--home", home}
				lines["spool drain"] = []string{program, "spool", "drain", "--home", home}
			}
			for verb, line := range lines {
				var out, errs bytes.Buffer
				code := run(ctx, line, strings.NewReader(""), &out, &errs)
				if (code == cli.ExitOK) != (tt.fault == "") || !strings.Contains(errs.String(), tt.fault) || tt.fault == "" && errs.Len() > 0 {
					t.Errorf("%s: exit code %d, %q, want %q", verb, code, errs.String(), tt.fault)
				}
			}
			if n := len(s.misp.Requests()); (n == 0) != (tt.fault != "") {
				t.Errorf("MISP was asked %d times", n)
			}
		})
	}
}
