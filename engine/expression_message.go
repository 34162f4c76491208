package engine

import (
	"fmt"
	"strings"

	"custom-misp/engine/yamlfile"
)

// This file turns the messages of expr-lang into the words of those who write mappings: no types of Go, no tokens, and what to
// write instead.

var (
	mismatched      = lazily(`^invalid operation: (\S+) \(mismatched types (\S+(?: \{\})?) and (\S+(?: \{\})?)\)`)
	unexpectedToken = lazily(`^unexpected token (\w+)(?:\("((?s:.*))"\))?`)
	wrongArgument   = lazily(`^cannot use (.+) as argument \(type (.+)\) to call (\w+)`)
	wrongItem       = lazily(`^cannot use (.+) as type (.+) in array`)
	wrongCount      = lazily(`^(not enough|too many) arguments to call (\w+)`)
	unknownName     = lazily(`^unknown name (\w+)`)
	leftOfName      = lazily(`[A-Za-z_][A-Za-z0-9_]*(?:\??\.[A-Za-z_][A-Za-z0-9_]*)*`)
)

// kindWord returns the word for a type of Go in messages.
func kindWord(goType string) string {
	switch {
	case strings.HasPrefix(goType, "[]"):
		return "a list"
	case strings.HasPrefix(goType, "func"):
		return "a function"
	case strings.HasSuffix(goType, "Names"):
		return "an object of several fields"
	}
	if word := map[string]string{"string": "a text", "int": "a number", "float64": "a number", "bool": "true or false", "nil": "nothing"}[goType]; word != "" {
		return word
	}
	return goType
}

// wordOfToken are words and signs of other languages, and what is written here.
var wordOfToken = map[string]string{
	"=": "==", "=~": "matches", "AND": "and", "OR": "or", "NOT": "not", "IN": "in", "And": "and", "Or": "or", "Not": "not", "startswith": "startsWith",
	"startsWidth": "startsWith", "endswith": "endsWith", "StartsWith": "startsWith", "EndsWith": "endsWith", "Contains": "contains", "Matches": "matches",
	"match": "matches", "like": "contains or matches", "LIKE": "contains or matches", "is": "==", "eq": "==", "ne": "!=", "<>": "!=", "===": "==",
	"&": "and", "|": "or", "regex": "matches", "includes": "contains", "has": "and has", "gt": ">", "lt": "<", "gte": ">=", "lte": "<=",
}

// inAuthorsWords returns a message of expr-lang about the character at an offset of an expression, and its remedy, for an
// author. remedy is what is known already.
func inAuthorsWords(message, remedy, source string, offset int) (string, string) {
	rest := ""
	if runes := []rune(source); offset >= 0 && offset < len(runes) {
		rest = string(runes[offset:])
	}
	if m := unknownName().FindStringSubmatch(message); m != nil {
		return message, remedyOfName(m[1], rest, remedy)
	}
	if m := mismatched().FindStringSubmatch(message); m != nil {
		return fmt.Sprintf("%s compares %s with %s", m[1], kindWord(m[2]), kindWord(m[3])), remedyOfKinds(m[1], m[2], m[3])
	}
	if m := unexpectedToken().FindStringSubmatch(message); m != nil {
		return messageOfToken(m[1], m[2], source, offset, remedy)
	}
	if m := wrongArgument().FindStringSubmatch(message); m != nil {
		return fmt.Sprintf("%s takes %s, not %s", m[3], kindWord(m[2]), kindWord(m[1])), usageOf(m[3])
	}
	if m := wrongItem().FindStringSubmatch(message); m != nil {
		return fmt.Sprintf("the list has texts, and %s is looked for in it", kindWord(m[1])), `write any(groups, # in ["a", "b"])`
	}
	if m := wrongCount().FindStringSubmatch(message); m != nil {
		return fmt.Sprintf("%s arguments for %s", m[1], m[2]), usageOf(m[2])
	}
	switch {
	case strings.Contains(message, "invalid char escape"):
		remedy = "in a text in double quotes write a backslash twice, or put the text into backquotes: `\\d+`"
	case strings.Contains(message, "literal not terminated"):
		remedy = "close the text with the quote that it begins with"
	case strings.Contains(message, "unrecognized character"):
		remedy = `write texts in straight quotes, like "acme"`
	}
	return message, remedy
}

// usageOf says how a function is called.
func usageOf(name string) string {
	for _, f := range functions {
		if f.name == name {
			return "write " + f.usage
		}
	}
	switch name {
	case "field", "has":
		return fmt.Sprintf("write %s(\"data.srcip\")", name)
	}
	return "see https://expr-lang.org/docs/language-definition"
}

