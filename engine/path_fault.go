package engine

import (
	"slices"
	"strings"
)

// This file knows the syntax of gjson paths, and what people write instead of it. gjson itself refuses no path: what it does
// not understand is the name of a member that no alert has.

// pathModifiers are the modifiers of gjson.
var pathModifiers = []string{
	"pretty", "ugly", "reverse", "this", "flatten", "join", "valid", "keys", "values", "tostr", "fromstr", "group", "dig",
}

var (
	escapedCharacter = lazily(`(?s)\\.`)
	pathInACall      = lazily(`^(?:field|has)\(\s*["']?([^"')]*)["']?\s*\)$`)
	pathInAFunction  = lazily(`^[A-Za-z_][A-Za-z0-9_]*\((.*)\)$`)
	pathInQuotes     = lazily("^[\"'`“”‘’](.*)[\"'`“”‘’]$")
	pathInTemplate   = lazily(`^(?:\$?\{\{?|\$\(|%\{|<)\s*\$?\.?([A-Za-z0-9_.@-]+)\s*(?:\}?\}|\)|>)$`)
	memberInBrackets = lazily(`\[\s*["']([^"']*)["']\s*\]`)
	pipedWord        = lazily(`\|\s*(upper|lower|toupper|tolower|trim|length|len|count|first|last|join\(|split|sort|uniq|unique|default|url|urldecode|base64|base64d|b64decode|hex|json|tojson|fromjson|keys|values|string|tostring|text|md5|map|select)\b`)
	lazyCondition    = lazily(`[=!]=`)
	severalPaths     = lazily(`\|\|| \| | or | and `)
	wordOperator     = lazily(`\s(contains|startsWith|endsWith|matches|like|in|eq|is)\s`)
	modifierInPath   = lazily(`\|@([A-Za-z0-9_]*)`)
)

// pathFault returns the remedy for a gjson path that can never lead to a value, or "". What a backslash stands before is part
// of a name.
func pathFault(path string) string {
	plain := path
	if strings.Contains(path, `\`) {
		plain = escapedCharacter().ReplaceAllString(path, "x")
	}
	trimmed := strings.TrimSpace(plain)
	switch {
	case trimmed == "":
		return "name a field of the alert, like data.srcip"
	case trimmed != plain:
		return "remove the blanks around it"
	case isPlain(path) && !strings.Contains(path, " or ") && !strings.Contains(path, " and "):
		return ""
	}
	if m := pathInACall().FindStringSubmatch(path); m != nil {
		return "write only the path: " + m[1]
	}
	if m := pathInQuotes().FindStringSubmatch(path); m != nil && !strings.HasPrefix(path, `"..`) {
		return "remove the quotes inside: " + m[1]
	}
	if m := pathInTemplate().FindStringSubmatch(path); m != nil {
		return "write only the path: " + m[1]
	}
	if m := pathInAFunction().FindStringSubmatch(path); m != nil {
		return "a path is no expression and calls no function; write only the path: " + m[1]
	}
	if remedy := foreignPath(plain); remedy != "" {
		return remedy
	}
	rest, remedy := withoutQueries(plain)
	if remedy != "" {
		return remedy
	}
	return stepFault(rest)
}

// foreignPath returns the remedy for a path in the syntax of another tool.
func foreignPath(path string) string {
	switch {
	case strings.Contains(path, "?(") || strings.Contains(path, "@."):
		return `this is JSONPath; write a condition on the items of an array as items.#(type=="ip")#.value`
	case strings.HasPrefix(path, "$"):
		return "this is JSONPath; write a gjson path, like data.srcip"
	case strings.HasPrefix(path, "/"):
		return "write it with dots: " + strings.ReplaceAll(strings.Trim(path, "/"), "/", ".")
	case !strings.Contains(path, ".") && strings.Contains(path, "/"):
		return "write it with dots: " + strings.ReplaceAll(path, "/", ".")
	case strings.Contains(path, "->"):
		return "write it with dots: " + strings.ReplaceAll(path, "->", ".")
	case memberInBrackets().MatchString(path) && !strings.Contains(path, "#("):
		return "write it with dots: " + strings.Trim(memberInBrackets().ReplaceAllString(path, ".$1"), ".")
	}
	return ""
}

// withoutQueries returns a path with x for each query, or the remedy for a wrong one.
func withoutQueries(path string) (rest, remedy string) {
	for {
		start := strings.Index(path, "#(")
		if start < 0 {
			return rest + path, ""
		}
		end := queryEnd(path, start+1)
		if end < 0 {
			return "", `the bracket of #( is not closed; write items.#(type=="ip")#.value`
		}
		if remedy := queryFault(path[start+2 : end]); remedy != "" {
			return "", remedy
		}
		rest, path = rest+path[:start]+"#", path[end+1:]
		path = strings.TrimPrefix(path, "#")
		if path != "" && !strings.ContainsAny(path[:1], ".|,]}") {
			return "", `behind a query follows #, a dot or nothing: items.#(type=="ip")#.value`
		}
	}
}

