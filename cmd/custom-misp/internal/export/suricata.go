package export

import (
	"encoding/base64"
	"fmt"
	"math/bits"
	"net/url"
	"strings"

	"custom-misp/engine"
)

// What Suricata reads, from its documentation ("Datasets", "IP Addresses Match", "File Keywords") and src/datasets.c of
// 7.0: a dataset has an entry a line, a string in base64, an address as text, also of IPv6; each line ends with
// a newline, its last byte being taken off unseen, and is read into 1,024 bytes. Networks it cannot hold. filemd5 and its
// kin have lists of their own, a hash a line; in file.data a dataset would see parts of a file, not its hash. load names a
// file beside that of the rules. Tried on 7.0.10: http.host keeps capitals if there is a port, so that it needs to_lowercase
// too; of rules for several kinds of hashes only those of the first kind match, unless force-hash has the others computed.
const suricataMaxLine = 1022

// firstSID is the sid of the first rule: 9000000 and on are no publisher's.
const firstSID = 9_000_001

// The sets, in the order of their files.
const (
	suricataIP = iota
	suricataDomain
	suricataURLHost
	suricataURLPath
	suricataMD5
	suricataSHA1
	suricataSHA256
)

var suricataFiles = []listFile{
	{path: "misp-ip.lst"},
	{path: "misp-domain.lst"},
	{path: "misp-url-host.lst"},
	{path: "misp-url-path.lst"},
	{path: "misp-md5.lst"},
	{path: "misp-sha1.lst"},
	{path: "misp-sha256.lst"},
}

// A suricataRule uses sets. Its sid is its place among the rules, and stays.
type suricataRule struct {
	sets  []int
	proto string
	msg   string
	body  string // {0} is the dataset keyword of the first set, {1} of the second, {file} the name of its file
}

// suricataRules are never reordered, and taken from only at the end: their sids follow from their places.
var suricataRules = []suricataRule{
	{[]int{suricataDomain}, "dns any any -> any any", "DNS query for a known name", "dns.query; to_lowercase; {0}"},
	{[]int{suricataDomain}, "tls any any -> any any", "TLS to a known name", "tls.sni; to_lowercase; {0}"},
	{[]int{suricataDomain}, "quic any any -> any any", "QUIC to a known name", "quic.sni; to_lowercase; {0}"},
	{[]int{suricataDomain}, "http any any -> any any", "HTTP to a known name", "flow:established,to_server; http.host; to_lowercase; {0}"},
	{
		[]int{suricataURLHost, suricataURLPath},
		"http any any -> any any", "HTTP with the host and the path of known URLs",
		"flow:established,to_server; http.host; to_lowercase; {0} http.uri.raw; {1}",
	},
	{[]int{suricataIP}, "ip any any -> any any", "packet to a known address", "ip.dst; {0} threshold:type limit,track by_both,seconds 3600,count 1;"},
	{[]int{suricataIP}, "ip any any -> any any", "packet from a known address", "ip.src; {0} threshold:type limit,track by_both,seconds 3600,count 1;"},
	{[]int{suricataSHA256}, "tcp any any -> any any", "file with a known SHA-256", "filesha256:{file};"},
	{[]int{suricataSHA1}, "tcp any any -> any any", "file with a known SHA-1", "filesha1:{file};"},
	{[]int{suricataMD5}, "tcp any any -> any any", "file with a known MD5", "filemd5:{file};"},
}

