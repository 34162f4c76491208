package engine

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// This file says for what MISP has to be asked. It compares texts, without regard to case, so each way to write a value is
// a text of its own. What begins with a variable cannot be asked for: MISP takes a percent sign at either end of a text
// for any text.

// Texts are what MISP is asked for because of a relation.
type Texts struct {
	// Values are compared as they are.
	Values []string
	// Patterns are those of SQL's LIKE, each with a percent sign in front. MISP reads every value of the types that are
	// asked for to answer one.
	Patterns []string
}

func (t Texts) all() []string { return slices.Concat(t.Values, t.Patterns) }

// How many texts one observable has at most, but for its networks and parents.
const (
	addressTexts  = 3
	urlTexts      = 18
	pathTexts     = 12
	registryTexts = 140
)

// Texts returns what MISP is asked for to find the attributes of a relation of o. What it answers has to be compared with
// the relation.
func (o Observable) Texts(r Relation) Texts {
	if o.Plain {
		return o.plainTexts(r)
	}
	key := r.Indicator.Key
	switch r.Indicator.Family {
	case familyIP:
		return Texts{Values: addressForms(key)}
	case Type("AS").Family():
		return Texts{Values: []string{o.Value, strings.TrimPrefix(o.Value, "AS")}}
	case familyURL:
		return Texts{Values: urlForms(o.Value, key)}
	case familyFilename, familyPairData:
		return pathTextsOf(o.Value, r.Indicator.Key)
	case familyRegistryKey, familyPairKey:
		return registryTextsOf(r.Indicator.Key)
	case familyRegistryName:
		parent := strings.LastIndexByte(r.Indicator.Key, '\\')
		if parent <= 0 {
			return Texts{}
		}
		return registryTextsOf(r.Indicator.Key[:parent])
	case familyRegistryPair:
		of, _, _ := strings.Cut(r.Indicator.Key, pairMark)
		return registryTextsOf(of)
	}
	if r.Kind == MatchExact {
		return Texts{Values: []string{o.Value}}
	}
	return Texts{Values: []string{r.Indicator.Key}}
}

// plainTexts returns the value of o for its own indicator, and nothing for the other ways to write it.
func (o Observable) plainTexts(r Relation) Texts {
	switch {
	case r.Kind != MatchExact && r.Kind != MatchHalf:
		return Texts{Values: []string{r.Indicator.Key}}
	case r.Indicator == o.Indicator():
		return Texts{Values: []string{o.Value}}
	}
	return Texts{}
}

// addressForms returns an address, and one of version 4 as one of version 6 too, in both ways to write it.
func addressForms(key string) []string {
	a, err := netip.ParseAddr(key)
	if err != nil || !a.Is4() {
		return []string{key}
	}
	b := a.As4()
	return []string{key, "::ffff:" + key, fmt.Sprintf("::ffff:%x:%x", int(b[0])<<8|int(b[1]), int(b[2])<<8|int(b[3]))}
}

