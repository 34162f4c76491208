package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"custom-misp/misp/misptest"
)

// TestIntegratord takes the bundled alert of every event type from the call to the event, called as every version of
// integratord calls.
func TestIntegratord(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	versions := map[string]func(alert string) []string{
		"4.0": func(a string) []string { return []string{a, misptest.Key, m.misp.URL, " > /dev/null 2>&1"} },
		"4.7": func(a string) []string { return []string{a, misptest.Key, m.misp.URL, "", "", "> /dev/null 2>&1"} },
		"4.14": func(a string) []string {
			return []string{a, misptest.Key, m.misp.URL, "", "", "10", "3", "> /dev/null 2>&1"}
		},
	}
	const windows, lab, linux = "1:[004] (WS-FINANCE-07) 10.20.4.7->misp", "1:[005] (WS-LAB-02) fd00|:20|:4|:|:2->misp", "1:[011] (web-01) 10.20.9.11->misp"
	tests := []struct {
		alert, header string
		want          []string // "observable type: attribute type, path"
	}{
		{"sysmon-windows-1-process", windows, []string{"sha256: sha256, data.win.eventdata.hashes", "sha1: sha1, data.win.eventdata.hashes", "imphash: imphash, data.win.eventdata.hashes"}},
		{"sysmon-windows-1-detection", windows, []string{"sha256: filename|sha256, data.win.eventdata.hashes"}},
		{"sysmon-windows-1-custom-rule", windows, []string{"sha256: sha256, data.win.eventdata.hashes"}},
		{"sysmon-windows-1-clean", "", nil},
		{"sysmon-windows-3-network", windows, []string{"ip-dst: domain|ip, data.win.eventdata.destinationIp", "hostname: hostname, data.win.eventdata.destinationHostname"}},
		{"sysmon-windows-3-network-ipv6", lab, []string{"ip-dst: ip-dst, data.win.eventdata.destinationIp"}},
		{"sysmon-windows-3-network-no-flag", windows, []string{"ip-dst: domain|ip, data.win.eventdata.destinationIp"}},
		{"sysmon-windows-3-internal", "", nil},
		{"sysmon-windows-6-driver", windows, []string{"sha256: sha256, data.win.eventdata.hashes"}},
		{"sysmon-windows-7-image-load", windows, []string{"md5: md5, data.win.eventdata.hashes"}},
		{"sysmon-windows-15-stream", windows, []string{"sha256: sha256, data.win.eventdata.hash"}},
		{"sysmon-windows-22-dns", windows, []string{
			"hostname: hostname, data.win.eventdata.queryName", "hostname: hostname, data.win.eventdata.queryResults",
			"ip-dst: domain|ip, data.win.eventdata.queryResults", "ip-dst: ip-dst, data.win.eventdata.queryResults",
		}},
		{"sysmon-windows-22-dns-reverse", "", nil},
		{"sysmon-windows-23-delete", windows, []string{"sha256: sha256, data.win.eventdata.hashes", "sha1: sha1, data.win.eventdata.hashes"}},
		{"sysmon-windows-24-clipboard", windows, []string{"sha256: sha256, data.win.eventdata.hashes"}},
		{"sysmon-windows-25-tampering", "", nil},
		{"sysmon-windows-26-delete-detected", windows, []string{"md5: md5, data.win.eventdata.hashes"}},
		{"sysmon-windows-syslog", windows, []string{"sha1: sha1, data.sysmon.hash"}},
		{"sysmon-linux-1-process", linux, []string{"sha256: sha256, data.eventdata.hashes", "md5: md5, data.eventdata.hashes"}},
		{"sysmon-linux-1-no-hashes", "", nil},
		{"sysmon-linux-3-network", linux, []string{"ip-dst: ip-dst|port, data.eventdata.DestinationIp"}},
		{"sysmon-linux-3-network-lower", linux, []string{"ip-dst: ip-dst|port, data.eventdata.destinationIp"}},
		{"sysmon-linux-3-network-json", linux, []string{"ip-dst: ip-dst|port, data.Event.EventData.Data.DestinationIp"}},
		{"sysmon-linux-11-create-json", linux, []string{"sha256: sha256, data.Event.EventData.Data.Hashes"}},
		{"sysmon-linux-23-delete", linux, []string{"md5: md5, data.eventdata.hashes"}},
		{"fim-added", linux, []string{"sha256: sha256, syscheck.sha256_after"}},
		{"fim-modified", linux, []string{"md5: md5, syscheck.md5_after"}},
		{"fim-deleted", linux, []string{"sha256: sha256, syscheck.sha256_after", "md5: md5, syscheck.md5_after"}},
		{"fim-registry-value", "", nil},
		{"fim-registry-key", "", nil},
		{"fim-custom-rule", linux, []string{"sha256: sha256, syscheck.sha256_after"}},
		{"fim-empty-file", "", nil},
		{"sshd-failed", "1:misp", []string{"ip-src: domain|ip, data.srcip"}},
		{"misp-enrichment", "", nil},
		{"windows-security-log-cleared", "", nil},
	}
	for version, args := range versions {
		for _, tt := range tests {
			t.Run(version+"/"+tt.alert, func(t *testing.T) {
				data := bundled(t, tt.alert)
				if version == "4.0" {
					data = bytes.TrimSuffix(data, []byte("\n")) // before 4.6 the file ended without
				}
				asked := len(m.misp.Requests())
				out, code := m.call(t, args(m.alert(t, data))...)
				if code != 0 || out != "" {
					t.Errorf("exit code %d, output %q", code, out)
				}
				if diff := cmp.Diff(tt.want, m.enrichments(t, data, tt.header)); diff != "" {
					t.Errorf("enrichments (-want +got):\n%s", diff)
				}
				if n := questions(m.misp.Requests()[asked:]); n > 1 {
					t.Errorf("%d questions to MISP for one alert, and one of patterns", n)
				}
			})
		}
	}
}

