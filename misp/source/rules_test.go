package source_test

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"strings"
	"testing"
	"unicode/utf16"
)

const anyList = "format: lines\nvalues: [{type: auto}]"

// TestEncodings reads the same list however it is written (rule 1).
func TestEncodings(t *testing.T) {
	t.Parallel()
	want := []string{"domain bad.example", "ip-dst 198.51.100.7"}
	text := "# c\nbad.example\n198.51.100.7\n"
	utf16le := func(bom string, order binary.AppendByteOrder) string {
		b := []byte(bom)
		for _, u := range utf16.Encode([]rune(text)) {
			b = order.AppendUint16(b, u)
		}
		return string(b)
	}
	for name, content := range map[string]string{
		"plain": text, "BOM": "\ufeff" + text, "CRLF": strings.ReplaceAll(text, "\n", "\r\n"), "CR": strings.ReplaceAll(text, "\n", "\r"),
		"no end":     strings.TrimSuffix(text, "\n"),
		"UTF-16LE":   utf16le("\xff\xfe", binary.LittleEndian),
		"UTF-16BE":   utf16le("\xfe\xff", binary.BigEndian),
		"zero width": "\u200bbad.example\u200b\n\u00a0198.51.100.7\u00a0\n",
		"Latin-1":    "# caf\xe9\n" + text,
	} {
		fixture{name: name, declare: anyList, content: content, want: append([]string{}, want...)}.check(t)
	}
	fixture{
		name: "not UTF-8", declare: anyList, content: text + "caf\xe9.example\n", want: want, skipped: map[string]int{"not UTF-8": 1},
	}.check(t)
}

