package mirror

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"custom-misp/misp/api"
)

const (
	maxResumed   = 10       // how often the rest of a file is asked for
	leastResumed = 64 << 10 // bytes that have to come between: a server that sends drops is not asked for more
)

// A download is a file that a server sends. Where the connection breaks, the rest is asked for (Range), on condition that
// the file is still the same (If-Range). It needs a version that says so, as most servers give to files, and not to pages
// that they make.
type download struct {
	ctx     context.Context
	place   place
	file    string
	same    validators
	body    io.ReadCloser
	at      int64 // bytes that came
	resumed int
	from    int64 // at, when the rest was asked for last
}

// Close implements io.Closer.
func (d *download) Close() error { return d.body.Close() }

// Read implements io.Reader.
func (d *download) Read(b []byte) (int, error) {
	n, err := d.body.Read(b)
	d.at += int64(n)
	if err == nil || err == io.EOF { //nolint:errorlint // a body that breaks off wraps none, and is none
		return n, err
	}
	return n, d.resume(err)
}

// resume asks for the rest of the file, and returns why it was not sent; cause, if it makes no sense to ask.
func (d *download) resume(cause error) error {
	condition := d.condition()
	if condition == "" || d.resumed == maxResumed || d.at-d.from < leastResumed || d.ctx.Err() != nil {
		return cause
	}
	d.resumed, d.from = d.resumed+1, d.at
	_ = d.body.Close()
	wait := time.NewTimer(api.Backoff(d.place.http.RetryWaitMin, d.place.http.RetryWaitMax, d.resumed, nil))
	defer wait.Stop()
	select {
	case <-d.ctx.Done():
		return cause
	case <-wait.C:
	}
	resp, err := d.place.ask(d.ctx, d.file, http.Header{"Range": {fmt.Sprintf("bytes=%d-", d.at)}, "If-Range": {condition}})
	if err != nil {
		return err
	}
	d.body = resp.Body
	switch begins := fmt.Sprintf("bytes %d-", d.at); {
	case resp.StatusCode == http.StatusOK:
		return errors.New("it broke off, and has changed meanwhile, or the server sends it only as a whole")
	case resp.StatusCode != http.StatusPartialContent:
		return fmt.Errorf("it broke off, and the rest was %w", d.place.refused(d.file, resp))
	case !strings.HasPrefix(resp.Header.Get("Content-Range"), begins):
		return fmt.Errorf("it broke off at byte %d, and the rest that was sent begins elsewhere", d.at)
	}
	return nil
}

// condition is what has to be the same for the rest to be of the same file; empty if nothing says so.
func (d *download) condition() string {
	if d.same.tag != "" && !strings.HasPrefix(d.same.tag, "W/") {
		return d.same.tag
	}
	return d.same.modified
}

// contentOf returns the content of an answer, unpacked if it was compressed on the way.
func contentOf(resp *http.Response) (io.Reader, error) {
	if resp.Header.Get("Content-Encoding") != "gzip" {
		return resp.Body, nil
	}
	return gzip.NewReader(resp.Body)
}

// unpacked is a download that was compressed on the way.
type unpacked struct {
	*download
	plain *gzip.Reader // nil before the first read
}

// Read implements io.Reader.
func (u *unpacked) Read(b []byte) (int, error) {
	if u.plain == nil {
		plain, err := gzip.NewReader(u.download)
		if err != nil {
			return 0, fmt.Errorf("it is not compressed as the server says: %w", err)
		}
		u.plain = plain
	}
	return u.plain.Read(b)
}
