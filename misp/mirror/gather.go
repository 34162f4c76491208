package mirror

import (
	"archive/zip"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"

	"custom-misp/engine/atomicfile"
)

// This file reads warninglists of which there are several: the files of a directory, and the lists that are enabled in a MISP.
// They are put into one archive, which is read like one that was fetched.

const (
	maxIndex = 16 << 20 // bytes of MISP's list of its warninglists
	maxTree  = 100_000  // files of a directory that are looked at for lists; more fail the sync
)

// several reports whether the lists of a source are files of their own.
func (d *Declared) several() bool {
	if d.file.Kind != KindWarninglist {
		return false
	}
	if d.from.http != nil {
		at, _, _ := strings.Cut(d.from.at, "?")
		at = strings.TrimSuffix(strings.TrimSuffix(at, "/"), "/index")
		return strings.HasSuffix(at, "/warninglists")
	}
	st, err := os.Stat(d.from.at)
	return err == nil && st.IsDir()
}

// gather returns an archive of the lists, which is deleted when it is closed, and a tag; errSame if the tag is what it was.
func (d *Declared) gather(ctx context.Context, dir, tag string) (_ *fetched, newTag string, err error) {
	f, err := os.CreateTemp(dir, "fetched-*")
	if err != nil {
		return nil, "", err
	}
	_ = os.Remove(filepath.Clean(f.Name())) // it is only read here
	archive := archiveOf{zip: zip.NewWriter(f), left: d.from.max.list}
	if d.from.http == nil {
		newTag, err = d.gatherFiles(ctx, &archive, tag)
	} else {
		newTag, err = d.gatherMISP(ctx, &archive, tag)
	}
	if err != nil {
		return nil, newTag, errors.Join(err, f.Close())
	}
	if err := archive.zip.Close(); err != nil {
		return nil, "", errors.Join(err, f.Close())
	}
	st, err := f.Stat()
	if err != nil {
		return nil, "", errors.Join(err, f.Close())
	}
	return &fetched{f, st.Size()}, newTag, nil
}

// archiveOf is an archive that is written, of a number of bytes at most.
type archiveOf struct {
	zip  *zip.Writer
	left int64
}

func (a *archiveOf) add(ctx context.Context, name string, r io.Reader) error {
	w, err := a.zip.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
	if err != nil {
		return err
	}
	n, err := io.Copy(w, io.LimitReader(reading(ctx, r), a.left+1))
	if a.left -= n; err == nil && a.left < 0 {
		err = errLong
	}
	return err
}

// gatherFiles adds the lists in a directory: its files of the name list.json at any depth, or if there are none, all that
// end in .json.
func (d *Declared) gatherFiles(ctx context.Context, to *archiveOf, tag string) (string, error) {
	tree := atomicfile.DirFS(d.from.at)
	names, sum, err := d.listFiles(ctx, tree)
	switch {
	case err != nil:
		return "", d.from.trouble("", err, "let the user that this program runs as read the directory")
	case len(names) == 0:
		return "", d.from.trouble("", fmt.Errorf("no file %s, and none that ends in .json", WarninglistFile), "name the directory of the misp-warninglists repository")
	case len(names) > MaxWarninglists:
		return "", d.from.trouble("", fmt.Errorf("%w: %d lists, more than %d", errLong, len(names), MaxWarninglists), "name a directory with fewer of them")
	case sum == tag:
		return tag, errSame
	}
	for _, name := range names {
		f, err := tree.Open(name)
		if err == nil {
			err = errors.Join(to.add(ctx, name, f), f.Close())
		}
		if err != nil {
			return "", d.from.trouble(name, err, "let the user that this program runs as read it, or take it out of the directory")
		}
	}
	return sum, nil
}