// pack returns a zip archive of files by their names and contents.
func pack(t *testing.T, files ...string) string {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		f, err := w.Create(files[i])
		if err != nil {
			t.Fatal(err)
		}
		_, _ = f.Write([]byte(files[i+1])) // into memory
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func gzipped(t testing.TB, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(text)) // into memory
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestPacked unpacks by content (rule 2).
func TestPacked(t *testing.T) {
	list := lines("bad.example")
	want := []string{"domain bad.example"}
	whole := gzipped(t, repeated(5000, host))
	checkAll(t, []fixture{
		{name: "gzip", declare: anyList, content: gzipped(t, list), want: want},
		{name: "zip", declare: anyList, content: pack(t, "a.csv", list), want: want},
		{name: "zip with two", declare: anyList, content: pack(t, "a.csv", list, "b.csv", list), fails: `has 2 files, like a.csv, b.csv; name one with the key member`},
		{name: "zip with a named one", declare: anyList + "\nmember: b.csv", content: pack(t, "a.csv", "x", "b.csv", list), want: want},
		{name: "zip without that", declare: anyList + "\nmember: c.csv", content: pack(t, "a.csv", list), fails: `has no file "c.csv"`},
		{name: "empty zip", declare: anyList, content: pack(t), fails: "the zip archive is empty"},
		{name: "cut gzip", declare: anyList, content: whole[:len(whole)/2], fails: "unexpected EOF"},
		{name: "bzip2", declare: anyList, content: "\x42\x5a\x68\x39\x31\x41\x59\x26\x53\x59\x71\xb6\x8e\xd1\x00\x00\x02\x51\x80\x00\x10\x00\x01\x36\x06\x40\x40\x20\x00\x22\x01\xa1\xea\x10\x03\x04\x91\x79\xba\x50\x78\xbb\x92\x29\xc2\x84\x83\x8d\xb4\x76\x88", want: want},
	})
}

// TestOtherFiles refuses what is no list of the source (rule 3).
func TestOtherFiles(t *testing.T) {
	checkAll(t, []fixture{
		{name: "page", declare: anyList, content: "<!DOCTYPE html>\n<html><body>blocked</body></html>\n", fails: "it is an HTML page"},
		{name: "JSON error", declare: anyList, content: `{"error": "unauthorised"}`, fails: "it is JSON"},
		{name: "sentence", declare: anyList, content: "Too many requests, try again later\n", fails: "no indicator in 1 entries"},
		{name: "empty", declare: anyList, content: "", fails: "there is no entry"},
		{name: "comments", declare: anyList, content: "# END 0 entries\n", fails: "there is no entry"},
		{name: "may be empty", declare: anyList + "\nmay_be_empty: true", content: "# END 0 entries\n"},
		{name: "may be empty, and is a page", declare: anyList + "\nmay_be_empty: true", content: "<html></html>", fails: "HTML"},
		{name: "mostly something else", declare: anyList, content: "bad.example\n" + strings.Repeat("no value here\n", 9), fails: "9 of 10 entries yield no indicator"},
		{name: "MISP as a list", declare: anyList, content: `{"response":[{"Event":{"info":"x"}}]}`, fails: "this is a MISP export: format: misp"},
	})
}

// TestComments passes over comments, and not over values with such characters in them (rule 5).
func TestComments(t *testing.T) {
	checkAll(t, []fixture{
		{
			name: "hash", declare: anyList, content: lines(" # c", "https://bad.example/a#b", "evil.bad.example # ip-dst - OSINT"),
			want: []string{"url https://bad.example/a#b", "hostname evil.bad.example"},
		},
		{
			name: "several", declare: "format: lines\nlines: {comment_prefix: [\";\", \"//\"]}\nvalues: [{type: auto}]",
			content: lines("; c", "// c", "198.51.100.0/24 ; SBL1"), want: []string{"ip-dst 198.51.100.0/24"},
		},
	})
}

// TestHeaders finds columns by their names where there are any, and else by number (rule 6).
func TestHeaders(t *testing.T) {
	byName := "format: csv\nvalues: [{from: row.ioc, type: auto}]"
	checkAll(t, []fixture{
		{name: "first row", declare: byName, content: lines("id,IOC", "1,bad.example"), want: []string{"domain bad.example"}},
		{name: "last comment", declare: byName, content: lines("# banner", "# id,ioc", "1,bad.example"), want: []string{"domain bad.example"}},
		{name: "declared", declare: byName + "\ncsv: {columns: [id, ioc]}", content: lines("1,bad.example"), want: []string{"domain bad.example"}},
		{name: "file over declaration", declare: byName + "\ncsv: {columns: [id, ioc]}", content: lines("# ioc,id", "bad.example,1"), want: []string{"domain bad.example"}},
		{name: "by number", declare: "format: csv\nvalues: [{from: row.c2, type: auto}]", content: lines("1,bad.example"), want: []string{"domain bad.example"}},
		{name: "absent", declare: byName, content: lines("id,value", "1,bad.example"), fails: `there is no column "ioc"; there are: id, value`},
		{name: "none", declare: byName, content: lines("1,bad.example"), fails: `name them with csv.columns, or write c1 to c2`},
	})
}

// TestQuotes takes quotes for what they are (rules 7 and 8).
func TestQuotes(t *testing.T) {
	url := "format: csv\ncsv: {columns: [id, url, note]}\nvalues: [{from: row.url, type: url}]"
	checkAll(t, []fixture{
		{name: "lone in a list", declare: anyList, content: lines("a.bad.example", `"lone quote`, "b.bad.example"), want: []string{"hostname a.bad.example", "hostname b.bad.example"}, skipped: map[string]int{"no indicator": 1}},
		{name: "in a URL", declare: anyList, content: lines(`https://bad.example/a;b,c?d="e"#f`), want: []string{`url https://bad.example/a;b,c?d="e"#f`}},
		{name: "lone in a table", declare: url, content: lines("1,http://bad.example/1,x", `2,http://bad.example/2,"lone`, "3,http://bad.example/3,x", `4,http://bad.example/4,y"`), want: []string{"url http://bad.example/1", "url http://bad.example/2", "url http://bad.example/3", "url http://bad.example/4"}},
		{name: "doubled, with commas", declare: url, content: lines(`1,"http://bad.example/a,b","he said ""x"""`), want: []string{"url http://bad.example/a,b"}},
		{name: "blank before", declare: url, content: lines(`"1", "http://bad.example/a,b", "x"`), want: []string{"url http://bad.example/a,b"}},
		{name: "backslash", declare: url, content: lines(`"1", "http://bad.example/1", "X, the \"bot\""`, `"2", "http://bad.example/2", "C:\dir\"`), want: []string{"url http://bad.example/1", "url http://bad.example/2"}},
		{name: "line breaks, commas and quotes", declare: url, content: lines(`"1","http://bad.example/1","x"`, `"2","http://bad.example/2","Co., Ltd.`, "", `<a href=""x"">, y, z`, `\\""w"", ok"`, `"3","http://bad.example/3","x"`), want: []string{"url http://bad.example/1", "url http://bad.example/2", "url http://bad.example/3"}},
		{name: "line break", declare: url, content: lines("1,http://bad.example/1,x", "2,http://bad.example/2,\"a", "b, c\"", "3,http://bad.example/3,x"), want: []string{"url http://bad.example/1", "url http://bad.example/2", "url http://bad.example/3"}},
	})
}

// TestSeparators finds the separator, and trims cells (rules 9 and 10).
func TestSeparators(t *testing.T) {
	second := func(sep string) string {
		return "format: csv\ncsv: {separator: \"" + sep + "\", header: false}\nvalues: [{from: row.c2, type: ip-dst}]"
	}
	want := []string{"ip-dst 198.51.100.7"}
	fixtures := []fixture{
		{name: "tab", declare: second("tab"), content: "a\t198.51.100.7\tx\n", want: want},
		{name: "leading tab", declare: second("tab"), content: "\t198.51.100.7\tx\n", want: want},
		{name: "blank", declare: second("blank"), content: "a   198.51.100.7 x\n", want: want},
		{name: "padded bars", declare: second("|"), content: "3  |  198.51.100.7  |  x\n", want: want},
		{name: "hash", declare: second("#"), content: "a#198.51.100.7#x\n", want: want},
		{name: "too short", declare: second(","), content: lines("a", "b,198.51.100.7", "c,198.51.100.7,d,e"), want: want, skipped: map[string]int{"too few columns": 1}},
	}
	for sep, name := range map[string]string{",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"} {
		fixtures = append(fixtures, fixture{
			name: "found " + name, declare: "format: csv\ncsv: {header: false}\nvalues: [{from: row.c2, type: ip-dst}]",
			content: strings.Repeat("a"+sep+"198.51.100.7"+sep+"x\n", 3), want: want,
		})
	}
	checkAll(t, fixtures)
}

// TestEmptyMarks takes marks of no value for no value (rule 11).
func TestEmptyMarks(t *testing.T) {
	t.Parallel()
	r := read(t, "format: csv\ncsv: {columns: [a, b, tags, seen]}\nvalues: [{from: row.a, type: md5}, {from: row.b, type: sha1}]\ntags_from: row.tags\nlast_seen: row.seen",
		lines(m32+",n/a,None,-", `"",`+q40+`,"x, None",null`, "unknown,N/A,x,y"))
	if len(r.found) != 2 || r.report.Skipped["no value"] != 1 || len(r.report.BadDates) != 0 {
		t.Errorf("%q, %v, %v", r.found, r.report.Skipped, r.report.BadDates)
	}
	if in := r.one(t, m32); len(in.Tags) != 0 || in.LastSeen != "" {
		t.Errorf("%+v", in)
	}
	if in := r.one(t, q40); len(in.Tags) != 1 || in.Tags[0] != "x" {
		t.Errorf("%q", in.Tags)
	}
}

// TestForms gives values the types of their forms (rules 12 to 19).
func TestForms(t *testing.T) {
	list := func(keys string) string { return "format: lines\n" + keys }
	checkAll(t, []fixture{
		{
			name: "defanged", declare: anyList,
			content: lines("hxxps://bad[.]example/p", "hXXp://bad(.)example/q", "evil[dot]bad.example", "198[.]51[.]100[.]7", "hxxps[://]bad[.]example/r", "x[@]bad.example", "y[at]bad.example"),
			want:    []string{"url https://bad.example/p", "url http://bad.example/q", "hostname evil.bad.example", "ip-dst 198.51.100.7", "url https://bad.example/r", "email x@bad.example", "email y@bad.example"},
		},
		{
			name: "the form wins", declare: "format: csv\ncsv: {columns: [type, value]}\nvalues: [{from: row.value, type_from: row.type}]",
			content: lines("Domain,hxxps://bad[.]example/a", "sha256_hash,"+q40, "ip,bad.example", "domain,what is this"),
			want:    []string{"url https://bad.example/a", "sha1 " + q40, "domain bad.example"}, skipped: map[string]int{"no domain or host name": 1},
		},
		{
			name: "also of a declared type", declare: list("values: [{type: url}]"), content: lines("http://bad.example/a", "evil.bad.example", "192.0.2.1"),
			want: []string{"url http://bad.example/a", "hostname evil.bad.example", "ip-dst 192.0.2.1"},
		},
		{
			name: "but not of a type without a form", declare: list("values: [{type: x509-fingerprint-sha1}]"), content: lines(q40, m32),
			want: []string{"x509-fingerprint-sha1 " + q40}, skipped: map[string]int{"no hash of this type": 1},
		},
		{
			name: "ports", declare: anyList, content: lines("198.51.100.7:8080", "[2001:db8::7]:80", "2001:db8::5:443", "evil.bad.example:8080"),
			want: []string{"ip-dst|port 198.51.100.7|8080", "ip-dst|port 2001:db8::7|80", "ip-dst 2001:db8::5:443", "hostname|port evil.bad.example|8080"},
		},
		{
			name: "address and port", declare: list("values: [{type: \"ip-dst|port\"}]"), content: lines("2001:db8:1::5:40669", "198.51.100.7:1"),
			want: []string{"ip-dst|port 2001:db8:1::5|40669", "ip-dst|port 198.51.100.7|1"},
		},
		{
			name: "zeros", declare: list("padded: true\nvalues: [{type: ip-dst}]"), content: lines("198.051.100.009", "010.001.002.003"),
			want: []string{"ip-dst 198.51.100.9", "ip-dst 10.1.2.3"},
		},
		{
			name: "zeros that are not declared", declare: anyList, content: lines("198.51.100.7", "198.051.100.009"), want: []string{"ip-dst 198.51.100.7"},
			skipped: map[string]int{"an address with leading zeros": 1},
		},
		{
			name: "networks", declare: anyList, content: lines("198.51.100.77/24", "2001:db8::1/32", "192.0.2.5 - 192.0.2.8", "192.0.2.16-192.0.2.31", "0.0.0.0/0", "::/0", "192.0.2.0/33"),
			want: []string{"ip-dst 198.51.100.0/24", "ip-dst 2001:db8::/32", "ip-dst 192.0.2.5", "ip-dst 192.0.2.6/31", "ip-dst 192.0.2.8", "ip-dst 192.0.2.16/28"}, skipped: map[string]int{"a network of all addresses": 2, "no indicator": 1},
		},
		{
			name: "long names", declare: list("values: [{type: hostname}]"), content: lines(strings.Repeat("a", 64)+".example", strings.Repeat("a.", 130)+"example", "ok.example"),
			want: []string{"domain ok.example"}, skipped: map[string]int{"no domain or host name": 2}, fails: "2 of 3 entries",
		},
		{
			name: "no scheme", declare: anyList, content: lines("bad.example/a/b.php?c=d", "198.51.100.7/x.sh", "bad.example:8080/y", "and/or", "/a/b"),
			want: []string{"url bad.example/a/b.php?c=d", "url 198.51.100.7/x.sh", "url bad.example:8080/y"}, skipped: map[string]int{"no indicator": 1, "a path alone": 1},
		},
		{name: "several in a line", declare: anyList, content: lines(m32 + " " + q40), want: []string{"md5 " + m32}},
		{name: "several in a cell", declare: "format: csv\ncsv: {header: false}\nvalues: [{from: row.c1, type: auto}]", content: lines(m32+";"+q40+",x", `"`+m32+","+p64+`",y`), want: []string{"md5 " + m32, "sha1 " + q40, "sha256 " + p64}},
	})
}

// TestSchemeless looks a URL without scheme up as both (rule 19).
func TestSchemeless(t *testing.T) {
	t.Parallel()
	r := read(t, anyList, "Bad.example/a\n")
	in := r.one(t, "bad.example/a")
	if len(in.Values) != 2 || in.Values[0] != "http://bad.example/a" || in.Values[1] != "https://bad.example/a" {
		t.Errorf("%q", in.Values)
	}
}

// TestSubdomains says which names stand for all below them (rule 17).
func TestSubdomains(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		declare, content string
		below            bool
	}{
		{anyList, "*.bad.example\n", true},
		{anyList, ".bad.example\n", true},
		{anyList, "bad.example\n", false},
		{anyList + "\nnames: subdomains", "bad.example\n", true},
		{anyList + "\nnames: exact", "*.bad.example\n", false},
		{"format: hosts", "0.0.0.0 bad.example\n", false},
		{"format: adblock", "||bad.example^\n", true},
		{"format: dnsmasq", "address=/bad.example/#\n", true},
		{"format: unbound", "local-zone: \"bad.example.\" refuse\n", true},
		{"format: rpz", "bad.example CNAME .\n", false},
		{"format: rpz", "bad.example CNAME .\n*.bad.example CNAME .\n", true},
	} {
		r := read(t, tt.declare, tt.content)
		if r.err != nil || len(r.entries) != 1 || r.entries[0].Subdomains != tt.below {
			t.Errorf("%s of %q: %+v, %v", tt.declare, tt.content, r.entries, r.err)
		}
	}
}