// remedyOfName says what to write for an unknown name at the start of rest.
func remedyOfName(name, rest, remedy string) string {
	path := strings.ReplaceAll(leftOfName().FindString(rest), "?", "")
	switch {
	case common[name] && strings.Contains(path, "."), topNames()[name] && strings.Contains(path, "."):
		return fmt.Sprintf("write field(%q)", path)
	case common[name] || topNames()[name]:
		return fmt.Sprintf("write field(%q)", name)
	case strings.HasPrefix(strings.TrimLeft(rest[len(name):], " "), "in groups"):
		return fmt.Sprintf("write the group in quotes: %q in groups", name)
	case remedy != "":
		return remedy
	}
	return fmt.Sprintf("write a text in quotes: %q; a field of the alert as field(\"data.%s\")", name, name)
}

// remedyOfKinds says what to write where an operator has two kinds that cannot be compared.
func remedyOfKinds(operator, left, right string) string {
	list, text, number := "[]string", "string", map[string]bool{"int": true, "float64": true}
	switch {
	case left == list && right == text:
		return `write the group first: "acme" in groups; for a part of one any(groups, # contains "acme")`
	case left == text && right == text && operator == "in":
		return `write contains for a part of a text: field("data.a") contains "b"`
	case left == text && number[right] && strings.Contains("== !=", operator):
		return "put the number into quotes: fields are texts"
	case left == text && number[right]:
		return `compare numbers: has("data.score") and int(field("data.score")) ` + operator + " 5"
	case number[left] && right == text:
		return "write the number without quotes"
	case strings.HasSuffix(left, "Names"):
		name := strings.TrimSuffix(strings.TrimPrefix(left, "engine."), "Names")
		fields := fieldsOf[name]
		return fmt.Sprintf("write one of its fields: %s.%s", name, strings.Join(fields, ", "+name+"."))
	case left == "bool" || right == "bool":
		return `write each comparison in full: field("data.a") == "x" or field("data.a") == "y"`
	case strings.HasPrefix(right, "[]"):
		return `write in for a list: field("data.a") in ["x", "y"]`
	}
	return "compare texts with texts and numbers with numbers"
}

func messageOfToken(kind, token, source string, offset int, remedy string) (string, string) {
	runes := []rune(source)
	sign := token
	if offset > 0 && offset < len(runes) {
		for _, pair := range []string{"=~", "<>", "===", "=="} { // signs of two characters are two tokens
			if strings.HasPrefix(string(runes[offset:]), pair) || offset > 1 && strings.HasPrefix(string(runes[offset-1:]), pair) {
				sign = pair
				break
			}
		}
	}
	if kind == "EOF" {
		if remedy == "" {
			remedy = "close every bracket and quote, and write a comparison behind and, or and not"
		}
		return "the expression ends too early", remedy
	}
	message := fmt.Sprintf("%q is not expected here", sign)
	if word := wordOfToken[sign]; word != "" {
		return message, "write " + word
	}
	if word := wordOfToken[token]; word != "" {
		return message, "write " + word
	}
	switch kind {
	case "Identifier":
		return message, "write and, or, or a comparison like == before it; put a text into quotes, each quote once"
	case "String":
		return message, "write and, or, or a comparison like == before it"
	case "Bracket":
		return message, "close brackets in the order in which they are opened; write lists as [\"a\", \"b\"]"
	}
	return message, "write comparisons like field(\"data.a\") == \"x\", with and, or, not between them"
}

// typeRemedy says what type to write for an unknown one.
func typeRemedy(typ string) string {
	known := map[string]string{
		"ip": "ip-src or ip-dst", "ipv4": "ip-src or ip-dst", "ipv6": "ip-src or ip-dst", "address": "ip-src or ip-dst", "srcip": "ip-src", "dstip": "ip-dst",
		"hash": "md5, sha1 or sha256, or auto", "host": "hostname", "fqdn": "hostname", "dns": "hostname", "uri": "url", "link": "url", "mail": "email-src or email-dst",
		"file": "filename", "path": "filename", "cve": "vulnerability", "registry": "regkey", "useragent": "user-agent", "mac": "mac-address", "mutant": "mutex",
	}
	if types := known[strings.ToLower(typ)]; types != "" {
		return "write " + types
	}
	list := make([]string, 0, len(families)+1)
	for _, t := range Types() {
		list = append(list, string(t))
	}
	if remedy := yamlfile.DidYouMean(typ, list); remedy != "" {
		return remedy
	}
	return "use a type of mappings/REFERENCE.md, or auto"
}
