package mappingtest

import (
	"regexp"
	"strings"

	"github.com/tidwall/gjson"

	"custom-misp/engine"
)

// A nameRule decides a type by the name of the field, of a value that has the form of another type. The name is in small letters,
// without _ and -.
type nameRule struct {
	of      string // families of the form, with blanks between
	name    *regexp.Regexp
	typ     engine.Type // empty for a value that is no indicator
	because string      // why it is none
}

// nameRules are tried in their order. The first that applies decides.
var nameRules = []nameRule{
	{of: "md5", name: regexp.MustCompile(`ja3s?(hash|md5|fingerprint|digest)?$`), typ: "ja3-fingerprint-md5"},
	{of: "md5", name: regexp.MustCompile(`hasshserver|serverhassh`), typ: "hasshserver-md5"},
	{of: "md5", name: regexp.MustCompile(`hassh`), typ: "hassh-md5"},
	{of: "md5", name: regexp.MustCompile(`imp(ort)?hash`), typ: "imphash"},
	{of: "md5", name: regexp.MustCompile(`cert|x509|thumbprint`), typ: "x509-fingerprint-md5"},
	{of: "sha1", name: regexp.MustCompile(`cert|x509|thumbprint`), typ: "x509-fingerprint-sha1"},
	{of: "sha256", name: regexp.MustCompile(`cert|x509|thumbprint`), typ: "x509-fingerprint-sha256"},
	{of: "sha1", name: regexp.MustCompile(`pehash`), typ: "pehash"},
	{of: "sha256", name: regexp.MustCompile(`authentihash|pesha`), typ: "authentihash"},
	{
		of: "md5 sha1 sha256", name: regexp.MustCompile(`uid$|guid|uuid|etag|token|nonce|(session|trace|span|request|transaction|correlation|event|alert|flow|message|task|job)(id)?$|^id$|commit|revision|password|secret`),
		because: "an identifier by its name",
	},
	{of: "email", name: regexp.MustCompile(`messageid|msgid`), typ: "email-message-id"},
	{of: "email", name: regexp.MustCompile(`replyto`), typ: "email-reply-to"},
	{of: "email", name: regexp.MustCompile(`recipient|rcpt|^to$|^e?mailto$|^cc$|^bcc$|deliver|envelopeto|headerto|destination|mailbox`), because: "a recipient by its name, who is one of yours"},
	{of: "email", name: regexp.MustCompile(`user|principal|upn$|account|login|owner|member|actor|admin|operator|assignee|identity`), because: "a user by its name, who is one of yours"},
	{of: "email", name: regexp.MustCompile(``), typ: "email-src"},
	{of: "domain hostname", name: regexp.MustCompile(`file|attach|image|process|archive|document|script|binary|executable|module`), typ: "filename"},
	{of: "domain hostname", name: regexp.MustCompile(`(src|dst|dest|source|client|server|remote|host|peer)?ip(v[46])?(addr|address)?$`), because: "no address, though its name says so"},
	{of: "ip-dst ip-src", name: regexp.MustCompile(`version|^ver$|build|firmware|release`), because: "a version by its name"},
	{of: "ip-dst ip-src", name: regexp.MustCompile(`dst|dest|target|responder|resp`), typ: "ip-dst"},
	{of: "ip-dst ip-src", name: sourceSide, typ: "ip-src"},
}

var sourceSide = regexp.MustCompile(`src|source|client|remote|caller|actor|origin|peer|sender|attacker|from`)

// typeByName returns the type for a value that was recognised as one of type found, by the last name of its path; because is set for
// a value that is no indicator by its name. Both are empty if the name does not decide.
func typeByName(path string, found engine.Type) (typ engine.Type, because string) {
	name := spelling(lastStep(path))
	for _, rule := range nameRules {
		for of := range strings.FieldsSeq(rule.of) {
			if string(found) == of && rule.name.MatchString(name) {
				return rule.typ, rule.because
			}
		}
	}
	return "", ""
}

// notPublic returns the paths of the first addresses in an alert that are not public. No mapping is suggested for them: most are a
// site's own.
func notPublic(alert []byte) []string {
	var paths []string
	var walk func(path string, v gjson.Result, depth int)
	walk = func(path string, v gjson.Result, depth int) {
		switch {
		case depth > maxLeafDepth || len(paths) >= maxLeftOut:
		case v.IsObject():
			v.ForEach(func(key, inner gjson.Result) bool {
				if step := escapeKey(key.Str); step != "" && (depth > 0 || !envelope[key.Str]) {
					walk(strings.TrimPrefix(path+"."+step, "."), inner, depth+1)
				}
				return true
			})
		case v.IsArray():
			v.ForEach(func(_, item gjson.Result) bool {
				at := path
				if item.IsObject() || item.IsArray() {
					at += ".#"
				}
				walk(at, item, depth+1)
				return true
			})
		case formOf(v) == formPrivate:
			paths = append(paths, path)
		}
	}
	walk("", gjson.ParseBytes(alert), 0)
	return paths
}
