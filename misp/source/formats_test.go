package source_test

import (
	"fmt"
	"strings"
	"testing"
)

func fill(text string) string {
	return strings.NewReplacer("P64B", p64b, "P64", p64, "Q40", q40, "M32", m32, "<TAB>", "\t").Replace(text)
}

// TestURLhaus reads rows as URLhaus writes them.
func TestURLhaus(t *testing.T) {
	t.Parallel()
	r := read(t, "urlhaus", lines(
		"# id,dateadded,url,url_status,last_online,threat,tags,urlhaus_link,reporter",
		`"1","2026-01-02 03:04:05","http://192.0.2.7:8080/a,b.sh","online","2026-01-02 03:04:05","malware_download","elf,Mozi","https://urlhaus.example/url/1/","x"`,
		`"2","2026-01-02 03:04:05","https://files.bad.example/x#y","offline","","malware_download","None","https://urlhaus.example/url/2/","x"`,
		`"3","2026-01-02 03:04:05","not a url","online","","malware_download","None","https://urlhaus.example/url/3/","x"`))
	if r.err != nil || len(r.found) != 2 || r.report.Skipped["no URL"] != 1 {
		t.Fatalf("%q, %v, %v", r.found, r.report.Skipped, r.err)
	}
	in := r.one(t, "http://192.0.2.7:8080/a,b.sh")
	if in.LastSeen != "2026-01-02T03:04:05Z" || strings.Join(in.Tags, " ") != "urlhaus elf Mozi" || in.Reference != "https://urlhaus.example/url/1/" || !in.ToIDs {
		t.Errorf("%+v", in)
	}
	if in := r.one(t, "https://files.bad.example/x#y"); len(in.Tags) != 1 {
		t.Errorf("%q", in.Tags)
	}
}

// TestThreatFox reads rows as ThreatFox writes them.
func TestThreatFox(t *testing.T) {
	t.Parallel()
	content := fill(lines(
		`# "first_seen_utc","ioc_id","ioc_value","ioc_type","threat_type","fk_malware","malware_alias","malware_printable","last_seen_utc","confidence_level","is_compromised","reference","tags","anonymous","reporter"`,
		`"2026-01-02 03:04:05", "9", "192.0.2.9:4433", "ip:port", "botnet_cc", "win.x", "None", "X, the \"bot\"", "", "75", "False", "None", "c2", "0", "r"`,
		`"2026-01-02 03:04:05", "8", "[2001:db8::7]:80", "ip:port", "botnet_cc", "win.x", "None", "X", "", "100", "False", "None", "None", "0", "r"`,
		`"2026-01-02 03:04:05", "7", "Q40", "sha256_hash", "payload", "win.x", "None", "X", "", "95", "False", "None", "", "0", "r"`,
		"# Number of entries: 3"))
	r := read(t, "threatfox", content)
	if r.err != nil || strings.Join(r.found, " ") != "ip-dst|port 192.0.2.9|4433 ip-dst|port 2001:db8::7|80 sha1 "+q40 || r.report.Retyped != 1 {
		t.Fatalf("%q, %d, %v", r.found, r.report.Retyped, r.err)
	}
	if in := r.one(t, "192.0.2.9|4433"); in.Comment != `X, the "bot", botnet_cc, confidence 75` || in.FirstSeen != "2026-01-02T03:04:05Z" {
		t.Errorf("%+v", in)
	}
	// A site asks for more confidence.
	r = read(t, "preset: threatfox\nonly: int(row.confidence_level) >= 80", content)
	if r.err != nil || len(r.found) != 2 || r.report.Skipped["not wanted"] != 1 {
		t.Errorf("%q, %v, %v", r.found, r.report.Skipped, r.err)
	}
}

