package mappingtest

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"custom-misp/engine"
)

// A form says what values at a path look like; it is a set.
type form uint32

// The forms, in the order in which they are written.
const (
	formText form = 1 << iota
	formNumber
	formBool
	formObject
	formObjects // a list of objects
	formList    // of other values
	formJSON    // a text that is JSON
	formAddress
	formPrivate // an address that is not public
	formName    // of a host or domain
	formURL
	formEmail
	formMD5
	formSHA1
	formSHA224
	formSHA256
	formSHA384
	formSHA512
	formCVE
	formWithin // an indicator among other words
)

// formWords are the words for forms in a profile, by their place.
var formWords = []string{
	"text", "number", "bool", "object", "objects", "list", "json", "address", "private", "name", "url", "email",
	"md5", "sha1", "sha224", "sha256", "sha384", "sha512", "cve", "within",
}

// String returns the words of a form with blanks between them.
func (f form) String() string {
	var words []string
	for i, word := range formWords {
		if f&(1<<i) != 0 {
			words = append(words, word)
		}
	}
	return strings.Join(words, " ")
}

// parseForm reads what String writes. Words that are not known, of a later version, are left out.
func parseForm(text string) form {
	var f form
	for word := range strings.FieldsSeq(text) {
		if i := slices.Index(formWords, word); i >= 0 {
			f |= 1 << i
		}
	}
	return f
}

// formOf returns the form of a value; 0 for null and an empty text.
func formOf(v gjson.Result) form {
	switch {
	case v.IsObject():
		return formObject
	case v.IsArray() && v.Get("0").IsObject():
		return formObjects
	case v.IsArray():
		return formList
	case v.Type == gjson.Number:
		return formNumber
	case v.Type == gjson.True, v.Type == gjson.False:
		return formBool
	case v.Type == gjson.String && v.Str != "":
		return formOfText(v.Str)
	}
	return 0
}

// formsOfTypes are the forms of the types that [engine.Recognise] tells.
var formsOfTypes = map[engine.Type]form{
	"ip-dst": formAddress, "domain": formName, "hostname": formName, "url": formURL, "email": formEmail, "md5": formMD5, "sha1": formSHA1,
	"sha224": formSHA224, "sha256": formSHA256, "sha384": formSHA384, "sha512": formSHA512, "vulnerability": formCVE,
}

func formOfText(text string) form {
	if t, _, ok := engine.Recognise(text); ok {
		return formsOfTypes[t]
	}
	if _, err := netip.ParseAddr(strings.TrimSpace(text)); err == nil {
		return formPrivate
	}
	if jsonText(text) {
		return formJSON
	}
	if len(inText(nil, "", text)) > 0 {
		return formText | formWithin
	}
	return formText
}
