package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"custom-misp/cmd/custom-misp/internal/cli"
)

// alertFileList is what the arguments of a verb name that reads many alerts.
type alertFileList struct {
	names []string // those in directories sorted; "-" is standard input
	size  int64    // of them, in bytes
	links int      // to directories, which are not followed: they may lead into a circle
	// unread are files and directories that cannot be looked at.
	unread []unreadFile
}

// unreadFile is a file or directory, and why it cannot be read.
type unreadFile struct {
	name string
	err  error
}

// alertFiles returns the files that args name, each once. A pipe may be named, and nothing else that is neither a file nor a
// directory: a device has no end.
func alertFiles(args []string) (alertFileList, error) {
	var l alertFileList
	seen := seenFiles{}
	for _, arg := range args {
		if arg == "-" {
			l.names = append(l.names, arg)
			continue
		}
		st, err := os.Stat(arg)
		switch {
		case err != nil:
			return l, cli.WrongUse{Err: err}
		case st.IsDir():
			l.walk(arg, seen)
		case st.Mode()&(fs.ModeDevice|fs.ModeSocket|fs.ModeIrregular) != 0:
			return l, cli.WrongUsef("%s is a device or a socket, which has no alerts; name files or directories, or - for standard input", arg)
		default:
			seen.first(st)
			l.names, l.size = append(l.names, arg), l.size+st.Size()
		}
	}
	if len(l.names)+len(l.unread) == 0 {
		return l, cli.WrongUsef("no alerts (*.json, *.jsonl, *.ndjson, also as .gz) in %s", strings.Join(args, ", "))
	}
	return l, nil
}

// walk adds the files of a directory, and of those in it.
func (l *alertFileList) walk(dir string, seen seenFiles) {
	// With a separator behind it, the directory may be reached by a link.
	_ = filepath.WalkDir(dir+string(filepath.Separator), func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			l.unread = append(l.unread, unreadFile{name, withoutPath(err)})
		case !d.IsDir():
			l.add(name, seen)
		}
		return nil
	})
}

// add adds a file of a directory, if it has alerts by its name.
func (l *alertFileList) add(name string, seen seenFiles) {
	info, err := os.Stat(name)
	switch {
	case err != nil:
		if isAlertsFile(name) {
			l.unread = append(l.unread, unreadFile{name, withoutPath(err)})
		}
	case info.IsDir():
		l.links++
	case !info.Mode().IsRegular() || !isAlertsFile(name): // no one has named it
	case seen.first(info): // Wazuh's alerts.json is the file of the day under a second name
		l.names, l.size = append(l.names, name), l.size+info.Size()
	}
}

// withoutPath returns an error without the name of the file, which is printed before it.
func withoutPath(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}

// seenFiles are files that were seen, by size: those of one size are compared.
type seenFiles map[int64][]fs.FileInfo

// first reports whether a file is seen for the first time.
func (s seenFiles) first(info fs.FileInfo) bool {
	same := func(other fs.FileInfo) bool { return os.SameFile(other, info) }
	if slices.ContainsFunc(s[info.Size()], same) {
		return false
	}
	s[info.Size()] = append(s[info.Size()], info)
	return true
}

// isAlertsFile reports whether a file of a directory has alerts by its name. A compressed one has not if it is not
// compressed yet, or no longer: Wazuh keeps both for a moment.
func isAlertsFile(name string) bool {
	plain, compressed := strings.CutSuffix(name, ".gz")
	if !slices.Contains([]string{".json", ".jsonl", ".ndjson"}, filepath.Ext(plain)) {
		return false // of ossec-alerts-01.log.gz too
	}
	if compressed {
		_, err := os.Stat(plain)
		return err != nil
	}
	return true
}
