package yamlfile_test

import (
	"strings"
	"testing"

	"custom-misp/engine/yamlfile"
)

// TestQuoting has mistakes with quotes, and the right form that the fault shows.
func TestQuoting(t *testing.T) {
	for line, want := range map[string]string{
		`match: "acme" in groups`:                                `write match: '"acme" in groups'`,
		`match: "acme" in groups and field("x") == "it's"`:       `write match: '"acme" in groups and field("x") == "it''s"'`,
		`pick: {path: x, keep: not in_network(value, ["10/8"])}`: `write keep: 'not in_network(value, ["10/8"])'`,
		`pick: {path: x, keep: "x" != value}`:                    `write keep: '"x" != value'`,
		`pick: {path: x, regex: "(\d+)", type: md5}`:             `write regex: '(\d+)'`,
		`pick: {path: x, regex: [0-9]+, type: md5}`:              `write regex: '[0-9]+'`,
		`pick: {path: x, regex: a{2,3}, type: md5}`:              `write regex: 'a{2,3}'`,
		`path: @timestamp`:                                       `write path: '@timestamp'`,
		`path: *.x`:                                              `a value that begins with * needs quotes`,
		`source: a: b`:                                           `write source: 'a: b'`,
	} {
		r := yamlfile.NewReader("f.yaml", []byte("version: 1\n"+line+"\nid: x\n"))
		if r.Document() != nil || !strings.Contains(r.Faults().Error(), want) {
			t.Errorf("%s\n got %v\nwant %s", line, r.Faults(), want)
		}
	}
}
