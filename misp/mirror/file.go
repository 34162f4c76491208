package mirror

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"

	"custom-misp/engine/atomicfile"
)

// openRegular opens a regular file. Whoever can write to the directory could put a pipe there; nothing waits for it.
func openRegular(name string) (*os.File, fs.FileInfo, error) {
	f, err := atomicfile.OpenRegular(name)
	if err != nil {
		return nil, nil, err
	}
	st, err := f.Stat()
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