// TestRepeated joins what several entries say (rule 20).
func TestRepeated(t *testing.T) {
	t.Parallel()
	r := read(t, "format: csv\ncsv: {columns: [value, seen, tags, ref]}\nvalues: [{from: row.value, type: auto}]\nlast_seen: row.seen\ntags: [x]\ntags_from: row.tags\nreference: row.ref",
		lines("bad.example,2026-01-01,a,https://r.example/1", "other.example,2026-01-01,,", "BAD.example,2026-01-05,b,https://r.example/2", "bad.example.,2026-01-03,a,https://r.example/1"))
	if len(r.found) != 2 || r.report.Repeated != 2 || r.report.Total() != 2 {
		t.Fatalf("%q, %+v", r.found, r.report)
	}
	in := r.one(t, "bad.example")
	if strings.Join(in.Tags, " ") != "x a b" || in.LastSeen != "2026-01-05T00:00:00Z" || in.Reference != "https://r.example/1 https://r.example/2" {
		t.Errorf("%+v", in)
	}
}

// TestDates reads the forms of dates that publishers use (rule 21).
func TestDates(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"2026-01-02 03:04:05": "2026-01-02T03:04:05Z", "2026-01-02  03:04:05": "2026-01-02T03:04:05Z", "2026-01-02 03:04": "2026-01-02T03:04:00Z", "2026-01-02 03:04:05 UTC": "2026-01-02T03:04:05Z",
		"2026-01-02T04:04:05+01:00": "2026-01-02T03:04:05Z", "2026-01-02T03:04:05.123456Z": "2026-01-02T03:04:05Z", "2026-01-02T03:04:05.123": "2026-01-02T03:04:05Z", "2026-01-02": "2026-01-02T00:00:00Z",
		"1767323045": "2026-01-02T03:04:05Z", "Fri, 02 Jan 2026 03:04:05 +0000": "2026-01-02T03:04:05Z", "2 Jan 2026": "2026-01-02T00:00:00Z", "1/2/2026 3:04": "", "yesterday": "", "": "",
	} {
		r := read(t, "format: csv\ncsv: {separator: \"|\", columns: [value, seen]}\nvalues: [{from: row.value, type: auto}]\nlast_seen: row.seen", "bad.example|"+text+"\n")
		if r.err != nil || r.one(t, "bad.example").LastSeen != want || (len(r.report.BadDates) > 0) != (want == "" && text != "") {
			t.Errorf("%q: %+v, %v, %v", text, r.entries, r.report.BadDates, r.err)
		}
	}
	r := read(t, "format: csv\ncsv: {separator: \"|\", columns: [value, seen]}\nvalues: [{from: row.value, type: auto}]\nexpires: {from: row.seen, after: 30d, layout: \"1/2/2006 15:04\"}", "bad.example|1/2/2026 3:04\n")
	if got := r.one(t, "bad.example").Expires.Format("2006-01-02"); got != "2026-02-01" {
		t.Errorf("expires %s", got)
	}
}