// TestAbuseCh reads the other lists of abuse.ch.
func TestAbuseCh(t *testing.T) {
	checkAll(t, []fixture{
		{
			name: "MalwareBazaar", declare: "malwarebazaar",
			content: fill(lines(
				`# "first_seen_utc","sha256_hash","md5_hash","sha1_hash","reporter","file_name","file_type_guess","mime_type","signature","clamav","vtpercent","imphash","ssdeep","tlsh"`,
				`"2026-01-02 03:04:05", "P64", "M32", "Q40", "r", "a, b.exe", "exe", "application/x-dosexec", "Fam", "n/a", "n/a", "n/a", "3:a:b", "T1"`,
				`"2026-01-02 03:04:05", "P64B", "n/a", "n/a", "r", "c.elf", "elf", "x", "n/a", "n/a", "n/a", "n/a", "n/a", "n/a"`)),
			want: []string{"sha256 " + p64, "md5 " + m32, "sha1 " + q40, "sha256 " + p64b},
		},
		{
			name: "Feodo", declare: "feodo",
			content: fill(lines(`"first_seen_utc","dst_ip","dst_port","c2_status","last_online","malware"`, `"2026-01-01 00:00:00","192.0.2.1","443","online","2026-01-02","Q"`, `"2026-01-01 00:00:00","192.0.2.300","443","online","2026-01-02","Q"`, "# END (2) entries")),
			want:    []string{"ip-dst|port 192.0.2.1|443"}, skipped: map[string]int{"no address or network": 1},
		},
		{
			name: "SSLBL", declare: "sslbl", content: fill(lines("# Listingdate,SHA1,Listingreason", "2026-01-02 03:04:05,Q40,Fam C&C", "2026-01-02 03:04:05,M32,Fam C&C")),
			want: []string{"x509-fingerprint-sha1 " + q40}, skipped: map[string]int{"no hash of this type": 1},
		},
		{
			name: "JA3", declare: "sslbl-ja3", content: fill(lines("# ja3_md5,Firstseen,Lastseen,Listingreason", "M32,2019-01-01 10:00:00,2020-02-02 11:00:00,Fam")),
			want: []string{"ja3-fingerprint-md5 " + m32},
		},
		{
			name: "URLhaus JSON", declare: "urlhaus-json", content: `{"7":[{"dateadded":"2026-01-02 03:04:05","url":"http://bad.example/a","url_status":"online","last_online":null,"threat":"x","tags":null,"urlhaus_link":"https://urlhaus.example/7/","reporter":"r"}]}`,
			want: []string{"url http://bad.example/a"},
		},
		{
			name: "ThreatFox API", declare: "threatfox-api", content: `{"query_status":"ok","data":[{"ioc":"192.0.2.1:80","ioc_type":"ip:port","first_seen":"2026-01-02 03:04:05 UTC","last_seen":null,"tags":["a"],"malware_printable":"X","reference":null}]}`,
			want: []string{"ip-dst|port 192.0.2.1|80"},
		},
		{
			name: "URLhaus hosts", declare: "urlhaus-hosts", content: "# banner\r\n127.0.0.1\tbad.example\r\n# end\r\n", want: []string{"domain bad.example"},
		},
		{
			name: "PhishTank", declare: "phishtank",
			content: lines("phish_id,url,phish_detail_url,submission_time,verified,verification_time,online,target", `1,"https://login.bad.example/a,b",https://p.example/?phish_id=1,2026-01-02T03:04:05+00:00,yes,2026-01-02T03:05:00+00:00,yes,"Bank, The"`, `2,http://x.bad.example/,https://p.example/?phish_id=2,2026-01-02T03:04:05+00:00,no,,yes,Other`),
			want:    []string{"url https://login.bad.example/a,b"}, skipped: map[string]int{"not wanted": 1},
		},
	})
}