// listFiles returns the names of the lists in a directory, and a text that changes when one of them does.
func (d *Declared) listFiles(ctx context.Context, tree fs.FS) (names []string, sum string, err error) {
	others := []string{}
	of := map[string]fs.FileInfo{}
	seen := 0
	err = fs.WalkDir(tree, ".", func(name string, e fs.DirEntry, err error) error {
		if seen++; seen > maxTree {
			return fmt.Errorf("%w: more than %d files", errLong, maxTree)
		}
		if err = cmp.Or(err, ctx.Err()); err != nil {
			return err
		}
		switch {
		case e.IsDir() && name != "." && strings.HasPrefix(e.Name(), "."):
			return fs.SkipDir
		case e.IsDir() || path.Ext(name) != ".json":
			return nil
		}
		if of[name], err = e.Info(); err != nil {
			return err
		}
		if e.Name() == WarninglistFile {
			names = append(names, name)
		} else {
			others = append(others, name)
		}
		return nil
	})
	if len(names) == 0 {
		names = others
	}
	h := xxhash.New()
	for _, name := range names {
		_, _ = fmt.Fprintf(h, "%s\x00%d\x00%d\x00", name, of[name].Size(), of[name].ModTime().UnixNano())
	}
	return names, tagOf(h), err
}

func tagOf(h hash.Hash64) string { return fmt.Sprintf("%016x", h.Sum64()) }

// mispIndex is what MISP says of its warninglists.
type mispIndex struct {
	Warninglists []struct {
		Warninglist struct {
			ID      json.RawMessage `json:"id"`
			Version json.RawMessage `json:"version"`
			Enabled json.RawMessage `json:"enabled"`
		}
	}
}

// plain is a text, a number or a truth value of JSON without quotes.
func plain(raw json.RawMessage) string { return strings.Trim(string(raw), `"`) }

// gatherMISP adds the lists that are enabled in a MISP.
func (d *Declared) gatherMISP(ctx context.Context, to *archiveOf, tag string) (string, error) {
	p := d.from
	p.headers = p.headers.Clone()
	if p.headers == nil {
		p.headers = http.Header{}
	}
	p.headers.Set("Accept", "application/json")
	at, _, _ := strings.Cut(p.at, "?")
	p.at = strings.TrimSuffix(strings.TrimSuffix(at, "/"), "/index")
	data, _, err := p.read(ctx, "index", validators{}, maxIndex)
	if err != nil {
		return "", err
	}
	var index mispIndex
	if err := json.Unmarshal(data, &index); err != nil || index.Warninglists == nil {
		return "", p.trouble("index", errors.New("this is not MISP's list of its warninglists"), "does headers name the file of a key: {Authorization: {file: etc/NAME.key}}?")
	}
	var ids []string
	h := xxhash.New()
	for _, l := range index.Warninglists {
		id := plain(l.Warninglist.ID)
		if enabled := plain(l.Warninglist.Enabled); enabled != "true" && enabled != "1" || strings.Trim(id, "0123456789") != "" || id == "" {
			continue
		}
		ids = append(ids, id)
		_, _ = fmt.Fprintf(h, "%s\x00%s\x00", id, plain(l.Warninglist.Version))
	}
	switch {
	case len(ids) == 0:
		return "", p.trouble("index", fmt.Errorf("no warninglist of %d is enabled", len(index.Warninglists)), "enable some in MISP: List Warninglists")
	case len(ids) > MaxWarninglists:
		return "", p.trouble("index", fmt.Errorf("%w: %d lists are enabled, more than %d", errLong, len(ids), MaxWarninglists), "enable fewer of them")
	case tagOf(h) == tag:
		return tag, errSame
	}
	slices.Sort(ids)
	for _, id := range ids {
		r, _, err := p.open(ctx, "view/"+id, validators{}, to.left)
		if err == nil {
			err = errors.Join(to.add(ctx, id+"/"+WarninglistFile, r), r.Close())
		}
		if err != nil {
			return "", err
		}
	}
	return tagOf(h), nil
}
