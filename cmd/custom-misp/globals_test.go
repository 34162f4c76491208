package main

import "testing"

// TestIsCall tells calls by integratord, also from a wrapper of it, from command lines of people.
func TestIsCall(t *testing.T) {
	for _, tt := range []struct {
		program string
		args    []string
		want    bool
	}{
		{"integrations", []string{"lint"}, true},
		{"integrations", nil, true},
		{"custom-misp", []string{"/tmp/custom-misp-1.alert", "key", "https://misp.example.org"}, true},
		{"custom-misp", []string{"a.json"}, true},
		{"custom-misp", []string{"globals.go"}, true},
		{"custom-misp", []string{"testdata"}, true},
		{"custom-misp", []string{""}, true},
		{"custom-misp", nil, false},
		{"custom-misp", []string{"lint", "a.yaml"}, false},
		{"custom-misp", []string{"__complete", "li"}, false},
		{"custom-misp", []string{"lnt"}, false},
		{"custom-misp", []string{"a.json", "--help"}, false},
		{"custom-misp", []string{"--version"}, false},
	} {
		if got := isCall(tt.program, tt.args); got != tt.want {
			t.Errorf("%s %q: %v", tt.program, tt.args, got)
		}
	}
}

// TestIsCallIsCheap tells a call without making the verbs, which takes as long as the call itself.
func TestIsCallIsCheap(t *testing.T) {
	args := []string{"/tmp/custom-misp-1.alert", "key", "https://misp.example.org"}
	if n := testing.AllocsPerRun(5, func() { isCall("/var/ossec/integrations/custom-misp", args) }); n > 10 {
		t.Errorf("%v allocations", n)
	}
}
