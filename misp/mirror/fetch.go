package mirror

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"custom-misp/engine/atomicfile"
	"custom-misp/engine/enrich"
	"custom-misp/misp/api"
)

// validators tell one version of a file from another: the entity tag and the time that a server gives it, or its size and
// time in a directory. The zero value is of no file.
type validators struct {
	tag      string // ETag; size and time of a file in a directory
	modified string // Last-Modified, as the server wrote it
}

// validators returns those of the file that a set was made of.
func (s *State) validators() validators { return validators{s.Tag, s.Modified} }

// setValidators notes those of the file that a set was made of.
func (s *State) setValidators(v validators) { s.Tag, s.Modified = v.tag, v.modified }

// errAbsent is a file that the place does not have; trying again does not help.
type errAbsent struct{ error }

// Unwrap returns what happened.
func (e errAbsent) Unwrap() error { return e.error }

// errAnswered is a file that the server does not give, for another reason.
type errAnswered struct{ error }

// Unwrap returns what happened.
func (e errAnswered) Unwrap() error { return e.error }

// open begins to read a file. have is what an earlier open of it returned; errSame if the file is still that. A file that
// says that it is longer than a number of bytes is refused at once; the caller bounds what it reads.
func (p place) open(ctx context.Context, file string, have validators, most int64) (content io.ReadCloser, got validators, err error) {
	if p.http == nil {
		content, tag, size, err := openFile(p.name(file), have.tag)
		if err == nil && size > most {
			return nil, validators{}, errors.Join(p.tooLong(file, most), content.Close())
		}
		return content, validators{tag: tag}, err
	}
	header := http.Header{}
	if have.tag != "" {
		header.Set("If-None-Match", have.tag)
	}
	if have.modified != "" {
		header.Set("If-Modified-Since", have.modified)
	}
	resp, err := p.ask(ctx, file, header)
	if err != nil {
		return nil, validators{}, err
	}
	switch {
	case resp.StatusCode == http.StatusOK && resp.ContentLength > most:
		return nil, validators{}, errors.Join(p.tooLong(file, most), resp.Body.Close())
	case resp.StatusCode == http.StatusOK:
		d := &download{ctx: ctx, place: p, file: file, body: resp.Body, same: validatorsIn(resp.Header)}
		if resp.Header.Get("Content-Encoding") == "gzip" {
			return &unpacked{download: d}, d.same, nil
		}
		return d, d.same, nil
	case resp.StatusCode == http.StatusNotModified && have != validators{}:
		return nil, have, errors.Join(errSame, resp.Body.Close())
	}
	return nil, validators{}, errors.Join(p.refused(file, resp), resp.Body.Close())
}

// ask asks for a file. The caller has to close the body of the answer, whatever its status.
func (p place) ask(ctx context.Context, file string, header http.Header) (*http.Response, error) {
	return p.get(ctx, p.name(file), file, header)
}

// get asks for an address; errors are about a file.
func (p place) get(ctx context.Context, address, file string, header http.Header) (*http.Response, error) {
	if p.fault != nil {
		return nil, p.trouble(file, p.fault, "correct it in the declaration of the source")
	}
	req, err := retryablehttp.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, p.trouble(file, errors.New("no valid address"), "is the address right?")
	}
	maps.Copy(req.Header, p.headers)
	maps.Copy(req.Header, header)
	// Asked for here, it is unpacked here: where a download breaks, the rest of what was sent is asked for.
	req.Header.Set("Accept-Encoding", "gzip")
	resp, err := p.http.Do(req)
	if err == nil {
		return resp, nil
	}
	if resp != nil { // the time ended behind the answer
		_ = resp.Body.Close()
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err // the address may hold a key
	}
	return nil, p.trouble(file, err, remedyForConnection(err))
}

// remedyForConnection says what to do where there was no answer.
func remedyForConnection(err error) string {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "name the authority of its certificate with ca_file in the declaration of the source"
	}
	return "is the address right, and reachable from here?"
}

// refused returns an error for an answer without the file.
func (p place) refused(file string, resp *http.Response) error {
	answered := fmt.Errorf("answered %d %s", resp.StatusCode, http.StatusText(resp.StatusCode)) // its own text may be anything
	wait := api.AskedWait(resp)
	if wait > 0 {
		answered = fmt.Errorf("%w, and asks for no request in the next %s", answered, wait.Round(time.Second))
	}
	switch resp.StatusCode {
	case http.StatusNotFound, http.StatusGone:
		return errAbsent{p.trouble(file, answered, "is the address right?")}
	case http.StatusUnauthorized, http.StatusForbidden:
		return errAnswered{p.waiting(wait, p.trouble(file, answered, "does it need a key (headers, auth), and is the key right?"))}
	case http.StatusTooManyRequests:
		return p.waiting(wait, p.trouble(file, answered, "fetch it less often: refresh in the declaration of the source"))
	}
	return errAnswered{p.waiting(wait, p.trouble(file, answered, "see what it says in a browser"))}
}

// waiting notes in an error how long the server wants no further request.
func (p place) waiting(wait time.Duration, err error) error {
	if t, ok := errors.AsType[*enrich.Trouble](err); ok {
		t.Wait = wait
	}
	return err
}

// versionIn returns the version that the headers of an answer give; texts that are too long count as absent.
func validatorsIn(h http.Header) (v validators) {
	if v.tag = h.Get("ETag"); len(v.tag) > maxTag {
		v.tag = ""
	}
	if v.modified = h.Get("Last-Modified"); len(v.modified) > maxModified {
		v.modified = ""
	}
	return v
}

// openFile opens a file, unless it is still what it was, and returns its tag and its size.
func openFile(name, tag string) (content io.ReadCloser, newTag string, size int64, err error) {
	f, st, err := openRegular(name)
	if err != nil {
		t := &enrich.Trouble{Code: enrich.CodeFeed, Err: err, Remedy: "let the user that this program runs as read it"}
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, atomicfile.ErrNotRegular) {
			t.Remedy = "is the path right?"
			return nil, "", 0, errAbsent{t}
		}
		return nil, "", 0, t
	}
	now := fmt.Sprintf("%d-%d", st.Size(), st.ModTime().UnixNano())
	if now == tag {
		return nil, tag, 0, errors.Join(errSame, f.Close())
	}
	return f, now, st.Size(), nil
}

// read reads a file of at most a number of bytes.
func (p place) read(ctx context.Context, file string, have validators, most int64) (data []byte, got validators, err error) {
	r, got, err := p.open(ctx, file, have, most)
	if err != nil {
		return nil, got, err
	}
	defer r.Close() //nolint:errcheck // only read
	data, err = io.ReadAll(io.LimitReader(reading(ctx, r), most+1))
	if err == nil && int64(len(data)) > most {
		return nil, validators{}, p.tooLong(file, most)
	}
	if err != nil {
		return nil, validators{}, p.trouble(file, err, "download it again")
	}
	return data, got, nil
}