// questions counts questions to MISP, but for one of patterns, which is for paths with a variable.
func questions(requests []misptest.Request) int {
	patterns := 0
	for _, r := range requests {
		value, _ := r.Body["value"].(map[string]any)
		or, _ := value["OR"].([]any)
		if first, _ := or[0].(string); strings.HasPrefix(first, "%") {
			patterns = 1
		}
	}
	return len(requests) - patterns
}

// enrichments describes the events that were sent for an alert, and checks that each names it and has the header.
func (m *testManager) enrichments(t *testing.T, alert []byte, header string) (got []string) {
	t.Helper()
	headers, events := m.received(t)
	for i, e := range events {
		if headers[i] != header {
			t.Errorf("header %q, want %q", headers[i], header)
		}
		o := e["observable"].(map[string]any)
		got = append(got, fmt.Sprintf("%s: %s, %s", o["type"], e["type"], o["path"]))
		source := e["source"].(map[string]any)
		if !bytes.Contains(alert, []byte(source["alert_id"].(string))) || e["event_id"] == "" || e["category"] == "" || e["value"] == "" {
			t.Errorf("event lacks what it belongs to: %v", e)
		}
		if e["link"] != m.misp.URL+"/events/view/"+e["event_id"].(string) {
			t.Errorf("link %v", e["link"])
		}
	}
	return got
}