// TestLists reads lists with one value a line.
func TestLists(t *testing.T) {
	checkAll(t, []fixture{
		{name: "addresses", declare: anyList, content: lines("# list of things", "192.0.2.1", "192.0.2.1:8080"), want: []string{"ip-dst 192.0.2.1", "ip-dst|port 192.0.2.1|8080"}},
		{name: "names of packages", declare: anyList, content: lines("com.bad.app"), want: []string{"hostname com.bad.app"}},
		{name: "with a number", declare: anyList, content: lines("192.0.2.5\t7"), want: []string{"ip-dst 192.0.2.5"}},
		{name: "page", declare: "cybercrime-tracker", content: lines("bad.example/cp.php?m=login<br />", "http://bad.example/x <br>"), want: []string{"url bad.example/cp.php?m=login", "url http://bad.example/x"}},
		{name: "all in one line", declare: "cybercure-ip", content: "192.0.2.1,192.0.2.2,192.0.2.3", want: []string{"ip-dst 192.0.2.1", "ip-dst 192.0.2.2", "ip-dst 192.0.2.3"}},
		{name: "three hashes a line", declare: "malshare", content: fill("M32<TAB>Q40<TAB>P64\n"), want: []string{"md5 " + m32, "sha1 " + q40, "sha256 " + p64}},
		{
			name: "Tor", declare: "tor-exit-addresses",
			content: lines("ExitNode "+strings.ToUpper(q40), "Published 2026-01-02 01:00:00", "LastStatus 2026-01-02 02:00:00", "ExitAddress 192.0.2.33 2026-01-02 02:10:00", "ExitAddress 2001:db8::33 2026-01-02 02:11:00"),
			want:    []string{"ip-dst 192.0.2.33", "ip-dst 2001:db8::33"}, skipped: map[string]int{"not wanted": 3},
		},
		{
			name: "free text", declare: "format: lines\nlines: {scan: true}",
			content: fill(lines("C2 at 192.0.2.1 (port 80), file invoice.zip of victim.example", "“hxxp://bad[.]example/a.” and evil[.]bad.example", "SHA256: P64, see https://report.example/x.")),
			want:    []string{"ip-dst 192.0.2.1", "url http://bad.example/a", "hostname evil.bad.example", "sha256 " + p64, "url https://report.example/x"},
		},
	})
	r := read(t, "preset: ipsum", "# IP\tnumber\n192.0.2.5\t7\n")
	if in := r.one(t, "192.0.2.5"); in.Comment != "on 7 lists" {
		t.Errorf("%+v", in)
	}
	r = read(t, "tor-exit-addresses", "ExitAddress 192.0.2.33 2026-01-02 02:10:00\n")
	if in := r.one(t, "192.0.2.33"); in.LastSeen != "2026-01-02T02:10:00Z" || in.ToIDs {
		t.Errorf("%+v", in)
	}
}

// TestNameLists reads lists for resolvers and ad blockers.
func TestNameLists(t *testing.T) {
	checkAll(t, []fixture{
		{
			name: "hosts", declare: "format: hosts",
			content: fill(lines("0.0.0.0 localhost", "::1 ip6-localhost", "fe80::1%lo0 localhost", "255.255.255.255 broadcasthost", "0.0.0.0 0.0.0.0", "127.0.0.1<TAB>ads.bad.example # t", "0.0.0.0 a.bad.example b.bad.example", "0.0.0.0 192.0.2.9", "ads2.bad.example")),
			want:    []string{"hostname ads.bad.example", "hostname a.bad.example", "hostname b.bad.example"}, skipped: map[string]int{"an address in place of a name": 1, "no address before the name": 1},
		},
		{
			name: "adblock", declare: "format: adblock",
			content: lines("[Adblock Plus]", "! Title: x", "# c", "||ads.bad.example^$popup", "@@||ok.example^", "||bad.example/path^", "##.banner", "/regex/"),
			want:    []string{"hostname ads.bad.example"}, skipped: map[string]int{"an exception": 1, "not for look-ups": 3},
		},
		{
			name: "dnsmasq", declare: "format: dnsmasq", content: lines("address=/ads.bad.example/#", "address=/.x.example/y.example/0.0.0.0", "server=/z.example/", "local=/w.example/"),
			want: []string{"hostname ads.bad.example", "domain x.example", "domain y.example", "domain z.example", "domain w.example"},
		},
		{
			name: "unbound", declare: "format: unbound", content: lines("server:", `local-zone: "bad.example." always_null`, `local-data: "x.example. A 0.0.0.0"`, "local-zone: y.example refuse", `local-zone: "ok.example" transparent`),
			want: []string{"domain bad.example", "domain x.example", "domain y.example"}, skipped: map[string]int{"an exception": 1},
		},
		{name: "wildcards", declare: anyList, content: lines("*.bad.example", "bad.example", ".squid.example"), want: []string{"domain bad.example", "domain squid.example"}},
		{
			name: "RPZ", declare: "format: rpz",
			content: lines("; c", "$TTL 300", "@ IN SOA localhost. root.localhost. (1 2 3 4 5)", "@ IN NS localhost.", "ads.bad.example CNAME .", "*.ads.bad.example CNAME .", "ok.example 300 IN CNAME rpz-passthru.", "d.example CNAME rpz-drop.", "24.0.2.0.192.rpz-ip CNAME .", "48.zz.db8.2001.rpz-ip CNAME .", "ns.bad.example.rpz-nsdname CNAME ."),
			want:    []string{"hostname ads.bad.example", "domain d.example", "ip-dst 192.0.2.0/24", "ip-dst 2001:db8::/48"}, skipped: map[string]int{"an exception": 1, "not for look-ups": 1},
		},
	})
}

