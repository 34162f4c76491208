package mirror

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// errNotRegular is a directory, a pipe or a device in the place of a file.
var errNotRegular = errors.New("not a regular file")

// openRegular opens a regular file. Whoever can write to the directory could put a pipe there; nothing waits for it.
func openRegular(name string, flag int, mode fs.FileMode) (*os.File, fs.FileInfo, error) {
	f, err := os.OpenFile(name, flag|syscall.O_NONBLOCK, mode)
	if err != nil {
		return nil, nil, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: name, Err: errNotRegular}
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, st, nil
}

// reading returns a reader that ends when the context does.
func reading(ctx context.Context, r io.Reader) io.Reader { return contextReader{ctx, r} }

type contextReader struct {
	ctx context.Context
	r   io.Reader
}

// Read implements io.Reader.
func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
