package engine

import (
	"slices"
	"strconv"
	"strings"
)

// This file has the forms of keys of the Windows registry. Sysmon writes HKLM\ and HKU\SID\, file integrity monitoring
// HKEY_LOCAL_MACHINE\, and MISP's users HKCU\ for a key of whichever user.

// registryPair is the type of a key, or the name of a value below it, and what is in it. MISP stores both halves, and
// compares each alone.
const registryPair Type = "regkey|value"

// pairMark is between the halves of a pair.
const pairMark = "|"

const (
	familyRegistryKey  Family = "regkey"
	familyRegistryPair Family = "regkey|value"
	// Never picked: of attributes of the type regkey|value.
	familyRegistryName Family = "regkey name" // both halves, joined by a backslash: a key, and the name of a value
	familyPairKey      Family = "regkey key"  // the first half
	familyPairData     Family = "regkey data" // the second half, if it is a path
)

// hives are the roots of the registry in lower case, and what they are in keys.
var hives = map[string]string{
	"hklm": "hklm", "hkey_local_machine": "hklm",
	"hku": "hku", "hkey_users": "hku",
	"hkcu": "hkcu", "hkey_current_user": "hkcu",
	"hkcr": "hkcr", "hkey_classes_root": "hkcr",
	"hkcc": "hkcc", "hkey_current_config": "hkcc",
	"hkcu_classes": `hkcu\software\classes`, // what MISP's import rules make of a user's classes
}

const (
	machineClasses = `hklm\software\classes\`
	userClasses    = `hkcu\software\classes\`
	ofMachine      = `hklm\`
	ofUsers        = `hku\`
	ofUser         = `hkcu\`
	ofClasses      = `hkcr\`
	controlSet     = `hklm\system\currentcontrolset\`
	controlSet0    = `hklm\system\controlset00` // with 1, 2 or 3 behind it
)

// registryForm returns what a key of the registry is compared by.
func registryForm(name string) comparison {
	key := registryKey(name)
	f := comparison{key: key, wide: strings.HasPrefix(key, ofUser) || strings.HasPrefix(key, ofClasses) || strings.HasPrefix(key, controlSet)}
	switch {
	case strings.HasPrefix(key, ofUsers):
		if of := userKey(key); of != "" {
			f.wider = append(f.wider, of)
			if rest, ok := strings.CutPrefix(of, userClasses); ok {
				f.wider = append(f.wider, ofClasses+rest)
			}
		}
	case strings.HasPrefix(key, userClasses):
		f.wider = append(f.wider, ofClasses+key[len(userClasses):])
	case strings.HasPrefix(key, machineClasses):
		f.wider = append(f.wider, ofClasses+key[len(machineClasses):])
	case strings.HasPrefix(key, controlSet0):
		if number, rest, ok := strings.Cut(key[len(controlSet0):], `\`); ok && slices.Contains([]string{"1", "2", "3"}, number) {
			f.wider = append(f.wider, controlSet+rest)
		}
	}
	return f
}

// registryKey returns a key in lower case, with the short name of its hive, single backslashes, and none at the end.
func registryKey(name string) string {
	key := strings.TrimRight(singleBackslashes(strings.ToLower(name)), `\`)
	for _, before := range []string{"[x64] ", "[x32] ", `computer\`, "registry::"} {
		key = strings.TrimPrefix(key, before)
	}
	if native := strings.TrimLeft(key, `\`); native != key {
		for hive, short := range nativeHives {
			if rest, ok := strings.CutPrefix(native, hive); ok {
				return short + rest
			}
		}
	}
	hive, rest, below := strings.Cut(key, `\`)
	short, known := hives[strings.TrimSuffix(hive, ":")] // PowerShell has a colon
	switch {
	case !known:
		return key
	case !below:
		return short
	}
	return short + `\` + rest
}

// nativeHives are the roots as the kernel writes them, without the backslash that they begin with.
var nativeHives = map[string]string{`registry\machine\`: ofMachine, `registry\user\`: ofUsers}

// userKey returns a key of a user as HKCU has it; "" for another one.
func userKey(key string) string {
	sid, rest, ok := strings.Cut(key[len(ofUsers):], `\`)
	if !ok || !strings.HasPrefix(sid, "s-1-") && sid != ".default" {
		return ""
	}
	if strings.HasSuffix(sid, "_classes") {
		return userClasses + rest
	}
	return ofUser + rest
}

// registryDataForm returns what the data of a value is compared by: numbers in whatever way they are written, paths as
// those of files.
func registryDataForm(data string) comparison {
	data = strings.TrimSpace(data)
	if len(data) > 2 && data[0] == '"' && strings.IndexByte(data[1:], '"') == len(data)-2 {
		data = data[1 : len(data)-1]
	}
	if n, ok := registryNumber(strings.ToLower(data)); ok {
		return comparison{key: n}
	}
	return pathForm(data)
}

// registryNumber reads a number: 1, 0x00000001, dword:00000001, DWORD (0x00000001).
func registryNumber(lower string) (string, bool) {
	digits, isHex := "", false
	for _, word := range []string{"dword", "qword"} {
		if rest, ok := strings.CutPrefix(lower, word); ok {
			lower = strings.Trim(rest, " :()")
			isHex = true
		}
	}
	if rest, ok := strings.CutPrefix(lower, "0x"); ok {
		lower, isHex = rest, true
	}
	digits = lower
	base := 10
	if isHex {
		base = 16
	}
	if digits == "" || len(digits) > 20 {
		return "", false
	}
	n, err := strconv.ParseUint(digits, base, 64)
	if err != nil {
		return "", false
	}
	return strconv.FormatUint(n, 10), true
}

// pairKeys joins the keys of the halves of a pair: each of one with each of the other.
func pairKeys(of, data []string) []string {
	var keys []string
	for _, k := range of {
		for _, d := range data {
			keys = append(keys, k+pairMark+d)
		}
	}
	return keys
}

// normalPair returns the normal form of a pair. The name of a key has no bar.
func normalPair(s string) (string, error) {
	key, data, ok := strings.Cut(s, pairMark)
	if !ok {
		return "", errNoPair
	}
	key, err := normalText(unescapePath(strings.TrimSpace(key)))
	if err != nil {
		return "", err
	}
	data = strings.ReplaceAll(strings.TrimSpace(data), `\"`, `"`) // as Wazuh leaves it
	data, err = normalText(unescapePath(data))
	if err != nil {
		return "", err
	}
	return key + pairMark + data, nil
}

// pairIndicators returns the indicators of an attribute of the type regkey|value. Users write one of two things: a key
// with the name of a value, and its data; or a key, and the name of a value.
func pairIndicators(value string) []Indicator {
	normal, err := registryPair.Normal(value)
	if err != nil {
		return nil
	}
	key, second, _ := strings.Cut(normal, pairMark)
	k, data := registryForm(key), registryDataForm(second)
	found := appendKeys(nil, familyRegistryPair, pairKeys(k.stored(), data.stored()))
	found = appendKeys(found, familyPairKey, k.stored())
	if isValueName(second) {
		found = appendKeys(found, familyRegistryName, registryForm(key+`\`+second).stored())
	}
	if hasDirectory(data) {
		found = appendKeys(found, familyPairData, data.stored())
	}
	return found
}

// isValueName reports whether a text can be the name of a value of the registry.
func isValueName(s string) bool { return s != "" && len(s) <= 255 && strings.IndexByte(s, '\\') < 0 }