// TestTables reads tables of their own kind.
func TestTables(t *testing.T) {
	checkAll(t, []fixture{
		{
			name: "Spamhaus", declare: "spamhaus-drop",
			content: lines(`{"cidr":"192.0.2.0/24","sblid":"SBL1","rir":"x"}`, `{"cidr":"2001:db8::/32","sblid":"SBL2","rir":"x"}`, `{"cidr":"192.0.2.0/33"}`, `{"type":"metadata","timestamp":1767322800,"records":3}`),
			want:    []string{"ip-dst 192.0.2.0/24", "ip-dst 2001:db8::/32"}, skipped: map[string]int{"no address or network": 1},
		},
		{name: "Spamhaus AS", declare: "spamhaus-asndrop", content: lines(`{"asn":64500,"rir":"x","asname":"N"}`), want: []string{"AS AS64500"}},
		{name: "Spamhaus text", declare: "spamhaus-drop-text", content: lines("; c", "192.0.2.0/24 ; SBL1", "AS64500 ; CC | NAME"), want: []string{"ip-dst 192.0.2.0/24", "AS AS64500"}},
		{
			name: "DShield", declare: "dshield-block",
			content: fill(lines("# c", "Start<TAB>End<TAB>Netblock<TAB>Attacks<TAB>Name<TAB>Country<TAB>email", "192.0.2.0<TAB>192.0.2.255<TAB>24<TAB>788<TAB>Net, The<TAB>JP<TAB>a@isp.example", "198.51.100.0<TAB>198.51.100.255<TAB>24<TAB>5<TAB><TAB><TAB>", "203.0.113.0<TAB>203.0.113.255<TAB>x<TAB>5")),
			want:    []string{"ip-dst 192.0.2.0/24", "ip-dst 198.51.100.0/24"}, skipped: map[string]int{"no address or network": 1},
		},
		{name: "DShield, padded", declare: "dshield-daily", content: fill("192.000.002.009<TAB>22<TAB>6<TAB>1<TAB>1<TAB>2026-01-01<TAB>2026-01-02\n"), want: []string{"ip-src 192.0.2.9"}},
		{name: "AlienVault", declare: "alienvault-reputation", content: lines("192.0.2.5#4#2#Malicious Host;Scanning Host#CN#Town#22.5,114.1#3"), want: []string{"ip-dst 192.0.2.5"}},
		{name: "AlienVault, generic", declare: "alienvault-reputation-generic", content: lines("# comment", "192.0.2.6 # Scanning Host US,,37.5,-97.8"), want: []string{"ip-dst 192.0.2.6"}},
		{name: "DataPlane", declare: "dataplane-vncrfb", content: lines("# c", "64500  |  NAME, THE  |  192.0.2.7  |  2026-01-02  03:04:05  |  vncrfb"), want: []string{"ip-dst 192.0.2.7"}},
		{
			name: "dataset", declare: "suricata-dataset", content: lines("YmFkLmV4YW1wbGU=", "LmV2aWwuZXhhbXBsZQ==,10", "YmFk!"),
			want: []string{"domain bad.example", "domain evil.example"}, skipped: map[string]int{"not base64": 1},
		},
		{name: "reputation", declare: "suricata-datarep", content: fill(lines("M32,65535", "Q40,65536", "P64,111.0", "P64B,1")), want: []string{"md5 " + m32, "sha256 " + p64b}, skipped: map[string]int{"no value": 2}},
		{
			name: "Zeek", declare: "format: zeek",
			content: fill(lines("#fields<TAB>indicator_type<TAB>indicator<TAB>meta.source", "Intel::URL<TAB>bad.example/a<TAB>s", "Intel::NOPE<TAB>x<TAB>s", "Intel::ADDR<TAB>192.0.2.1<TAB>-", "Intel::CERT_HASH<TAB>Q40<TAB>s", "Intel::FILE_HASH<TAB>M32<TAB>s", "Intel::SUBNET<TAB>192.0.2.0/24<TAB>s", "Intel::EMAIL<TAB>x@bad.example<TAB>s")),
			want:    []string{"url bad.example/a", "ip-dst 192.0.2.1", "x509-fingerprint-sha1 " + q40, "md5 " + m32, "ip-dst 192.0.2.0/24", "email x@bad.example"}, skipped: map[string]int{`unknown type "Intel::NOPE"`: 1},
		},
		{name: "Zeek without columns", declare: "format: zeek", content: fill("Intel::ADDR<TAB>192.0.2.1\n"), fails: "#fields"},
		{name: "iprep", declare: "format: iprep", content: lines("192.0.2.7,1,100", "192.0.2.8,1,128", "#192.0.2.9,1,5", "192.0.2.0/24,60,127"), want: []string{"ip-dst 192.0.2.7", "ip-dst 192.0.2.0/24"}, skipped: map[string]int{"a score out of range": 1}},
		{name: "Maltrail", declare: "maltrail", content: lines("# Reference: https://report.example/x", "bad.example", "192.0.2.1:80", "/panel/a.php"), want: []string{"domain bad.example", "ip-dst|port 192.0.2.1|80"}, skipped: map[string]int{"a path alone": 1}},
		{
			name: "Sophos", declare: "sophos", content: lines("\ufeffIndicator_type,Data,Notes", "Description,Report on X,https://vendor.example/report", `Domain,"hxxps[://]bad[.]example/a,b",C2`, `scheduled_task_path,%TEMP%\x,note`, ",,"),
			want: []string{"url https://bad.example/a,b"}, skipped: map[string]int{"type left out": 1, `unknown type "scheduled_task_path"`: 1},
		},
		{
			name: "KEV", declare: "kev", content: lines("cveID,vendorProject,product,vulnerabilityName,dateAdded,shortDescription,requiredAction,dueDate,knownRansomwareCampaignUse,notes,cwes", `CVE-2026-0001,V,P,"Name, ""quoted""",2026-01-02,"line one`, `line two",x,2026-02-02,Known,https://n.example/,CWE-1`),
			want: []string{"vulnerability CVE-2026-0001"},
		},
		{name: "NSRL", declare: "nsrl", content: fill(lines(`"SHA-1","MD5","CRC32","FileName","FileSize","ProductCode","OpSystemCode","SpecialCode"`, `"Q40","M32","00000000","a.dll",1,1,"x",""`)), want: []string{"sha1 " + q40, "md5 " + m32}},
		{name: "OpenCTI without rows", declare: "opencti", content: "\n"},
	})
}

