package source

import (
	"strings"
	"sync"

	"custom-misp/engine"
)

// words are the names that publishers give to types of indicators, without regard to case, and with _ and blanks as -.
var words = sync.OnceValue(func() map[string]engine.Type {
	m := map[string]engine.Type{}
	for t, names := range map[engine.Type]string{
		typeIP: "ip ip-address ipaddress ip-addr ipv4 ipv6 ipv4-addr ipv6-addr ipv4-address ipv6-address ipv4addr ipv6addr addr address ip4 ip6 dst-ip dest-ip " +
			"destination-ip c2-ip intel::addr ip-dst host-ip remote-ip cidr netblock subnet network net range ipv4-cidr ipv6-cidr intel::subnet ipv4-net ipv6-net iprange ip-range",
		"ip-src":                  "ip-src src-ip source-ip",
		typeIPPort:                "ip:port ip-port ip-dst|port ipport ip:port-pair ipv4:port ipv6:port",
		typeDomain:                "domain domain-name domainname domains fqdn-domain intel::domain dns dns-name",
		typeHost:                  "hostname host fqdn host-name subdomain",
		typeURL:                   "url uri-full intel::url url-full link-url full-url urls",
		typeURI:                   "uri path url-path-only",
		"md5":                     "md5 md5-hash filehash-md5 hash-md5 hashes.md5 file-hash-md5 md5hash file-md5 file:hashes.md5",
		"sha1":                    "sha1 sha-1 sha1-hash filehash-sha1 filehash-sha-1 hash-sha1 hashes.sha-1 hashes.sha1 hashes-sha-1 hashes-sha1 file-hash-sha1 sha1hash file-sha1",
		"sha256":                  "sha256 sha-256 sha256-hash filehash-sha256 filehash-sha-256 hash-sha256 hashes.sha-256 hashes.sha256 hashes-sha-256 hashes-sha256 file-hash-sha256 sha256hash file-sha256",
		"sha512":                  "sha512 sha-512 sha512-hash filehash-sha512 hash-sha512 hashes.sha-512 hashes.sha512 hashes-sha-512 hashes-sha512 file-hash-sha512 file-sha512",
		"sha384":                  "sha384 sha-384 sha384-hash",
		"sha224":                  "sha224 sha-224",
		"sha3-384":                "sha3-384 sha3-384-hash",
		"imphash":                 "imphash filehash-imphash",
		"pehash":                  "pehash filehash-pehash",
		"ssdeep":                  "ssdeep filehash-ssdeep",
		"tlsh":                    "tlsh",
		"vhash":                   "vhash",
		"email":                   "email e-mail mail email-address email-addr e-mail-address intel::email emailaddress sender-email",
		"email-src":               "email-src envelope-from body-from sender from-email mail-from",
		"email-dst":               "email-dst",
		"filename":                "filename file-name file-path filepath file-path-name intel::file-name path-name full-path directory folder",
		"regkey":                  "regkey registry-key registrykey windows-registry-key",
		"mutex":                   "mutex mutex-name",
		"named pipe":              "named-pipe pipe",
		"vulnerability":           "cve cve-id cveid vulnerability",
		typeAS:                    "as asn as-number autonomous-system",
		"user-agent":              "user-agent useragent",
		"btc":                     "btc bitcoin bitcoinaddress bitcoin-address",
		"xmr":                     "xmr monero",
		"ja3-fingerprint-md5":     "ja3 ja3-md5 ja3-fingerprint-md5 intel::ja3 ja3-hash ja3s",
		"x509-fingerprint-sha1":   "x509-fingerprint-sha1 sslcertfingerprint ssl-cert-sha1 certificate-sha1 cert-sha1 intel::cert-hash cert-hash ssl-fingerprint x509-sha1",
		"x509-fingerprint-sha256": "x509-fingerprint-sha256 cert-sha256 certificate-sha256",
		"x509-fingerprint-md5":    "x509-fingerprint-md5",
		typeHostPort:              "domain:port domain-port host:port host-port hostname-port hostname:port domain|port hostname|port",
		typeHash:                  "hash file-hash filehash intel::file-hash hashes stixfile artifact checksum file malware-hash sample",
		engine.Auto:               "auto ioc indicator",
	} {
		for name := range strings.FieldsSeq(names) {
			m[name] = t
		}
	}
	for _, t := range append(engine.Types(), composites()...) {
		m[wordKey(string(t))] = t
	}
	return m
})

// composites are MISP's types of two values with a bar between, which stay together.
func composites() []engine.Type {
	list := []engine.Type{"ip-src|port", typeIPPort, "domain|ip", typeHostPort, "malware-sample", "regkey|value"}
	for h := range strings.FieldsSeq("md5 sha1 sha224 sha256 sha384 sha512 sha512/224 sha512/256 sha3-224 sha3-256 sha3-384 sha3-512 imphash pehash authentihash ssdeep tlsh impfuzzy vhash") {
		list = append(list, engine.Type("filename|"+h))
	}
	return list
}

// wordKey is the form in which words are compared.
func wordKey(word string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '_' || r == ' ':
			return '-'
		case 'A' <= r && r <= 'Z':
			return r + 'a' - 'A'
		}
		return r
	}, trim(word))
}

// typeOfWord returns the type that a word means.
func typeOfWord(word string) (engine.Type, bool) {
	t, ok := words()[wordKey(word)]
	return t, ok
}