// queryEnd returns where the bracket that opens at a place is closed, -1 if it is not.
func queryEnd(path string, open int) int {
	depth, quoted := 0, false
	for i := open; i < len(path); i++ {
		switch c := path[i]; {
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '(':
			depth++
		case c == ')':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

func queryFault(query string) string {
	const join = `a query has one comparison; write a second query behind it: items.#(type=="ip")#|#(kind=="x")#.value`
	switch {
	case strings.Contains(query, "'"):
		return `write texts in a query in double quotes: #(` + strings.ReplaceAll(query, "'", `"`) + `)`
	case strings.Contains(query, "&&"), strings.Contains(query, "||"), strings.Contains(query, " and "), strings.Contains(query, " or "):
		return join
	case strings.Contains(query, "=~"), strings.Contains(query, "~="):
		return "compare with a pattern of * and ? by %: " + strings.NewReplacer("=~", "%", "~=", "%").Replace(query)
	case strings.Contains(query, "===") || strings.Contains(query, "<>"):
		return "compare with == or !="
	case wordOperator().MatchString(query):
		return `compare in a query with == != < <= > >= or, for a pattern of * and ?, with %: #(name%"*evil*")`
	}
	return ""
}

// stepFault returns the remedy for a wrong step of a path without queries.
func stepFault(path string) string {
	bracket := strings.IndexByte(path, '[')
	switch {
	case strings.HasPrefix(path, ".") || strings.HasSuffix(path, "."):
		return "remove the dot at its end"
	case strings.Contains(path, "..") && !strings.HasPrefix(path, ".."):
		return "remove one of the two dots"
	case bracket > 0 && path[bracket-1] != '.' && path[bracket-1] != '|' && !strings.ContainsAny(path[:bracket], "{@"),
		strings.Contains(path, ".[") && !strings.Contains(path, ","):
		return "write array indexes as .0 and all items as .#"
	case lazyCondition().MatchString(path):
		return "a path is no condition; put it into match or keep, or compare the items of an array with a query: items.#(type==\"ip\")#.value"
	case pipedWord().MatchString(path):
		return filterRemedy(pipedWord().FindStringSubmatch(path)[1])
	case severalPaths().MatchString(path):
		return "write one path, and a pick of its own for each field"
	case !strings.ContainsAny(path, "[{@") && strings.ContainsAny(path, ",;"):
		return "write one path, and a pick of its own for each field; a comma in the name of a field as \\,"
	case strings.HasSuffix(path, "|"):
		return "remove the bar at its end"
	}
	return partFault(path)
}

// decodeSteps are what people write behind a bar for a step of decode.
var decodeSteps = map[string]string{
	"base64": "base64", "base64d": "base64", "b64decode": "base64", "url": "url", "urldecode": "url", "hex": "hex",
	"json": "json", "fromjson": "json", "lower": "lower", "tolower": "lower", "trim": "trim",
}

// filterRemedy returns the remedy for a word behind a bar that is no modifier of gjson.
func filterRemedy(word string) string {
	if step := decodeSteps[strings.ToLower(word)]; step != "" {
		return "name the field alone, and write decode: [" + step + "] into the pick"
	}
	return "a path has no filters behind a bar; name the field alone"
}

// partFault returns the remedy for a modifier that gjson does not have, and for a misplaced #.
func partFault(path string) string {
	for _, m := range modifierInPath().FindAllStringSubmatch(path, -1) {
		if !slices.Contains(pathModifiers, m[1]) && !slices.Contains([]string{"timestamp", "version", "metadata"}, m[1]) {
			if decodeSteps[strings.ToLower(m[1])] != "" {
				return filterRemedy(m[1])
			}
			return "gjson has no modifier @" + m[1] + "; it has @" + strings.Join(pathModifiers, ", @")
		}
	}
	for _, step := range strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '|' }) {
		switch {
		case len(step) > 1 && step[0] == '#':
			return "write all items of an array as .#. : " + strings.Replace(path, step, "#."+step[1:], 1)
		case len(step) > 1 && strings.HasSuffix(step, "#"):
			return "write all items of an array as .# : " + strings.Replace(path, step, strings.TrimSuffix(step, "#")+".#", 1)
		}
	}
	return ""
}

// pathDoubt returns the remedy for a path that could lead to a value, but hardly is meant; "" for others.
func pathDoubt(path string) string {
	switch {
	case strings.Contains(path, `\\`):
		return "in single quotes and without quotes a backslash is written once: " + strings.ReplaceAll(path, `\\`, `\`)
	case strings.ContainsAny(path, "“”‘’\u00a0\u200b\ufeff"):
		return "it has typographic quotes or blanks that cannot be seen; type it again"
	case path == "#" || strings.HasPrefix(path, "#.") || strings.HasPrefix(path, ".."):
		return "an alert is no array; begin with the name of a field, like data.items.#.value"
	}
	return ""
}
