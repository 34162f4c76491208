package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/misp/misptest"
)

// TestVerbsNameTheServer has two servers, of which one refuses: each verb that speaks of MISP says which one it means.
func TestVerbsNameTheServer(t *testing.T) {
	t.Parallel()
	m := newHome(t)
	cert := misptest.New(t, os.DirFS("../../testdata/feed"))
	m.configure(t, fmt.Sprintf("misp: {url: %q, key: %s, retries: 0}\n", m.misp.URL, misptest.Key))
	write := func(name, content string) {
		t.Helper()
		replace(t, m.home+"/"+name, content)
	}
	write("etc/cert.key", misptest.Key+"\n")
	write("etc/custom-misp/sources/servers.yaml", fmt.Sprintf("version: 1\nservers:\n  - {name: cert, url: %q, key_file: etc/cert.key, retries: 0}\n", cert.URL))
	run := func(want int, args ...string) string {
		t.Helper()
		out, errs, code := asked(t, nil, append(args, "--home", m.home)...)
		if code != want {
			t.Errorf("%s: exit code %d, want %d: %s %s", args, code, want, out, errs)
		}
		return out + errs
	}
	says := func(said string, texts ...string) {
		t.Helper()
		for _, text := range texts {
			if !strings.Contains(said, text) {
				t.Errorf("%q is not in:\n%s", text, said)
			}
		}
	}
	says(run(cli.ExitOK, "config"), "servers.cert", cert.URL, "servers.yaml:3")
	says(run(cli.ExitOK, "source", "list"), "cert", "MISP server", cert.URL)
	says(run(cli.ExitOK, "lookup", liveHit), "from misp", "from cert", m.misp.URL+"/events/view/", cert.URL+"/events/view/")
	if said := run(cli.ExitOK, "lookup", "--from", "cert", liveHit); strings.Contains(said, "from misp") || !strings.Contains(said, "from cert") {
		t.Errorf("of cert alone: %s", said)
	}
	says(run(cli.ExitWrongUse, "lookup", "--from", "crt", liveHit), `--from "crt" is unknown; use mirror or misp or cert`)

	cert.Set(misptest.Condition{Refused: misptest.NoUser})
	says(run(cli.ExitFailure, "lookup", liveHit), "from misp", "not all is known of these values: not all servers answered: cert: MISP at ", "answered 403")
	says(run(cli.ExitFailure, "mute", liveHit, "--reason", "sinkhole", "--tell-misp"), "MISP server misp was told that 1 attribute is a false positive", "MISP server cert: the mute has effect, and MISP is not told")
	cert.Set(misptest.Condition{})
	says(run(cli.ExitOK, "mute", liveHit, "--reason", "sinkhole", "--tell-misp"), "MISP server cert was told that 1 attribute is a false positive")

	cert.Close()
	out, _, _ := asked(t, nil, "doctor", "--home", m.home, "--output", "json")
	var findings []struct{ Check, Server, Status, Found string }
	if err := json.Unmarshal([]byte(out), &findings); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, f := range findings {
		if f.Check == "misp-connect" {
			got[f.Server] = f.Status
			if !strings.HasPrefix(f.Found, f.Server+": ") {
				t.Errorf("found %q", f.Found)
			}
		}
	}
	if got["misp"] != "ok" || got["cert"] != "problem" {
		t.Errorf("doctor: %v", got)
	}
	says(run(cli.ExitFailure, "status"), "MISP misp", "MISP cert", cert.URL)
	says(run(cli.ExitOK, "spool"), "MISP cert", "0 alerts wait for it")
}
