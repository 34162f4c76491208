package config

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestAlertsFiles reads serve.alerts as it may be written: one text as before, a list, and nothing.
func TestAlertsFiles(t *testing.T) {
	t.Parallel()
	main := func(path string) AlertsFile { return AlertsFile{Path: path, Main: true} }
	const alerts, archives = "logs/alerts/alerts.json", "logs/archives/archives.json"
	for _, tt := range []struct {
		name, yaml string
		want       []AlertsFile
		shown      any
		fault      string
	}{
		{"default", "serve: {}", []AlertsFile{main(alerts)}, alerts, ""},
		{"one text", "serve: {alerts: other/a b.json}", []AlertsFile{main("other/a b.json")}, "other/a b.json", ""},
		{"nothing", "serve: {alerts: ''}", nil, "", ""},
		{"an empty list", "serve: {alerts: []}", nil, "", ""},
		{
			"archives", "serve: {alerts: [" + archives + ", " + alerts + "]}",
			[]AlertsFile{main(alerts), {Path: archives, Archive: true, Alerts: alerts}},
			[]string{archives, alerts},
			"",
		},
		{"archives alone", "serve: {alerts: " + archives + "}", []AlertsFile{{Path: archives, Archive: true}}, archives, ""},
		{
			"elsewhere", "serve: {alerts: [alerts.json, all/of/archives.json]}",
			[]AlertsFile{main("alerts.json"), {Path: "all/of/archives.json", Archive: true, Alerts: "alerts.json"}},
			[]string{"alerts.json", "all/of/archives.json"},
			"",
		},
		{
			"two managers", "serve: {alerts: [a/alerts/alerts.json, a/archives/archives.json, b/alerts/alerts.json, b/archives/archives.json, a/alerts/alerts.json]}",
			[]AlertsFile{
				main("a/alerts/alerts.json"),
				{Path: "b/alerts/alerts.json"},
				{Path: "a/archives/archives.json", Archive: true, Alerts: "a/alerts/alerts.json"},
				{Path: "b/archives/archives.json", Archive: true, Alerts: "b/alerts/alerts.json"},
			},
			[]string{"a/alerts/alerts.json", "a/archives/archives.json", "b/alerts/alerts.json", "b/archives/archives.json", "a/alerts/alerts.json"},
			"",
		},
		{
			"two managers, one archives.json", "serve: {alerts: [a/alerts/x.json, b/alerts/y.json, c/archives/archives.json]}",
			[]AlertsFile{main("a/alerts/x.json"), {Path: "b/alerts/y.json"}, {Path: "c/archives/archives.json", Archive: true}},
			[]string{"a/alerts/x.json", "b/alerts/y.json", "c/archives/archives.json"},
			"/a/alerts/x.json and ",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			home := newHome(t, tt.yaml+"\n")
			c, err := Load(Request{Home: home, File: filepath.Join(home, "etc/custom-misp.yaml")})
			if (err != nil) != (tt.fault != "") || err != nil && !strings.Contains(err.Error(), tt.fault) {
				t.Errorf("error %v, want %q", err, tt.fault)
			}
			if diff := cmp.Diff(inHome(home, tt.want), c.Serve.Files()); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(shownInHome(home, tt.shown), c.Values()[1+slices.Index(keys(), "serve.alerts")].Value); diff != "" {
				t.Errorf("shown (-want +got):\n%s", diff)
			}
		})
	}
}

// inHome returns files with paths from the root.
func inHome(home string, files []AlertsFile) (all []AlertsFile) {
	for _, f := range files {
		f.Path = filepath.Join(home, f.Path)
		if f.Alerts != "" {
			f.Alerts = filepath.Join(home, f.Alerts)
		}
		all = append(all, f)
	}
	return all
}

// shownInHome returns a path or a list of them from the root; a text that is empty is none.
func shownInHome(home string, shown any) any {
	switch shown := shown.(type) {
	case string:
		if shown == "" {
			return ""
		}
		return filepath.Join(home, shown)
	case []string:
		var list []string
		for _, path := range shown {
			list = append(list, filepath.Join(home, path))
		}
		return list
	}
	return nil
}

// TestAlertsFilesInEnvironment has several files in one variable, and one with a blank in its name.
func TestAlertsFilesInEnvironment(t *testing.T) {
	for text, want := range map[string][]string{"/a b/alerts.json": {"/a b/alerts.json"}, "/x/a.json,/y/archives.json": {"/x/a.json", "/y/archives.json"}} {
		t.Setenv("CUSTOM_MISP_SERVE_ALERTS", text)
		home := newHome(t, "")
		c, err := Load(Request{Home: home})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, c.Serve.Alerts); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
}