func suricataForm() Form {
	return Form{
		Name:  "suricata",
		Short: "Datasets and hash lists for Suricata, with rules that use them",
		Long: `Write datasets (misp-ip, misp-domain, misp-url-host, misp-url-path) and lists of hashes (misp-md5, misp-sha1, misp-sha256) for
Suricata 7.0.10 or later, and misp.rules with a rule for each and the place it is looked for in, sids from 9000001. Suricata looks
for the sets beside the rules; name misp.rules in rule-files, or try it: suricata -T -S DIR/misp.rules. suricatasc -c reload-rules
takes a new export over. For hashes of all three kinds, eve-log needs force-hash: [md5, sha1, sha256].

Names are compared whole: a dataset knows no names below a domain. URLs are in two sets, hosts and paths, so that a request
for the host of one and the path of another matches too; those with no path are left out, as are networks.`,
		files: suricataFiles,
		lines: suricataLines,
		beside: func(counts []int) []extraFile {
			return []extraFile{{"misp.rules", "rules that use them", suricataText(counts), false}}
		},
	}
}

func suricataLines(v value) ([]line, string) {
	text := func(file int, s string) line {
		s = base64.StdEncoding.EncodeToString([]byte(s))
		return line{file: file, key: s, text: s}
	}
	switch v.Family {
	case ipFamily:
		return []line{{file: suricataIP, key: v.Key, text: v.Key}}, ""
	case networkFamily:
		return nil, "networks, which a dataset of Suricata cannot hold"
	case hostFamily:
		return []line{text(suricataDomain, v.Key)}, ""
	case urlFamily:
		host, path := urlParts(v.Text)
		if host == "" {
			return nil, "URLs without a path, or with an address of IPv6, or not of HTTP, which no dataset of Suricata tells apart"
		}
		if base64.StdEncoding.EncodedLen(len(path)) > suricataMaxLine {
			return nil, "URLs that are longer than a line of a dataset of Suricata"
		}
		return []line{text(suricataURLHost, host), text(suricataURLPath, path)}, ""
	}
	if i, ok := map[engine.Family]int{"md5": suricataMD5, "sha1": suricataSHA1, "sha256": suricataSHA256}[v.Family]; ok {
		return []line{{file: i, key: v.Key, text: v.Key}}, ""
	}
	return nil, ""
}

// urlParts returns what a request for a URL has as its host, without port, and as its target, as it is sent.
func urlParts(text string) (host, target string) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || strings.Contains(u.Host, "[") {
		return "", ""
	}
	host, target = strings.ToLower(u.Hostname()), u.RequestURI()
	if host == "" || !strings.HasPrefix(target, "/") || target == "/" {
		return "", ""
	}
	return host, target
}

func suricataText(counts []int) string {
	var b strings.Builder
	b.WriteString(`# Written by custom-misp export suricata, for Suricata 7.0.10 or later (ip.dst, ip.src and datasets of type ip; to_lowercase).
# The sets lie beside this file. A set that is empty has no rule. Set force-hash: [md5, sha1, sha256] for files in eve-log in
# suricata.yaml: without it Suricata computes one kind of hash, and the rules for the others match nothing.
`)
rules:
	for i, r := range suricataRules {
		body := strings.ReplaceAll(r.body, "{file}", suricataFiles[r.sets[0]].path)
		for at, set := range r.sets {
			if counts[set] == 0 {
				continue rules
			}
			body = strings.ReplaceAll(body, fmt.Sprintf("{%d}", at), suricataDataset(set, counts[set]))
		}
		fmt.Fprintf(&b, "alert %s (msg:\"MISP: %s\"; %s classtype:bad-unknown; sid:%d; rev:1;)\n", r.proto, r.msg, body, firstSID+i)
	}
	return b.String()
}

// suricataDataset is the keyword that looks a buffer up in a set. Without a hashsize that suits it, a set of a million is
// loaded in minutes; more than 65,536 is refused by Suricata 8 (src/datasets.c).
func suricataDataset(set, count int) string {
	kind, size := "string", ""
	if set == suricataIP {
		kind = "ip"
	}
	if count > 2048 {
		size = fmt.Sprintf(",hashsize %d", min(1<<bits.Len(uint(count)), 1<<16)) //nolint:gosec // a count
	}
	file := suricataFiles[set].path
	return fmt.Sprintf("dataset:isset,%s,type %s,load %s%s;", strings.TrimSuffix(file, ".lst"), kind, file, size)
}