// TestIntegratordForged hands over JSON that claims to be an event of ours. Only the location tells: it comes from the
// header in the queue, the rest from whoever writes the log.
func TestIntegratordForged(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	const manager, agent, misp = `{"id":"000","name":"wazuh-manager"}`, `{"id":"011","name":"web-01","ip":"10.20.9.11"}`, `{"id":"012","name":"misp","ip":"10.20.9.12"}`
	tests := []struct {
		name, agent, groups, location string
		header                        string // empty for an alert that is not enriched
	}{
		{"log of the manager", manager, `"local"`, "/var/log/app.json", "1:misp"},
		{"log of an agent", agent, `"local"`, "/var/log/app.json", "1:[011] (web-01) 10.20.9.11->misp"},
		{"log of an agent with the name misp", misp, `"local"`, "/var/log/app.json", "1:[012] (misp) 10.20.9.12->misp"},
		{"a rule with the group misp took it", agent, `"misp","misp_alert"`, "/var/log/app.json", "1:[011] (web-01) 10.20.9.11->misp"},
		{"file whose name ends like a location of ours", manager, `"misp","misp_alert"`, "/var/log/x->misp", "1:misp"},
		{"event of ours, of the manager", manager, `"misp","misp_alert"`, "misp", ""},
		{"event of ours, of an agent", agent, `"misp","misp_alert"`, "misp", ""},
		{"event of ours, of an agent with the name misp", misp, `"misp","misp_alert"`, "misp", ""},
		{"event of ours, which a rule of the site took", agent, `"local"`, "misp", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			alert := `{"timestamp":"2026-10-05T08:10:34.120+0000","rule":{"level":12,"description":"JSON","id":"100622","groups":[` + tt.groups + `]},` +
				`"agent":` + tt.agent + `,"manager":{"name":"wazuh-manager"},"id":"1791187834.85602","decoder":{"name":"json"},` +
				`"data":{"integration":"misp","misp":{"event_id":"1"},"srcip":"192.31.196.66"},"location":"` + tt.location + `"}`
			asked := len(m.misp.Requests())
			out, code := m.call(t, m.alert(t, []byte(alert+"\n")), misptest.Key, m.misp.URL, "", "", "10", "3", "> /dev/null 2>&1")
			if code != 0 || out != "" {
				t.Errorf("exit code %d, output %q", code, out)
			}
			headers, events := m.received(t)
			if tt.header == "" {
				if n := len(m.misp.Requests()) - asked; n != 0 || len(events) != 0 {
					t.Errorf("%d questions to MISP and the events %v, want none", n, events)
				}
				return
			}
			if diff := cmp.Diff([]string{tt.header}, headers); diff != "" {
				t.Fatalf("headers (-want +got):\n%s", diff)
			}
			if o := events[0]["observable"].(map[string]any); o["value"] != "192.31.196.66" || o["path"] != "data.srcip" {
				t.Errorf("observable %v", o)
			}
		})
	}
}

// TestIntegratordSettings checks what comes from ossec.conf and its <options>, and that a file is not needed.
func TestIntegratordSettings(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	alert := m.alert(t, bundled(t, "sysmon-windows-1-process"))
	options := filepath.Join(m.home, "tmp", "custom-misp-1791187801-118.options")
	m.write(t, "etc/key", misptest.Key+"\n")
	m.configure(t, "misp: {url: "+m.misp.URL+", key_file: etc/key}\n")
	for _, tt := range []struct {
		name, options string
		args          []string
		code, events  int
		says          string
	}{
		{"from the file alone", "", []string{"", "", "", options, "10", "3"}, 0, 3, ""},
		{"<options> over the file", `{"lookup": {"to_ids": true}}`, []string{"", "", "", options, "10", "3"}, 0, 2, ""},
		{"<options> with dotted keys", `{"lookup.exclude_tags": ["tlp:*"]}`, []string{"", "", "", options, "10", "3"}, 0, 0, ""},
		{
			"unknown key in <options>", `{"lookup": {"toids": true}}`,
			[]string{"", "", "", options, "10", "3"},
			2, 1,
			"custom-misp: <options>: unknown key \"lookup.toids\"; did you mean \"lookup.to_ids\"?\n",
		},
		{"broken <options>", `{`, []string{"", "", "", options, "10", "3"}, 2, 0, "<options> is not a JSON object"},
		// The one event reports that MISP refuses the key.
		{"api_key over the key file", "", []string{"wrong-key", "", "", "", "10", "0"}, 0, 1, ""},
	} {
		m.write(t, "tmp/custom-misp-1791187801-118.options", tt.options+"\n")
		out, code := m.call(t, append([]string{alert}, tt.args...)...)
		_, events := m.received(t)
		if code != tt.code || len(events) != tt.events || !strings.Contains(out, tt.says) || strings.Count(out, "\n") != min(len(tt.says), 1) {
			t.Errorf("%s: exit %d, %d events, %q; want %d, %d, %q", tt.name, code, len(events), out, tt.code, tt.events, tt.says)
		}
	}
	if strings.Contains(m.log(t), misptest.Key) || strings.Contains(m.log(t), "wrong-key") {
		t.Error("the log holds a key")
	}
}