// TestSekoia counts what has ended.
func TestSekoia(t *testing.T) {
	t.Parallel()
	r := read(t, "sekoia", lines("IOC, Valid From, Valid Until, Link", "https://bad.example/a,2026-01-01T00:00:00Z,2999-01-01T00:00:00Z,https://app.example/1", "192.0.2.1,2020-01-01T00:00:00Z,2020-07-01T00:00:00Z,https://app.example/2"))
	if r.err != nil || r.report.Total() != 2 || r.report.Unused["expired"] != 1 || r.one(t, "https://bad.example/a").Expires.Year() != 2999 {
		t.Errorf("%+v, %v", r.report, r.err)
	}
}

// TestUnused counts what is not looked up.
func TestUnused(t *testing.T) {
	t.Parallel()
	r := read(t, anyList, lines("10.0.0.1", "http://192.168.0.1/x", "10.1.2.3:80", "8.0.0.0/8", "8.8.0.0/16", "2001::/16", "bad.example", "8.8.8.8"))
	if r.report.Unused["private"] != 3 || r.report.Unused["too_wide"] != 2 || r.report.Total() != 8 {
		t.Errorf("%v of %v", r.report.Unused, r.report.Indicators)
	}
	if r = read(t, anyList+"\nwide_networks: true", "8.0.0.0/8\n"); len(r.report.Unused) != 0 {
		t.Errorf("%v", r.report.Unused)
	}
	// An indicator of which one entry has not ended is looked up.
	r = read(t, "format: csv\ncsv: {columns: [value, until]}\nvalues: [{from: row.value, type: auto}]\nexpires: {at: row.until}", lines("8.8.8.8,2020-01-01", "8.8.8.8,2030-01-01", "8.8.4.4,2020-01-01"))
	if r.report.Unused["expired"] != 1 || r.one(t, "8.8.8.8").Expires.Year() != 2030 {
		t.Errorf("%v", r.report.Unused)
	}
}

