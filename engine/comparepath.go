package engine

import "strings"

// This file has the forms of paths of Windows: with a variable of the environment, and as the path that it stands for.
// MISP's own import rules write C:\Users\x\AppData\Roaming\e.exe as %APPDATA%\e.exe, and so on.

// The variables that others are written with, as keys have them.
const (
	userProfile     = "%userprofile%"
	programData     = "%programdata%"
	programFiles    = "%programfiles%"
	programFilesX86 = "%programfiles(x86)%"
	publicProfile   = "%public%"
	systemRoot      = "%systemroot%"
	tempDir         = "%temp%" // of a user or of the system

	roaming   = userProfile + `\appdata\roaming`
	localData = userProfile + `\appdata\local`
	userTemp  = localData + `\temp`
	sysTemp   = systemRoot + `\temp`
)

// variables says what each variable is in terms of those above. %SYSTEMDRIVE% is a drive, as good as always C:.
var variables = map[string]string{
	userProfile: userProfile, "%homepath%": userProfile, "%homedrive%%homepath%": userProfile, "%systemdrive%%homepath%": userProfile,
	"%appdata%": roaming, "%localappdata%": localData,
	tempDir: tempDir, "%tmp%": tempDir,
	systemRoot: systemRoot, "%windir%": systemRoot,
	programFiles: programFiles, "%programw6432%": programFiles, programFilesX86: programFilesX86,
	"%commonprogramfiles%": programFiles + `\common files`, "%commonprogramfiles(x86)%": programFilesX86 + `\common files`,
	programData: programData, "%allusersprofile%": programData,
	publicProfile:   publicProfile,
	"%systemdrive%": "c:", "%homedrive%": "c:",
}

// A rootDir is a directory of a drive that a variable stands for.
type rootDir struct {
	path     string // without the drive
	user     bool   // the name of a user follows
	variable string
}

// rootDirs are the directories, those of newer versions of Windows first; what is more exact comes before what is less.
var rootDirs = []rootDir{
	{`users\public`, false, publicProfile},
	{`users\all users`, false, programData},
	{`users`, true, userProfile},
	{`programdata`, false, programData},
	{`documents and settings\all users`, false, programData},
	{`documents and settings`, true, userProfile},
	{`docume~1`, true, userProfile},
	{`windows`, false, systemRoot},
	{`winnt`, false, systemRoot},
	{`program files (x86)`, false, programFilesX86},
	{`program files`, false, programFiles},
}

// moved are directories under other names in versions of Windows before Vista, and what MISP's import rules make of
// C:\Program Files (x86), since they know C:\Program Files first.
var moved = []struct{ from, to string }{
	{userProfile + `\application data`, roaming},
	{userProfile + `\local settings\application data`, localData},
	{userProfile + `\local settings\temp`, userTemp},
	{programFiles + `\(x86)`, programFilesX86},
}

// pathForm returns what a file name is compared by.
func pathForm(name string) comparison {
	lower := strings.ToLower(name)
	if strings.IndexByte(lower, '\\') < 0 {
		return comparison{key: lower}
	}
	lower = singleBackslashes(lower)
	lower = strings.TrimPrefix(strings.TrimPrefix(lower, `\??\`), `\\?\`)
	if rest, ok := strings.CutPrefix(lower, `\systemroot\`); ok {
		lower = systemRoot + `\` + rest
	}
	if lower != "" && lower[0] == '%' {
		return variableForm(lower)
	}
	return comparison{key: lower, wider: widerPaths(generalPath(lower))}
}

// variableForm is pathForm for a path that begins with a percent sign.
func variableForm(lower string) comparison {
	name, rest, _ := strings.Cut(lower, `\`)
	meaning, known := variables[name]
	if !known {
		return comparison{key: lower}
	}
	path := meaning + `\` + rest
	if meaning == "c:" {
		return comparison{key: path, wider: widerPaths(generalPath(path))}
	}
	path = renamed(path)
	return comparison{key: path, wider: widerPaths(path)[1:], wide: true}
}

// widerPaths returns a path that begins with a variable, and those with other variables that stand for it among others;
// nil for an empty one.
func widerPaths(path string) []string {
	if path == "" {
		return nil
	}
	wider := []string{path}
	for _, dir := range []string{userTemp, sysTemp} {
		if rest, ok := strings.CutPrefix(path, dir+`\`); ok {
			wider = append(wider, tempDir+`\`+rest)
		}
	}
	return wider
}

// generalPath returns a path of a drive with the variable that stands for its beginning; "" if there is none.
func generalPath(lower string) string {
	rest, ok := withoutDrive(lower)
	if !ok {
		return ""
	}
	for _, dir := range rootDirs {
		below, ok := strings.CutPrefix(rest, dir.path+`\`)
		if ok && dir.user {
			_, below, ok = strings.Cut(below, `\`)
		}
		if ok && below != "" {
			return renamed(dir.variable + `\` + below)
		}
	}
	return ""
}

// withoutDrive returns a path without its drive, c:\ or \device\harddiskvolume3\; false if it has none.
func withoutDrive(lower string) (string, bool) {
	if len(lower) > 3 && lower[1] == ':' && lower[2] == '\\' && 'a' <= lower[0] && lower[0] <= 'z' {
		return lower[3:], true
	}
	if volume, ok := strings.CutPrefix(lower, `\device\harddiskvolume`); ok {
		number, rest, ok := strings.Cut(volume, `\`)
		return rest, ok && number != "" && isDigits(number)
	}
	return "", false
}

// renamed replaces the names of directories that are known under others.
func renamed(path string) string {
	for _, m := range moved {
		if rest, ok := strings.CutPrefix(path, m.from+`\`); ok {
			return m.to + `\` + rest
		}
	}
	return path
}

// singleBackslashes makes one of each run of backslashes, but for the two that a UNC path begins with.
func singleBackslashes(s string) string {
	at := strings.Index(s[min(1, len(s)):], `\\`)
	if at < 0 {
		return s
	}
	var b strings.Builder
	for i := range len(s) {
		if i > 1 && s[i] == '\\' && s[i-1] == '\\' {
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// hasDirectory reports whether a name is a path of Windows and not that of a file alone.
func hasDirectory(c comparison) bool {
	return strings.IndexByte(c.key, '\\') > 0 && (c.wide || len(c.wider) > 0 || c.key[1] == ':')
}