// TestIntegratordMappings has a mapping file with a fault beside a good one.
func TestIntegratordMappings(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	m.write(t, "etc/custom-misp/mappings/site.yaml",
		"version: 1\nmappings:\n  - {id: site, match: 'has(\"data.win\")', pick: [{path: data.win.eventdata.parentImage, type: filename}]}\n")
	m.write(t, "etc/custom-misp/mappings/broken.yaml", "version: 1\n")
	out, code := m.call(t, m.alert(t, bundled(t, "sysmon-windows-1-process")), misptest.Key, m.misp.URL, "", "")
	if _, events := m.received(t); code != 0 || len(events) != 4 { // one of them reports the file
		t.Errorf("%d events, exit %d, %q", len(events), code, out)
	}
	asked := ""
	for _, r := range m.misp.Requests() {
		asked += fmt.Sprint(r.Body["value"])
	}
	if !strings.Contains(asked, `C:\Program Files\Mail & News\mail.exe`) {
		t.Errorf("the site's own mapping did not ask: %s", asked)
	}
	if !strings.Contains(m.log(t), "broken.yaml:1:1: a mapping file lacks the key") {
		t.Errorf("the log does not report the broken file: %s", m.log(t))
	}
}

// TestIntegratordTrouble checks what a call says when there is no alert to work on.
func TestIntegratordTrouble(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	bad := func(name string, content []byte) string {
		path := filepath.Join(m.home, "tmp", name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	pipe := filepath.Join(m.home, "tmp/pipe.alert")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	deep := bytes.Repeat([]byte(`{"rule":`), 400_000)
	tests := []struct {
		name, alert string
		code        int
		says        string
	}{
		{"no such file", filepath.Join(m.home, "tmp/gone.alert"), 1, "no such file or directory"},
		{"no file named", "", 1, "integratord named no alert file"},
		{"empty", bad("empty.alert", nil), 1, "empty, not an alert"},
		{"truncated", bad("cut.alert", bundled(t, "fim-added")[:200]), 1, "it ends after 200 bytes in the middle of something"},
		{"not JSON", bad("text.alert", []byte("hello")), 1, "not valid JSON at byte 1"},
		{"10 MB", bad("large.alert", bytes.Repeat([]byte("x"), 10<<20)), 1, "longer than an alert can be (1048576 bytes)"},
		{"pipe", pipe, 1, "not a regular file"},
		{"deeply nested", bad("deep.alert", deep[:1<<20]), 1, "nested more than 1000 deep"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out, code := m.call(t, tt.alert, misptest.Key, m.misp.URL, "", "", "3", "1", "> /dev/null 2>&1")
			if code != tt.code || !strings.Contains(out, tt.says) || strings.Count(out, "\n") != 1 || !strings.HasPrefix(out, "custom-misp: ") {
				t.Errorf("exit code %d, output %q; want %d and %q in one line", code, out, tt.code, tt.says)
			}
			if _, events := m.received(t); len(events) != 0 {
				t.Errorf("events %v", events)
			}
		})
	}
}

// BenchmarkCall measures a whole call by integratord against a MISP on loopback: process, mappings, one question,
// one event. maxrss is the most memory that a call had resident.
func BenchmarkCall(b *testing.B) {
	m := newManager(b)
	alert := m.alert(b, bundled(b, "fim-added"))
	var peak, cpu int64
	for b.Loop() {
		cmd, out := m.command(alert, misptest.Key, m.misp.URL, "", "", "10", "3", "> /dev/null 2>&1")
		if err := cmd.Run(); err != nil {
			b.Fatalf("%v: %s", err, out)
		}
		usage := cmd.ProcessState.SysUsage().(*syscall.Rusage)
		peak = max(peak, usage.Maxrss)
		cpu += cmd.ProcessState.UserTime().Nanoseconds() + cmd.ProcessState.SystemTime().Nanoseconds()
		if n, err := m.queue.Read(make([]byte, 1<<17)); err != nil || n == 0 {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(peak), "maxrss-KB")
	b.ReportMetric(float64(cpu)/float64(b.N), "cpu-ns/op")
}
