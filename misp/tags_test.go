package misp_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"custom-misp/misp"
)

func TestAnyTag(t *testing.T) {
	tags := []string{"tlp:GREEN", `misp-galaxy:threat-actor="A group"`, "osint"}
	for pattern, want := range map[string]bool{
		"tlp:green": true, "TLP:*": true, "misp-galaxy:*": true, "*": true,
		"tlp": false, "tlp:amber": false, "osint:*": false, "": false, "os?nt": false,
	} {
		if got := misp.AnyTag([]string{"absent", pattern}, tags); got != want {
			t.Errorf("%q: %t, want %t", pattern, got, want)
		}
	}
	if misp.AnyTag(nil, tags) || misp.AnyTag([]string{"*"}, nil) {
		t.Error("nothing equals something")
	}
}

func TestTLP(t *testing.T) {
	for _, tt := range []struct {
		tags []string
		want string
	}{
		{nil, ""},
		{[]string{"osint", "tlp:white"}, "white"},
		{[]string{"tlp:green", "TLP:AMBER+STRICT", "tlp:amber"}, "amber+strict"},
		{[]string{"tlp:green", "tlp:red"}, "red"},
		{[]string{"xtlp:red", "tlp:reddish"}, ""},
	} {
		if got := misp.TLP(tt.tags); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.tags, got, tt.want)
		}
	}
}

func TestMitreIDs(t *testing.T) {
	got := misp.MitreIDs([]string{
		`misp-galaxy:mitre-attack-pattern="PowerShell - T1059.001"`, "T1000", `misp-galaxy:mitre-attack-pattern="PowerShell - T1059.001"`,
		`misp-galaxy:mitre-malware="Emotet - S0367"`, `misp-galaxy:mitre-attack-pattern="Phishing - T1566"`,
	})
	if diff := cmp.Diff([]string{"T1059.001", "T1566"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
