package wazuh_test

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"custom-misp/engine/wazuh"
)

func TestParseConf(t *testing.T) {
	stock := []string{"ruleset/rules", "etc/rules"}
	element := func(line int, name, text string) wazuh.Element {
		return wazuh.Element{Name: name, Text: text, Line: line}
	}
	tests := []struct {
		name, conf string
		want       wazuh.Conf
		err        string
	}{
		{name: "empty", want: wazuh.Conf{RuleDirs: stock}},
		{
			name: "two roots",
			conf: "<ossec_config>\n<integration>\n<name>slack</name>\n</integration>\n</ossec_config>\n" +
				"<ossec_config>\n<integration>\n<name>custom-misp</name>\n<group>sysmon,\n syscheck</group>\n</integration>\n</ossec_config>\n",
			want: wazuh.Conf{RuleDirs: stock, Integrations: []wazuh.Integration{
				{Line: 2, End: 4, Elements: []wazuh.Element{element(3, "name", "slack")}},
				{Line: 7, End: 11, Elements: []wazuh.Element{element(8, "name", "custom-misp"), element(9, "group", "sysmon,\n syscheck")}},
			}},
		},
		{
			name: "comments with dashes and blocks in them",
			conf: "<!-- a -- b\n<integration><name>old</name></integration> -->\n<! another !>\n<ossec_config><integration><name>custom-misp</name></integration></ossec_config>",
			want: wazuh.Conf{RuleDirs: stock, Integrations: []wazuh.Integration{
				{Line: 4, End: 4, Elements: []wazuh.Element{element(4, "name", "custom-misp")}},
			}},
		},
		{
			name: "what other parsers refuse",
			conf: "<?xml version=\"1.0\" encoding=\"iso-8859-1\"?>\n<ossec_config><global><x>a & b \xe9 \\<c></x></global>\n<integration><hook_url>https://misp.example.org/?a&b</hook_url></integration></ossec_config>",
			want: wazuh.Conf{RuleDirs: stock, Integrations: []wazuh.Integration{
				{Line: 3, End: 3, Elements: []wazuh.Element{element(3, "hook_url", "https://misp.example.org/?a&b")}},
			}},
		},
		{
			name: "directories of rules",
			conf: "<ossec_config><ruleset><rule_dir>ruleset/rules</rule_dir><rule_exclude>0215-policy_rules.xml</rule_exclude>\n<rule_dir> site/rules </rule_dir></ruleset></ossec_config>",
			want: wazuh.Conf{RuleDirs: []string{"ruleset/rules", "site/rules"}, RuleExcludes: []string{"0215-policy_rules.xml"}},
		},
		{
			name: "inside of another section",
			conf: "<ossec_config>\n<syscheck>\n<integration><name>custom-misp</name></integration>\n</syscheck>\n</ossec_config>",
			want: wazuh.Conf{RuleDirs: stock, Integrations: []wazuh.Integration{
				{Line: 3, End: 3, Within: "syscheck", Elements: []wazuh.Element{element(3, "name", "custom-misp")}},
			}},
		},
		{
			name: "output of alerts",
			conf: "<ossec_config>\n<global>\n<jsonout_output> no </jsonout_output>\n<logall_json>yes</logall_json></global>\n</ossec_config>",
			want: wazuh.Conf{RuleDirs: stock, JSONOutput: "no", JSONOutputLine: 3, LogAllJSON: "yes", LogAllJSONLine: 4},
		},
		{
			name: "ends in the middle",
			conf: "<ossec_config>\n<integration>\n<name>custom-misp</name>\n<group>sysmon",
			want: wazuh.Conf{RuleDirs: stock, Integrations: []wazuh.Integration{
				{Line: 2, Elements: []wazuh.Element{element(3, "name", "custom-misp")}},
			}},
			err: "line 4",
		},
		{name: "closes what is not open", conf: "</ossec_config>", want: wazuh.Conf{RuleDirs: stock}, err: "line 1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := wazuh.ParseConf([]byte(tt.conf))
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("configuration (-want +got):\n%s", diff)
			}
			if (err != nil) != (tt.err != "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
		})
	}
}

func TestIntegrationText(t *testing.T) {
	conf, err := wazuh.ParseConf([]byte("<c><integration><group>sysmon</group><group>syscheck</group></integration></c>"))
	if err != nil {
		t.Fatal(err)
	}
	block := conf.Integrations[0]
	if got := block.Text("group"); got != "syscheck" || block.Count("group") != 2 || block.Text("name") != "" {
		t.Errorf("group %q, %d of them", got, block.Count("group"))
	}
}

// TestParseExamples checks that the files which are handed out for copying are read.
func TestParseExamples(t *testing.T) {
	data, err := os.ReadFile("../../examples/ossec.conf")
	if err != nil {
		t.Fatal(err)
	}
	conf, err := wazuh.ParseConf(data)
	if err != nil || len(conf.Integrations) != 1 || conf.Integrations[0].Text("level") != "3" {
		t.Errorf("%+v, %v", conf, err)
	}
	if data, err = os.ReadFile("../../examples/rules/misp_rules.xml"); err != nil {
		t.Fatal(err)
	}
	rules, err := wazuh.ParseRules(data)
	if err != nil || len(rules) < 10 || rules[0].ID != "100620" || rules[0].Fields["integration"] != "^misp$" {
		t.Errorf("%+v, %v", rules, err)
	}
}

func TestParseRules(t *testing.T) {
	got, err := wazuh.ParseRules([]byte(`<var name="x">1</var>
<group name="local,">
  <rule id="100100" level="5"><match>\<script>|a & b</match></rule>
  <!-- <rule id="100101" level="5"/> -->
  <rule id="5710" overwrite="yes"><group>a, b,</group><field name="a">^b$</field><field name="c.d" type="pcre2"> e </field></rule>
</group>`))
	want := []wazuh.Rule{
		{ID: "100100", Level: 5, Groups: []string{"local"}},
		{ID: "5710", Overwrite: true, Level: -1, Groups: []string{"local", "a", " b"}, Fields: map[string]string{"a": "^b$", "c.d": "e"}},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("rules (-want +got), %v:\n%s", err, diff)
	}
}

func TestParseVersion(t *testing.T) {
	for data, want := range map[string]string{
		"{\n    \"version\": \"4.14.7\",\n    \"stage\": \"rc1\"\n}\n":  "4.14.7",
		"#!/bin/sh\n# Installation info\nVERSION=\"v4.7.5\"\nREVISION=": "4.7.5",
		"DIRECTORY=\"/var/ossec\"\nVERSION=\"v4.1.5\"\n":                "4.1.5",
		"{\"version\":\"5.0.0\"}":                                       "5.0.0",
		"no version here":                                               "",
	} {
		if got := wazuh.ParseVersion([]byte(data)); got != want {
			t.Errorf("ParseVersion(%q) = %q, want %q", data, got, want)
		}
	}
}

func FuzzParseConf(f *testing.F) {
	f.Add([]byte("<ossec_config><integration><name>custom-misp</name></integration></ossec_config>"))
	f.Add([]byte("<a><b></a></b><!-- x"))
	f.Add([]byte("<group><rule id='1'><field name='x'>\\<</field></rule></group>"))
	f.Fuzz(func(_ *testing.T, data []byte) {
		_, _ = wazuh.ParseConf(data)
		_, _ = wazuh.ParseRules(data)
	})
}