// TestMISP reads what MISP exports.
func TestMISP(t *testing.T) {
	t.Parallel()
	event := fill(`{"Event":{"info":"x","uuid":"5b8d9d33-ccf0-4fd9-82dc-7dbc0a016219","Galaxy":[{"meta":{"refs":["https://ref.example/"]}}],"Attribute":[{"type":"domain","value":"bad.example","to_ids":true},{"type":"link","value":"https://blog.example/","to_ids":false},{"type":"ip-dst|port","value":"192.0.2.1|443","to_ids":"1"},{"type":"md5","value":"M32","to_ids":true,"deleted":true}],"Object":[{"name":"file","Attribute":[{"type":"filename|sha256","value":"a.exe|P64","to_ids":1}]}]}}`)
	all := []string{"domain bad.example", "link https://blog.example/", "ip-dst|port 192.0.2.1|443", "filename|sha256 a.exe|" + p64}
	attributes := `[{"type":"domain","value":"bad.example","to_ids":true,"uuid":"5b8d9d33-ccf0-4fd9-82dc-7dbc0a016218"}]`
	for _, f := range []fixture{
		{name: "response", content: `{"response":[` + event + `]}`, want: all},
		{name: "event", content: event, want: all},
		{name: "list of events", content: `[` + event + `]`, want: all},
		{name: "attributes", content: `{"response":{"Attribute":` + attributes + `}}`, want: []string{"domain bad.example"}},
		{name: "list of attributes", content: attributes, want: []string{"domain bad.example"}},
		{name: "attribute", content: strings.Trim(attributes, "[]"), want: []string{"domain bad.example"}},
		{name: "cut", content: `{"response":[` + event[:200], fails: "cut off"},
		{name: "two documents", content: event + event, fails: "more than one JSON document"},
	} {
		f.declare = "format: misp"
		f.want = append([]string{}, f.want...)
		f.check(t)
	}
	r := read(t, "format: misp", event)
	if r.report.Unused["not_compared"] != 1 {
		t.Errorf("a link is looked up: %v", r.report.Unused)
	}
	if in := r.one(t, "bad.example"); !in.ToIDs || in.Event.Info != "x" || in.Event.UUID == "" {
		t.Errorf("%+v", in)
	}
}

// TestOTX reads pulses.
func TestOTX(t *testing.T) {
	t.Parallel()
	pulses := `[{"name":"Pulse","modified":"2026-01-02T03:04:05","tags":["t"],"references":["https://blog.example/"],"indicators":[{"indicator":"bad.example","type":"hostname"},{"indicator":"/a/b","type":"URI"},{"indicator":"192.0.2.1","type":"IPv4","is_active":0}]}]`
	for name, content := range map[string]string{"list": pulses, "page": `{"count":1,"next":null,"results":` + pulses + `}`, "pulse": strings.Trim(pulses, "[]") + "]}]}"} {
		if name == "pulse" {
			content = pulses[1 : len(pulses)-1]
		}
		r := read(t, "format: otx", content)
		if r.err != nil || strings.Join(r.found, " ") != "domain bad.example uri /a/b" || r.report.Skipped["inactive"] != 1 || r.report.Unused["not_compared"] != 1 {
			t.Errorf("%s: %q, %+v, %v", name, r.found, r.report, r.err)
			continue
		}
		if in := r.one(t, "bad.example"); name != "pulse" && (in.Comment != "Pulse" || in.LastSeen != "2026-01-02T03:04:05Z" || strings.Join(in.Tags, "") != "t") {
			t.Errorf("%s: %+v", name, in)
		}
	}
}

