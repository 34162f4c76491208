package doctor

import (
	"os"
	"path/filepath"
	"testing"

	"custom-misp/engine/enrich/spool"
	"custom-misp/misp/misptest"
)

func configBreakages() []breakage {
	good := configures("")
	ignore := func(text string) func(*testing.T, *ward) {
		return func(t *testing.T, w *ward) {
			w.write(t, "etc/ignore.txt", text, 0o640)
			w.configure(t, "ignore: {files: [etc/ignore.txt]}\n")
		}
	}
	return []breakage{
		{name: "a key misspelt", spoil: configures("lookup:\n  toids: true\n"), check: "configuration", status: StatusProblem},
		{name: "a key of no one", spoil: configures("log: {verbosity_of_everything: info}\n"), check: "configuration", status: StatusProblem, byHand: good},
		{name: "configuration closed to wazuh", spoil: chmods("etc/custom-misp.yaml", 0o600), check: "configuration", status: StatusProblem},
		{name: "CA file closed to wazuh", spoil: chmods("etc/misp-ca.pem", 0o600), check: "configuration", status: StatusProblem},
		{name: "no address", spoil: writes("etc/custom-misp.yaml", "log: {level: info}\n", 0o640), check: "configuration", status: StatusProblem, byHand: good},
		{name: "no key", spoil: removes("etc/custom-misp.key"), check: "key", status: StatusProblem},
		{name: "empty key", spoil: writes("etc/custom-misp.key", "\n", 0o640), check: "key", status: StatusProblem},
		{name: "an old key before the new one", spoil: writes("etc/custom-misp.key", "withdrawn-key\n"+misptest.Key+"\n", 0o640), check: "misp-key", status: StatusWarning, found: "refuses the first key"},
		{name: "a next key that MISP does not know", spoil: writes("etc/custom-misp.key", misptest.Key+"\nunknown-key\n", 0o640), check: "misp-key", status: StatusWarning, found: "refuses the second"},
		{name: "three keys", spoil: writes("etc/custom-misp.key", "a\nb\nc\n", 0o640), check: "key", status: StatusProblem, found: "3 lines with keys", byHand: writes("etc/custom-misp.key", misptest.Key+"\n", 0o640)},
		{name: "key open to everybody", spoil: chmods("etc/custom-misp.key", 0o644), check: "key", status: StatusProblem},
		{name: "key closed to wazuh", spoil: chmods("etc/custom-misp.key", 0o600), check: "key", status: StatusProblem},
		{name: "directory of the key closed", spoil: func(t *testing.T, w *ward) {
			w.mkdir(t, "etc/keys", 0o700)
			w.write(t, "etc/keys/misp", misptest.Key, 0o640)
			w.write(t, "etc/custom-misp.yaml", "misp: {url: "+w.url+", key_file: etc/keys/misp, ca_file: etc/misp-ca.pem}\n", 0o640)
		}, check: "key", status: StatusProblem, found: "must not go through"},
		{name: "fault in a mapping", spoil: func(t *testing.T, w *ward) {
			w.mkdir(t, "etc/custom-misp/mappings", 0o750)
			w.write(t, "etc/custom-misp/mappings/site.yaml", "version: 1\n", 0o640)
		}, check: "mappings", status: StatusProblem, byHand: removes("etc/custom-misp/mappings/site.yaml")},
		{name: "ids to disable that no mapping has", spoil: configures("mappings: {disable: [\"sysmon-*\"]}\n"), check: "configuration", status: StatusProblem, found: "no mapping has the id", byHand: good},
		{name: "ignore file gone", spoil: configures("ignore: {files: [etc/ignore.txt]}\n"), check: "configuration", status: StatusProblem, found: "ignore.files", byHand: good},
		{name: "comments behind values to ignore", spoil: ignore("# ours\ncorp.example # our domain\n10.1.0.0\t# servers\n"), check: "effect", status: StatusProblem},
		{name: "comment in ignore.values", spoil: configures("ignore: {values: [\"corp.example # ours\"]}\n"), check: "effect", status: StatusProblem, byHand: good},
		{name: "stale before the next sync", spoil: mirrored("serve: {stale_after: 10m}\n", ""), check: "effect", status: StatusWarning, found: "serve.stale_after (10m0s)", byHand: mirrored("", "")},
		{name: "a tag that nothing has", spoil: mirrored("", "tags: [\"tlp:white\", \"tlp:wihte\"]"), check: "effect", status: StatusWarning, found: `has the tag "tlp:wihte"`, byHand: mirrored("", "")},
		{name: "a filter that leaves nothing of a source", spoil: mirrored("", "orgs: [nobody]"), check: "effect", status: StatusWarning, found: "because of lookup.orgs", byHand: mirrored("", "")},
		{name: "a mirror without use", spoil: configures("mirror: {feeds: [osint=/nowhere]}\n"), check: "mirror", status: StatusWarning, byHand: good},
		{name: "a source that is gone", spoil: func(t *testing.T, w *ward) {
			mirrored("", "")(t, w)
			w.configure(t, "lookup: {policy: mirror}\nmirror: {misp: false, feeds: [osint="+w.path("feed")+"], lists: [list="+w.path("gone.txt")+"]}\n")
		}, check: "mirror", status: StatusProblem, found: "list was never synced", byHand: mirrored("", "")},
	}
}

