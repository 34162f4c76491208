package engine

import (
	"slices"
	"testing"
)

// TestNames compares names of members with names that a pick lists.
func TestNames(t *testing.T) {
	tests := []struct {
		listed, name string
		within       []string
		want         bool
	}{
		{"src_ip", "src_ip", nil, true},
		{"src_ip", "SrcIp", nil, true},
		{"src_ip", "SRC-IP", nil, true},
		{"src_ip", "Src IP", nil, true},
		{"srcip", "src_ip_", nil, true},
		{"src_ip", "my_src_ip", nil, false},
		{"src_ip", "rc_ip", nil, false},
		{"src_ip", "ip", []string{"src"}, false},
		{"source.ip", "ip", []string{"data", "source"}, true},
		{"source.ip", "ip", []string{"resource"}, false},
		{"source.ip", "ip", []string{"source", "x"}, false},
		{"source.ip", "source.ip", nil, true},
		{"source.ip", "my.source.ip", nil, true},
		{"*source.ip", "ip", []string{"resource"}, true},
		{"*_source.ip", "ip", []string{"dataSource"}, true},
		{"*_ip", "client_ip", nil, true},
		{"*_ip", "clientIp", nil, true},
		{"*_ip", "ClientIP", nil, true},
		{"*_ip", "ip", nil, true},
		{"*_ip", "chip", nil, false},
		{"*_ip", "CHIP", nil, false},
		{"*_ip", "orig.ip", nil, true},
		{"*sha256", "appsha256", nil, true},
		{"*sha256", "SHA-256", nil, true},
		{"*", "anything at all", nil, true},
		{"*", "é", nil, true},
		{"ip", "éip", nil, false},
		{"ip", "", nil, false},
		{"hash", "hash", []string{"ja3"}, true},
		{"ja3.hash", "hash", []string{"ja3"}, true},
	}
	for _, tt := range tests {
		var tree nameTree
		tree.add(tt.listed, nameSet{picked: 1 << 5})
		tree.add("unrelated", nameSet{picked: 1})
		if got := tree.match(tt.name, tt.within) == (nameSet{picked: 1 << 5}); got != tt.want {
			t.Errorf("%q lists %q in %q: %t", tt.listed, tt.name, tt.within, got)
		}
	}
	for name, good := range map[string]bool{
		"src_ip": true, "*_ip": true, "*": true, "a.b": true, "": false, "**": false, "a*": false, ".a": false, "a.": false, "a..b": false,
		"a/b": false, "é": false, "*_": false, "a#": false,
	} {
		if got := nameFault(name) == ""; got != good {
			t.Errorf("name %q: %t", name, got)
		}
	}
}

// TestNamesTogether has names in one tree that share their ends, and go on with different bytes.
func TestNamesTogether(t *testing.T) {
	names := []string{"src_ip", "dst_ip", "*_ip", "ip", "source.ip", "*chip", "tip"}
	var tree nameTree
	for i, name := range names {
		tree.add(name, nameSet{picked: 1 << i})
	}
	for member, want := range map[string][]string{
		"srcip": {"src_ip"}, "dst-ip": {"dst_ip", "*_ip"}, "clientIp": {"*_ip"}, "ip": {"ip", "*_ip"}, "chip": {"*chip"}, "microchip": {"*chip"}, "tip": {"tip"}, "rip": nil, "x": nil,
	} {
		var wanted uint64
		for _, name := range want {
			wanted |= 1 << slices.Index(names, name)
		}
		if got := tree.match(member, nil).picked; got != wanted {
			t.Errorf("%s: picks %b, want %b", member, got, wanted)
		}
	}
	if got := tree.match("ip", []string{"source"}).picked; got != 1<<4|1<<3|1<<2 {
		t.Errorf("source.ip: picks %b", got)
	}
}
