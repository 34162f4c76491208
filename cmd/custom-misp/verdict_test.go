package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/cmd/custom-misp/internal/config"
	"custom-misp/cmd/custom-misp/internal/doctor"
	"custom-misp/misp/misptest"
)

// verdictTime is more than any verb needs to refuse a configuration; serve runs as long if it does not.
const verdictTime = 30 * time.Second

// verdicts asks each verb, in this process, and returns what it says; empty if it finds nothing wrong.
func (s *verdictSite) verdicts(t *testing.T) map[string]string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), verdictTime)
	defer cancel()
	said := map[string]string{}
	for _, verb := range []string{"lint", "config", "serve", "doctor"} {
		var out, errs bytes.Buffer
		line := []string{"custom-misp", verb, "--home", s.home}
		if verb == "doctor" {
			line = append(line, "--output=json")
		}
		code := run(ctx, line, strings.NewReader(""), &out, &errs)
		said[verb] = errs.String()
		if verb == "doctor" {
			said[verb] = problems(t, out.Bytes())
		}
		if code == cli.ExitOK {
			said[verb] = ""
		}
	}
	var out bytes.Buffer
	alert := s.alert(t, []byte(hostAlert("1", liveHit)))
	if code := run(ctx, []string{"integrations", "--home", s.home, alert}, strings.NewReader(""), &out, &out); code != cli.ExitOK {
		said["call"] = out.String()
	}
	return said
}

// problems returns what doctor found of problems, one a line.
func problems(t *testing.T, report []byte) string {
	t.Helper()
	var findings []doctor.Finding
	if err := json.Unmarshal(report, &findings); err != nil {
		t.Fatalf("doctor: %v in %q", err, report)
	}
	var lines strings.Builder
	for _, f := range findings {
		if f.Status == doctor.StatusProblem {
			fmt.Fprintf(&lines, "%s; %s\n", f.Found, f.Remedy)
		}
	}
	return lines.String()
}

// expectVerdict breaks a site and has every verb say so, in a line that names the key.
func expectVerdict(t *testing.T, b breakage) {
	t.Helper()
	s := newVerdictSite(t)
	s.breakIt(t, b)
	said := s.verdicts(t)
	fault := strings.ReplaceAll(b.fault, "%H", s.home)
	for _, verb := range []string{"doctor", "lint", "config", "call", "serve"} {
		names := func(line string) bool { return strings.Contains(line, b.key) && strings.Contains(line, fault) }
		if !slices.ContainsFunc(strings.Split(said[verb], "\n"), names) {
			t.Errorf("%s says %q, and not %s with %q", verb, said[verb], b.key, fault)
		}
		if strings.Contains(said[verb], misptest.Key) {
			t.Errorf("%s shows the key: %s", verb, said[verb])
		}
	}
	s.expectFate(t, b.done)
}

// TestOneVerdict breaks each key of the configuration, in each way in which it can be broken, and finds the same verdict
// from doctor, lint, config, a call by integratord and serve.
func TestOneVerdict(t *testing.T) {
	t.Parallel()
	c, err := config.Load(config.Request{Home: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	isKey, considered := map[string]bool{}, map[string]bool{}
	for _, v := range c.Values()[1:] {
		isKey[v.Key] = true
		_, isList := v.Value.([]string)
		wrong := "[a, b]"
		if isList || v.Key == "serve.alerts" { // which may be one file or several
			wrong = "{a: b}"
		}
		t.Run(v.Key+"/other shape", func(t *testing.T) {
			t.Parallel()
			expectVerdict(t, breakage{key: v.Key, keys: map[string]string{v.Key: wrong}, fault: "custom-misp.yaml:"})
		})
	}
	for key, value := range wrongValues {
		considered[key] = true
		t.Run(key+"/other form", func(t *testing.T) {
			t.Parallel()
			expectVerdict(t, breakage{key: key, keys: map[string]string{key: value}, fault: "custom-misp.yaml:"})
		})
	}
	for _, b := range breakages {
		considered[b.key] = true
		t.Run(b.key+"/"+b.name, func(t *testing.T) {
			t.Parallel()
			expectVerdict(t, b)
		})
	}
	for key, reason := range unbreakable {
		if considered[key] || reason == "" {
			t.Errorf("%s is in unbreakable, and broken, or without a reason", key)
		}
		considered[key] = true
	}
	for key := range isKey {
		if !considered[key] {
			t.Errorf("%s: add a value to wrongValues or a case to breakages, or say in unbreakable why it cannot be broken", key)
		}
	}
	for key := range considered {
		if !isKey[key] {
			t.Errorf("%s is not a key", key)
		}
	}
}

// TestOneVerdictGood finds nothing wrong with the site that is broken above.
func TestOneVerdictGood(t *testing.T) {
	t.Parallel()
	s := newVerdictSite(t)
	s.set(t, nil)
	for _, verb := range []string{"lint", "config"} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), []string{"custom-misp", verb, "--home", s.home}, strings.NewReader(""), &out, &errs); code != cli.ExitOK || errs.Len() > 0 {
			t.Errorf("%s: exit code %d, %q", verb, code, &errs)
		}
	}
	var out bytes.Buffer
	alert := s.alert(t, []byte(hostAlert("1", liveHit)))
	if code := run(t.Context(), []string{"integrations", "--home", s.home, alert}, strings.NewReader(""), &out, &out); code != cli.ExitOK || out.Len() > 0 {
		t.Errorf("call: exit code %d, %q", code, &out)
	}
	if _, events := s.received(t); len(events) != 1 {
		t.Errorf("events %v", events)
	}
}
