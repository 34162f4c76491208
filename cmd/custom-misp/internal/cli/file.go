package cli

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"

	"custom-misp/engine/yamlfile"
)

// ReadYAML reads a file that the user has named. A pipe is a file as well: shells make one for <(command). Of a file that is
// longer than any YAML file may be it returns so much that its reader refuses it.
func ReadYAML(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	return yamlfile.ReadAll(f)
}

// ReadFile reads a regular file of which the user has not chosen the place: integratord's files are where every user can
// write. A pipe there is an error and not waited for. Of a file with more than most bytes it returns one byte more than these.
func ReadFile(name string, most int64) ([]byte, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if mode := st.Mode(); !mode.IsRegular() && !mode.IsDir() { // reading a directory is an error that says so
		return nil, &fs.PathError{Op: "read", Path: name, Err: errors.New("not a regular file")}
	}
	return io.ReadAll(io.LimitReader(f, most+1))
}