// urlForms returns a URL as it is, with either scheme of the web and with none, with the default port and without, and
// with a slash behind the host and without.
func urlForms(value, key string) []string {
	rest, ok := strings.CutPrefix(key, webScheme)
	if !ok {
		return []string{value}
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	host, tails := rest[:end], []string{rest[end:]}
	if !strings.HasPrefix(tails[0], "/") {
		tails = append(tails, "/"+tails[0])
	}
	hosts := []string{"http://" + host, "https://" + host, host}
	if strings.LastIndexByte(host, ':') <= strings.LastIndexByte(host, ']') {
		hosts = append(hosts, "http://"+host+":80", "https://"+host+":443", host+":80", host+":443")
	}
	texts := []string{value}
	for _, h := range hosts {
		for _, tail := range tails {
			if text := h + tail; !strings.EqualFold(text, value) {
				texts = append(texts, text)
			}
		}
	}
	return texts
}

// pathTextsOf returns what a path is asked for by: as it is, with doubled backslashes, and as any path with a variable
// that ends in the same way. value is the path as it is written; key has perhaps a variable.
func pathTextsOf(value, key string) Texts {
	if !strings.Contains(key, `\`) {
		return Texts{Values: []string{value}}
	}
	path, isNarrow := strings.CutPrefix(key, narrow)
	if !strings.HasPrefix(path, "%") { // a drive, or a share
		t := Texts{Values: []string{value}}
		if !strings.EqualFold(path, value) {
			t.Values = append(t.Values, path)
		}
		t.Values = append(t.Values, strings.ReplaceAll(path, `\`, `\\`))
		if rest, ok := strings.CutPrefix(path, `c:\`); ok { // %SYSTEMDRIVE%
			if general := generalPath(path); general != "" {
				rest = belowVariable(general)
			}
			t.Patterns = []string{variablePattern(rest)}
		}
		return t
	}
	if !isNarrow {
		return Texts{Patterns: []string{variablePattern(belowVariable(path))}}
	}
	var t Texts
	for _, end := range endsOf(path) {
		t.Patterns = append(t.Patterns, "%"+escapeLike(`\`+end))
	}
	return t
}

// variablePattern is a pattern for paths with a variable that end in the same way.
func variablePattern(below string) string { return `%\%%` + escapeLike(`\`+below) }

// belowVariable returns the shortest end that all ways have in common to write a path with a variable.
func belowVariable(path string) string {
	for _, dir := range []string{roaming, userTemp, localData, programFiles + `\common files`, programFilesX86 + `\common files`} {
		if below, ok := strings.CutPrefix(path, dir+`\`); ok {
			return below
		}
	}
	_, below, _ := strings.Cut(path, `\`)
	return below
}

// endsOf returns how the paths end that a path with a variable stands for.
func endsOf(path string) []string {
	if below, ok := strings.CutPrefix(path, tempDir+`\`); ok {
		return []string{`temp\` + below}
	}
	variable, below, _ := strings.Cut(path, `\`)
	var ends []string
	for _, dir := range rootDirs {
		if dir.variable == variable && !dir.user {
			ends = append(ends, dir.path+`\`+below)
		}
	}
	if variable == userProfile {
		ends = append(ends, below)
		for _, m := range moved {
			if rest, ok := strings.CutPrefix(path, m.to+`\`); ok && strings.HasPrefix(m.from, userProfile) {
				ends = append(ends, m.from[len(userProfile)+1:]+`\`+rest)
			}
		}
	}
	return ends
}

// registryTextsOf returns what a key of the registry is asked for by: with each name of its hive, with a backslash behind
// it, and with doubled ones.
func registryTextsOf(key string) Texts {
	key, isNarrow := strings.CutPrefix(key, narrow)
	if isNarrow {
		return narrowRegistryTexts(key)
	}
	hive, rest, _ := strings.Cut(key, `\`)
	names, known := hiveNames[hive]
	if !known {
		return Texts{Values: []string{key, key + `\`, strings.ReplaceAll(key, `\`, `\\`)}}
	}
	var t Texts
	if rest != "" {
		rest = `\` + rest
	}
	for _, name := range names {
		t.Values = append(t.Values, name+rest, name+rest+`\`)
	}
	for _, name := range names[:2] {
		t.Values = append(t.Values, strings.ReplaceAll(name+rest, `\`, `\\`))
	}
	if below, ok := strings.CutPrefix(key, userClasses); ok {
		t.Values = append(t.Values, `hkcu_classes\`+below)
	}
	return t
}

// narrowRegistryTexts returns what the keys are asked for by that a key stands for.
func narrowRegistryTexts(key string) Texts {
	var t Texts
	add := func(of string) { t.Values = append(t.Values, registryTextsOf(of).Values...) }
	// An underscore is any character.
	users := func(classes, below string) {
		t.Patterns = append(t.Patterns, `%S-1-%`+classes+escapeLike(`\`+below))
	}
	switch {
	case strings.HasPrefix(key, ofUser):
		below := key[len(ofUser):]
		users("", below)
		add(ofUsers + `.default\` + below)
		if classes, ok := strings.CutPrefix(key, userClasses); ok {
			users(`\_classes`, classes)
		}
	case strings.HasPrefix(key, ofClasses):
		below := key[len(ofClasses):]
		add(machineClasses + below)
		add(userClasses + below)
		users(`\_classes`, below)
		users("", `software\classes\`+below)
	case strings.HasPrefix(key, controlSet):
		for _, n := range []string{"1", "2", "3"} {
			add(controlSet0 + n + `\` + key[len(controlSet):])
		}
	}
	return t
}

// hiveNames are the names of each root of the registry; the first two are the usual ones.
var hiveNames = map[string][]string{
	"hklm": {"HKLM", "HKEY_LOCAL_MACHINE", "HKLM:", `\REGISTRY\MACHINE`, `Computer\HKEY_LOCAL_MACHINE`},
	"hku":  {"HKU", "HKEY_USERS", "HKU:", `\REGISTRY\USER`, `Computer\HKEY_USERS`},
	"hkcu": {"HKCU", "HKEY_CURRENT_USER", "HKCU:", `Computer\HKEY_CURRENT_USER`},
	"hkcr": {"HKCR", "HKEY_CLASSES_ROOT", "HKCR:", `Computer\HKEY_CLASSES_ROOT`},
	"hkcc": {"HKCC", "HKEY_CURRENT_CONFIG"},
}

// escapeLike writes a text so that it stands for itself in a pattern.
func escapeLike(s string) string { return likeEscapes.Replace(s) }

var likeEscapes = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)