// mirrored configures a mirror of a feed, with more keys and more keys of lookup, and has it synced.
func mirrored(more, lookup string) func(*testing.T, *ward) {
	return func(t *testing.T, w *ward) {
		if _, err := os.Stat(w.path("feed")); err != nil {
			if err := os.CopyFS(w.path("feed"), os.DirFS("../../../../testdata/feed")); err != nil {
				t.Fatal(err)
			}
		}
		if lookup != "" {
			lookup = ", " + lookup
		}
		w.mkdir(t, "logs/custom-misp", 0o770)
		w.configure(t, "lookup: {policy: mirror"+lookup+"}\nmirror: {misp: false, feeds: [osint="+w.path("feed")+"]}\n"+more)
		w.sync(t)
	}
}

func stateBreakages() []breakage {
	put := func(t *testing.T, w *ward) *spool.Dir {
		w.mkdir(t, "logs/custom-misp", 0o770)
		d := &spool.Dir{Path: w.path("logs/custom-misp/spool"), MaxEntries: 10, MaxBytes: 1 << 20}
		alert, err := os.ReadFile("../../../../testdata/alerts/sysmon-windows-22-dns.json")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Put(spool.Alerts, alert); err != nil {
			t.Fatal(err)
		}
		return d
	}
	return []breakage{
		{name: "log made by root", spoil: writes("logs/integrations.log", "", 0o640), check: "log", status: StatusProblem},
		{name: "no directory for the log", spoil: configures("log: {file: site/log/misp.log}\n"), check: "log", status: StatusProblem},
		{name: "state cannot be made", spoil: chmods("logs", 0o750), check: "state", status: StatusProblem},
		{name: "state of root", spoil: func(t *testing.T, w *ward) { w.mkdir(t, "logs/custom-misp", 0o700) }, check: "state", status: StatusProblem},
		{name: "state of an earlier release", spoil: func(t *testing.T, w *ward) {
			w.mkdir(t, filepath.Join("var/run/custom-misp", "spool"), 0o770)
			w.mkdir(t, "logs/custom-misp", 0o770) // a test cannot become Wazuh's user
		}, check: "state", status: StatusWarning},
		{name: "alerts queued", spoil: func(t *testing.T, w *ward) { put(t, w) }, check: "spool", status: StatusWarning, found: "1 alert and 0 events are queued"},
		{name: "a log that is a directory", spoil: func(t *testing.T, w *ward) { w.mkdir(t, "logs/integrations.log", 0o750) }, check: "log", status: StatusProblem, byHand: removes("logs/integrations.log")},
	}
}