// TestSTIXVersions has one of two versions count: the later one, however its time is written, and of the same time the one
// that is revoked.
func TestSTIXVersions(t *testing.T) {
	t.Parallel()
	object := func(id int, modified, name string, revoked bool) string {
		return fmt.Sprintf(`{"type":"indicator","id":"indicator--%d","modified":%q,"revoked":%v,"pattern":"[domain-name:value = '%s']"}`, id, modified, revoked, name)
	}
	fixture{name: "versions", declare: "format: stix", content: lines(
		object(1, "2026-01-02T03:04:05.123Z", "later.example", false), object(1, "2026-01-02T03:04:05Z", "earlier.example", false),
		object(2, "2026-01-02T03:04:05.1Z", "gone.example", true), object(2, "2026-01-02T03:04:05.100000Z", "gone.example", false),
		object(3, "2026-01-02T03:04:05Z", "back.example", true), object(3, "2026-01-02T03:04:06Z", "back.example", false),
	), want: []string{"domain later.example", "domain back.example"}, skipped: map[string]int{"an older version": 3, "revoked": 1}}.check(t)
}

// TestOpenCTI reads observables, one a line, and as events.
func TestOpenCTI(t *testing.T) {
	t.Parallel()
	for _, prefix := range []string{"", "data: "} {
		fixture{name: prefix, declare: "opencti-ndjson", content: lines(
			prefix+`{"entity_type":"Domain-Name","observable_value":"bad.example","objectLabel":[{"value":"x"}],"created_at":"2026-01-02T03:04:05.000Z"}`,
			map[string]string{"": "", "data: ": "event: create"}[prefix],
			prefix+fill(`{"entity_type":"StixFile","observable_value":"P64","hashes":[{"algorithm":"SHA-256","hash":"P64"},{"algorithm":"MD5","hash":"M32"}]}`),
		), want: []string{"domain bad.example", "sha256 " + p64, "md5 " + m32}}.check(t)
	}
}

// TestSTIX reads bundles.
func TestSTIX(t *testing.T) {
	t.Parallel()
	objects := fill(`{"type":"indicator","spec_version":"2.1","id":"indicator--1","modified":"2026-01-02T03:04:05Z","valid_from":"2026-01-01T00:00:00Z","pattern_type":"stix","pattern":"[domain-name:value = 'bad.example' OR ipv4-addr:value = '192.0.2.0/24']"},
{"type":"indicator","id":"indicator--2","valid_from":"2026-01-01T00:00:00Z","pattern":"[file:hashes.'SHA-256' = 'P64' AND file:name = 'it\\'s.exe']"},
{"type":"indicator","spec_version":"2.1","id":"indicator--3","revoked":true,"pattern_type":"stix","pattern":"[url:value='http://x.bad.example/']"},
{"type":"indicator","spec_version":"2.1","id":"indicator--4","pattern_type":"sigma","pattern":"title: x"},
{"type":"indicator","spec_version":"2.1","id":"indicator--5","pattern_type":"stix","pattern":"[url:value LIKE 'http://%.bad.example/']"},
{"type":"indicator","id":"indicator--6","modified":"2026-01-01T00:00:00Z","pattern":"[url:value='http://old.bad.example/']"},
{"type":"indicator","id":"indicator--6","modified":"2026-01-03T00:00:00Z","pattern":"[url:value='http://new.bad.example/']","labels":["misp:to_ids=\"False\"","x"],"object_marking_refs":["marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed"]},
{"type":"indicator","id":"indicator--7","pattern":"[network-traffic:dst_ref.type = 'ipv4-addr' AND network-traffic:dst_ref.value = '192.0.2.9']","valid_until":"2020-01-01T00:00:00Z"},
{"type":"indicator","id":"indicator--8","pattern":"[domain-name:value = 'c2.example' AND ipv4-addr:value = '192.0.2.77']"},
{"type":"indicator","id":"indicator--9","pattern":"[domain-name:value = '192.0.2.55'] FOLLOWEDBY [url:value = 'x']"},
{"type":"malware","id":"malware--1","name":"Fam"},{"type":"relationship","id":"relationship--1","relationship_type":"indicates","source_ref":"indicator--1","target_ref":"malware--1"},
{"type":"url","id":"url--1","value":"https://observed.example/"}`)
	want := []string{"domain bad.example", "ip-dst 192.0.2.0/24", "sha256 " + p64, "url http://new.bad.example", "ip-dst 192.0.2.9", "domain c2.example", "ip-dst 192.0.2.77"}
	skipped := map[string]int{"revoked": 1, `a pattern of the type "sigma"`: 1, "the operator LIKE of a pattern": 1, "an older version": 1, "the operator FOLLOWEDBY of a pattern": 1}
	for name, content := range map[string]string{
		"bundle": `{"type":"bundle","id":"bundle--1","objects":[` + objects + `]}`, "list": "[" + objects + "]",
		"lines": strings.ReplaceAll(strings.ReplaceAll(objects, "\n", ""), "},{", "}\n{"),
	} {
		fixture{name: name, declare: "format: stix", content: content, want: append([]string{}, want...), skipped: skipped}.check(t)
	}
	r := read(t, "format: stix", `{"type":"bundle","objects":[`+objects+`]}`)
	if in := r.one(t, p64); in.Comment != "it's.exe" {
		t.Errorf("%+v", in)
	}
	if in := r.one(t, "bad.example"); strings.Join(in.Tags, " ") != "Fam" {
		t.Errorf("%+v", in)
	}
	if in := r.one(t, "http://new.bad.example"); in.ToIDs || strings.Join(in.Tags, " ") != "x tlp:red" {
		t.Errorf("%+v", in)
	}
	if r.report.Unused["expired"] != 1 {
		t.Errorf("%v", r.report.Unused)
	}
	fixture{name: "cut", declare: "format: stix", content: `{"type":"bundle","objects":[` + objects[:500], fails: "cut off"}.check(t)
}

