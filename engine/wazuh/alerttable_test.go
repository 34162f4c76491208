package wazuh_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"custom-misp/engine/wazuh"
)

// TestEachTextTable reads tables that Wazuh's dashboard exports.
func TestEachTextTable(t *testing.T) {
	t.Parallel()
	const head = "timestamp,agent.name,rule.level,rule.groups,data.srcip,full_log\n"
	for name, tt := range map[string]struct {
		text string
		want []string
	}{
		"rows": {
			head + "\"Oct 5, 2026 @ 08:10:12.000\",web-01,5,\"sshd,authentication_failed\",192.31.196.1,\"failed, \"\"root\"\"\nand more\"\nx, ,,,,\n",
			[]string{
				`a.csv:2 {"agent":{"name":"web-01"},"data":{"srcip":"192.31.196.1"},"full_log":"failed, \"root\"\nand more","rule":{"groups":["sshd","authentication_failed"],"level":5},"timestamp":"Oct 5, 2026 @ 08:10:12.000"}`,
				`a.csv:4 {"timestamp":"x"}`,
			},
		},
		"semicolons, another end of lines, a prefix": {
			"_source.rule.id;_source.data.a;_source.data.a.b\r\n5710;x;y\r\n", []string{`a.csv:2 {"data":{"a":{"b":"y"}},"rule":{"id":"5710"}}`},
		},
		"a row with more cells": {
			head + "1,2,3,4,5,6,7\n1,w,,,,\n",
			[]string{"a.csv:2 error table of alerts: 7 cells, and the first row names 6 columns; does a cell with the separator lack its quotes?", `a.csv:3 {"agent":{"name":"w"},"timestamp":"1"}`},
		},
		"only the first row": {head, nil},
		"no table of alerts": {"name,value\na,b\n", []string{"a.csv:1 name,value", "a.csv:2 a,b"}},
		"a log":              {"full_log is here\nx\n", []string{"a.csv:1 full_log is here", "a.csv:2 x"}},
	} {
		var got []string
		err := wazuh.EachText("a.csv", strings.NewReader(tt.text), func(at wazuh.Position, text []byte, err error) error {
			if err != nil {
				text = fmt.Append(nil, "error ", err)
			}
			got = append(got, at.String()+" "+string(text))
			return nil
		})
		if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
}

// TestEachTextTableOpenQuote ends at a quote that does not end, with an error and in bounded memory.
func TestEachTextTableOpenQuote(t *testing.T) {
	t.Parallel()
	text := "rule.id,full_log\n1,\"" + strings.Repeat("x", 100<<20)
	var got []string
	err := wazuh.EachText("a.csv", strings.NewReader(text), func(at wazuh.Position, _ []byte, err error) error {
		got = append(got, fmt.Sprint(at, " ", err))
		return nil
	})
	if err != nil || len(got) != 1 || !strings.Contains(got[0], "does a quote not end?") {
		t.Errorf("%v, %.300q", err, got)
	}
}
