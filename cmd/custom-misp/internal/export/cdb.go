package export

import (
	_ "embed"
	"fmt"
	"net/netip"
	"strings"

	"custom-misp/engine"
)

// The rules of Wazuh's lists, from its source (src/analysisd, 4.x; documentation "Using CDB lists" of 4.0 to 4.14):
//
//   - lists_make.c: a line is KEY:VALUE, and the key ends at the first colon. One with colons stands in double quotes, which
//     cannot be escaped (also before 4.0: issue 3976); what is quoted wrongly is passed over in silence. The value must
//     not hold quotes either. A line is at most 65,534 bytes long.
//   - lists_list.c, OS_DBSeachKeyAddress: address_match_key looks the text of the address up, and then what is left of
//     it up to each dot: 192.31.196.7, "192.31.196.", "192.31.", "192.". There is no CIDR, for IPv6 nothing but the
//     text as the event has it (issue 3976, still open), and address_match_key_value is broken (issue 8269, still open),
//     so that rules cannot look at the value behind an address.
//   - match_key compares the whole field, with capitals.
//   - The API and the dashboard are stricter than analysisd (framework/wazuh/core/cdb_list.py): in a quoted key they
//     know letters, digits, blanks, - and : only. So they cannot show misp-url, or be used to upload it.
const cdbMaxLine = 65_000

//go:embed cdb_rules.xml
var cdbRules string

// The lists, in the order of their files.
const (
	cdbIP = iota
	cdbDomain
	cdbURL
	cdbHash
	cdbEmail
)

var cdbFiles = []listFile{{path: "lists/misp-ip"}, {path: "lists/misp-domain"}, {path: "lists/misp-url"}, {path: "lists/misp-hash"}, {path: "lists/misp-email"}}

// fileHashes are the families of hashes of whole files.
var fileHashes = map[engine.Family]bool{"md5": true, "sha1": true, "sha224": true, "sha256": true, "sha384": true, "sha512": true}

func cdbForm() Form {
	return Form{
		Name:  "cdb",
		Short: "CDB lists for Wazuh's analysisd, with rules that use them",
		Long: `Write CDB lists for Wazuh 4.x, which analysisd compiles when it starts: misp-ip, misp-domain, misp-url, misp-hash and
misp-email below DIR/lists; DIR/rules/misp_list_rules.xml with rules that use them, once, as it is yours to change; and
DIR/misp-lists.conf, the lines for <ruleset> in ossec.conf. With --dir /var/ossec/etc all is in its place; restart the manager,
or use --reload.

An event has one rule, so the rules only add: they raise alerts for events of Suricata and Sysmon that raise none, and never in
the place of a rule of Wazuh's. Alerts that there are anyway are looked up by serve or by calls, which is the better way: it knows
networks, names below domains, paths and hashes in text, says why, and takes nothing from Wazuh's own detection.

The value of an entry is the origin, the MISP event and its threat level. Networks are written as what address_match_key
knows: beginnings of addresses up to a dot, and single addresses. Those of IPv6 and those wider than /8 are left out, as
lists cannot express them. An IPv6 address is there as RFC 5952 has it and as Sysmon writes it. Names of files are no list,
because events have paths, and lists compare the whole field.`,
		ForWazuh: true,
		files:    cdbFiles,
		lines:    cdbLines,
		expand:   networkKeys,
		beside: func([]int) []extraFile {
			var conf strings.Builder
			conf.WriteString("<!-- Written by custom-misp export cdb. Copy these lines into <ruleset> in ossec.conf, and restart the manager. -->\n")
			for _, f := range cdbFiles {
				fmt.Fprintf(&conf, "<list>etc/%s</list>\n", f.path)
			}
			return []extraFile{
				{"misp-lists.conf", "lines for <ruleset> in ossec.conf", conf.String(), false},
				{"rules/misp_list_rules.xml", "rules that use them", cdbRules, true},
			}
		},
	}
}

func cdbLines(v value) ([]line, string) {
	file, keys := 0, []string{v.Text}
	switch {
	case v.Family == ipFamily:
		file, keys = cdbIP, addressKeys(v.Key)
	case v.Family == networkFamily:
		if p, err := netip.ParsePrefix(v.Key); err != nil || !p.Addr().Is4() || p.Bits() < 8 {
			return nil, "networks of IPv6, or wider than /8, which CDB lists cannot express"
		}
		return []line{{file: cdbIP, key: v.Key, text: ":" + cdbValue(v), wide: true}}, ""
	case v.Family == hostFamily:
		file = cdbDomain
	case v.Family == urlFamily:
		file = cdbURL
	case v.Family == emailFamily:
		file = cdbEmail
	case fileHashes[v.Family]:
		file = cdbHash
	default:
		return nil, ""
	}
	text := cdbValue(v)
	var lines []line
	for _, key := range keys {
		if strings.ContainsAny(key, "\"\r\n\x00") || len(key)+len(text) > cdbMaxLine {
			return nil, "values with a quotation mark or a line break, or very long, which CDB lists cannot express"
		}
		written := key
		if strings.ContainsAny(key, ": ") {
			written = `"` + key + `"`
		}
		lines = append(lines, line{file: file, key: key, text: written + ":" + text})
	}
	return lines, ""
}

// cdbValue is what a list says of a key: "misp event 25 high".
func cdbValue(v value) string {
	text := strings.TrimSpace(v.Origin + " event " + v.Event.ID + " " + v.Event.ThreatLevel.String())
	return strings.Map(func(r rune) rune {
		if r <= 0x20 || r >= 0x7f || r == ':' || r == '"' {
			return ' '
		}
		return r
	}, text)
}

// addressKeys returns the texts that events have an address as: Sysmon writes all groups of an IPv6 address
// (2620:4f:8000:0:0:0:0:bad).
func addressKeys(key string) []string {
	a, err := netip.ParseAddr(key)
	if err != nil || !a.Is6() {
		return []string{key}
	}
	b := a.As16()
	groups := make([]string, 8)
	for i := range groups {
		groups[i] = fmt.Sprintf("%x", uint16(b[2*i])<<8|uint16(b[2*i+1]))
	}
	if long := strings.Join(groups, ":"); long != key {
		return []string{key, long}
	}
	return []string{key}
}

// networkKeys returns beginnings of addresses, or addresses, that are together a network of IPv4; nil if there are none.
func networkKeys(key string) []string {
	p, err := netip.ParsePrefix(key)
	if err != nil || !p.Addr().Is4() || p.Bits() < 8 {
		return nil
	}
	whole := (p.Bits() + 7) / 8 // bytes that a key has
	b := p.Addr().As4()
	keys := make([]string, 1<<(8*whole-p.Bits()))
	for i := range keys {
		var k strings.Builder
		for at := range whole {
			n := int(b[at])
			if at == whole-1 {
				n += i
			}
			fmt.Fprintf(&k, "%d", n)
			if at < 3 {
				k.WriteByte('.')
			}
		}
		keys[i] = k.String()
	}
	return keys
}