// TestWarninglists reads lists of values that are well known.
func TestWarninglists(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		content, want string
		n, skipped    int
		fails         string
	}{
		{`{"name":"x","type":"hostname","matching_attributes":["hostname","domain","url"],"list":["b.example",".c.example","B.example"],"version":1}`, "hostname", 2, 0, ""},
		{`{"name":"y","type":"regex","matching_attributes":["email-src"],"list":["/^(abuse|noc)\\@.*$/i","/(?<=a)b/","/x/g"],"version":1}`, "regex", 2, 1, ""},
		{`{"name":"z","type":"cidr","list":["10.0.0.0/8","192.0.2.1","x"]}`, "cidr", 2, 1, ""},
		{`{"name":"z","type":"other","list":["10.0.0.0/8"]}`, "", 0, 0, `type "other", which is unknown`},
		{`{"name":"z","type":"cidr"}`, "", 0, 0, `"z" has no list`},
	} {
		r := read(t, "format: warninglist", tt.content)
		switch {
		case tt.fails != "":
			if r.err == nil || !strings.Contains(r.err.Error(), tt.fails) {
				t.Errorf("%s: %v", tt.content, r.err)
			}
		case r.err != nil || r.report.Indicators[tt.want] != tt.n || len(r.report.Skipped) != tt.skipped:
			t.Errorf("%s: %v, %v, %v", tt.content, r.report.Indicators, r.report.Skipped, r.err)
		}
	}
}

// TestCompositeTypes keeps pairs together.
func TestCompositeTypes(t *testing.T) {
	checkAll(t, []fixture{{
		name: "MISP's CSV", content: fill(lines("uuid,type,value,comment,to_ids,date", "1,domain|ip,bad.example|192.0.2.1,c,1,1780000000", "2,filename|md5,a.exe|M32,,0,", "3,md5,M32,,1,", "4,regkey|value,HKLM\\Software\\X|y,,1,", "5,link,https://x.example/,,1,")),
		want: []string{"domain|ip bad.example|192.0.2.1", "filename|md5 a.exe|" + m32, "md5 " + m32, `regkey|value HKLM\Software\X|y`}, skipped: map[string]int{`unknown type "link"`: 1},
	}})
}
