package engine

import (
	"maps"
	"slices"
)

// A Type is the name of a MISP attribute type, or [Auto].
type Type string

// Auto lets a value's own form decide its type: an IP address, a URL, an e-mail address, a hash of a known
// length, a CVE id, or a domain or host name under a public suffix. A value of another form is dropped.
const Auto Type = "auto"

// A Family is the set of attribute types whose values can be compared with each other: an address picked as ip-src
// also matches an attribute of type ip-dst. It is named after its first type, or after what the types share.
type Family string

const (
	familyIP       Family = "ip"
	familyHost     Family = "host"
	familyURL      Family = "url"
	familyEmail    Family = "email"
	familyFilename Family = "filename"
	familyCVE      Family = "vulnerability"
	familyNetwork  Family = "network" // never picked: attributes of an address type that hold a network
)

// hashLengths gives the number of hex digits of the hash types. imphash and the fingerprints are MD5 sums of something
// other than the file, so each is a family of its own, and auto never decides for one.
var hashLengths = map[Type]int{
	"md5": 32, "sha1": 40, "sha224": 56, "sha256": 64, "sha384": 96, "sha512": 128,
	"sha512/224": 56, "sha512/256": 64, "sha3-224": 56, "sha3-256": 64, "sha3-384": 96, "sha3-512": 128,
	"imphash": 32, "pehash": 40, "authentihash": 64, "cdhash": 40,
	"ja3-fingerprint-md5": 32, "hassh-md5": 32, "hasshserver-md5": 32, "jarm-fingerprint": 62,
	"x509-fingerprint-md5": 32, "x509-fingerprint-sha1": 40, "x509-fingerprint-sha256": 64,
	"git-commit-id": 40,
}

// autoHashes are the types that auto decides for, by the number of hex digits.
var autoHashes = map[int]Type{32: "md5", 40: "sha1", 56: "sha224", 64: "sha256", 96: "sha384", 128: "sha512"}

// simple lists the types with one value that are neither hashes nor free text, with their family.
var simple = map[Type]Family{
	"ip-src": familyIP, "ip-dst": familyIP,
	"domain": familyHost, "hostname": familyHost,
	"url":   familyURL,
	"email": familyEmail, "email-src": familyEmail, "email-dst": familyEmail, "email-reply-to": familyEmail,
	"filename":      familyFilename,
	"vulnerability": familyCVE,
	"regkey":        familyRegistryKey, "named pipe": "named pipe",
	"mac-address": "mac-address", "mac-eui-64": "mac-eui-64", "AS": "AS",
}

// texts lists the types whose values are compared as they are, except for surrounding blanks and case.
var texts = []Type{
	"uri", "user-agent", "email-subject", "email-attachment", "email-message-id", "email-x-mailer", "email-mime-boundary",
	"email-thread-index", "mutex", "pdb", "ssdeep", "tlsh", "impfuzzy", "vhash", "telfhash", "favicon-mmh3",
	"windows-scheduled-task", "windows-service-name", "windows-service-displayname", "community-id", "cookie",
	"http-method", "mime-type", "cpe", "weakness", "btc", "xmr", "dash",
	"github-username", "github-repository", "github-organisation", "jabber-id", "twitter-id", "chrome-extension-id",
	"mobile-application-id", "onion-address", "ssh-fingerprint", "target-user", "target-machine", "target-email",
	"target-org", "threat-actor", "campaign-name", "campaign-id", "malware-type", "process-state", "eppn",
	"whois-registrant-email", "whois-registrant-name", "whois-registrant-org",
	"whois-registrar", "dns-soa-email", "pgp-public-key", "port", "size-in-bytes", "hex", "other", "text",
}

// composites lists the attribute types of two values, joined in MISP by a bar, with the family that each half
// can be compared in. An empty family marks a half that means too little alone: the name of a file|hash pair, a port.
var composites = func() map[Type][2]Family {
	m := map[Type][2]Family{
		"ip-src|port":    {familyIP, ""},
		"ip-dst|port":    {familyIP, ""},
		"domain|ip":      {familyHost, familyIP},
		"hostname|port":  {familyHost, ""},
		"malware-sample": {"", "md5"},
	}
	for _, h := range []Type{
		"md5", "sha1", "sha224", "sha256", "sha384", "sha512", "sha512/224", "sha512/256", "sha3-224", "sha3-256",
		"sha3-384", "sha3-512", "imphash", "pehash", "authentihash", "ssdeep", "tlsh", "impfuzzy", "vhash",
	} {
		m["filename|"+h] = [2]Family{"", Family(h)}
	}
	return m
}()

// families maps every type that can be picked to its family: those with one value, and the pair of the registry.
var families = func() map[Type]Family {
	m := maps.Clone(simple)
	m[registryPair] = familyRegistryPair
	for t := range hashLengths {
		m[t] = Family(t)
	}
	for _, t := range texts {
		m[t] = Family(t)
	}
	return m
}()

// asks maps each family to the attribute types whose values can match one of it, sorted.
var asks = func() map[Family][]Type {
	m := map[Family][]Type{}
	for t, f := range families {
		m[f] = append(m[f], t)
	}
	for t, halves := range composites {
		for _, f := range halves {
			if f != "" {
				m[f] = append(m[f], t)
			}
		}
	}
	for f := range m {
		slices.Sort(m[f])
	}
	m[familyNetwork] = m[familyIP]
	for _, f := range []Family{familyRegistryName, familyPairKey, familyPairData} {
		m[f] = m[familyRegistryPair]
	}
	return m
}()

// Types returns the types that a pick may declare, sorted, with auto first.
func Types() []Type {
	return append([]Type{Auto}, slices.Sorted(maps.Keys(families))...)
}

// Pickable reports whether a pick may declare t.
func (t Type) Pickable() bool {
	_, ok := families[t]
	return ok || t == Auto
}

// Family returns the family that values of t are compared in; empty for auto, composite and unknown types.
func (t Type) Family() Family { return families[t] }

// Asks returns the MISP attribute types whose values can match one of the family: ip-dst, ip-src, their pairs
// with a port and domain|ip for an address. The caller must not change the result.
func (f Family) Asks() []Type { return asks[f] }

// Lead returns a plain type of the family.
func (f Family) Lead() Type {
	switch f {
	case familyIP:
		return "ip-dst"
	case familyHost:
		return "hostname"
	case familyURL, familyEmail, familyFilename, familyCVE, familyNetwork, familyRegistryKey, familyRegistryPair,
		familyRegistryName, familyPairKey, familyPairData, "":
	}
	return Type(f)
}

// Hash reports whether values of t are digests of a fixed length, in hexadecimal digits.
func (t Type) Hash() bool {
	_, ok := hashLengths[t]
	return ok
}
