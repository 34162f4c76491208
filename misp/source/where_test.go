package source

import (
	"strings"
	"testing"
)

// TestWhere checks how a source is asked for.
func TestWhere(t *testing.T) {
	t.Parallel()
	for keys, fault := range map[string]string{
		"auth: {user: u, password: {file: p}}":                                 "",
		"auth: {bearer: {file: p}}":                                            "",
		"auth: {user: {file: p}}":                                              "",
		"auth: {user: {file: p}, password: {file: q}}":                         "",
		"auth: {user: {file: p}, bearer: {file: q}}":                           "auth has two ways",
		"format: taxii, taxii: {collections: [a], since: 30d, limit: 10}":      "",
		"format: taxii, taxii: {limit: 0}":                                     `limit "0" is no number of objects; write a number from 1 to 100000`,
		"format: taxii, taxii: {since: soon}":                                  `since "soon" is no time`,
		"taxii: {since: 1d}":                                                   "the key taxii has no meaning for format lines",
		"format: taxii, path: x":                                               "format taxii is of servers; give it a url",
		"auth: {}":                                                             "",
		"proxy: none":                                                          "",
		"proxy: http://proxy.example:3128":                                     "",
		"proxy: 'http://u:${PW}@proxy.example:3128', secrets: {PW: {file: p}}": "",
		"auth: {user: u}":                                                      "auth needs a user and a password, or a token",
		"auth: {password: {file: p}}":                                          "auth needs a user and a password, or a token",
		"auth: {bearer: {file: p}, user: u}":                                   "auth has two ways; keep bearer, or user and password",
		"auth: {bearer: s3cret}":                                               "bearer must name a file; write {file: PATH}, and the secret alone into this file",
		"auth: {user: 'a:b', password: {file: p}}":                             "has a colon",
		"proxy: 'http://u:s3cret@proxy.example:3128'":                          "proxy has a password; write ${KEY} for it",
		"proxy: proxy.example":                                                 "proxy is no address; write an address like http://proxy.example.org:3128, or none",
		"proxy: 'http://u:${PW}@proxy.example:3128'":                           `the address needs the secret "PW", which no file has`,
		"headers: {Authorization: s3cret}":                                     `header "Authorization" holds a secret`,
		"url: 'ftp://x.example/a?token=s3cret'":                                "is no http(s) address",
	} {
		address := "url: 'https://x.example/', "
		if strings.HasPrefix(keys, "url:") {
			address = ""
		}
		format := "format: lines, "
		if strings.HasPrefix(keys, "format:") {
			format = ""
		}
		if strings.Contains(keys, "path:") {
			address = ""
		}
		_, faults := Load(File{Name: "a.yaml", Data: []byte("version: 1\nsources:\n  - {name: a, " + format + address + keys + "}\n")})
		got := ""
		if len(faults) > 0 {
			got = faults.Error()
		}
		if (fault == "") != (got == "") || !strings.Contains(got, fault) || strings.Contains(got, "s3cret") {
			t.Errorf("%s: %q, want %q", keys, got, fault)
		}
	}
}
