package app

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/cmd/custom-misp/internal/config"
	"custom-misp/engine"
	"custom-misp/engine/atomicfile"
	"custom-misp/engine/yamlfile"
	"custom-misp/misp/mirror"
	"custom-misp/misp/source"
)

// Sources loads the declared sources of a configuration. The faults are of files and of sources that are left out. Errors
// are [cli.WrongUse].
func Sources(c *config.Config) ([]*source.Source, yamlfile.Faults, error) {
	d, faults, err := declarations(c)
	return d.Sources, faults, err
}

// declarations is Sources for all that is declared.
func declarations(c *config.Config) (source.Declared, yamlfile.Faults, error) {
	var files []source.File
	for _, dir := range c.Sources.Dirs {
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) && c.Sources.MayBeAbsent {
			continue
		}
		found, err := ReadSources(dir)
		if err != nil {
			return source.Declared{}, nil, cli.WrongUsef("sources.dirs: %w", err)
		}
		files = append(files, found...)
	}
	d, faults := LintSources(c, files)
	return d, faults, nil
}

// ReadSources reads a file of sources, or those of a directory.
func ReadSources(name string) ([]source.File, error) {
	st, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !st.IsDir() {
		data, err := cli.ReadNamed(name)
		return []source.File{{Name: filepath.ToSlash(name), Data: data}}, err
	}
	found, err := engine.ReadFS(atomicfile.DirFS(name), filepath.ToSlash(name))
	if err != nil {
		return nil, err
	}
	files := make([]source.File, 0, len(found))
	for _, f := range found {
		files = append(files, source.File{Name: f.Name, Data: f.Data, Err: f.Err})
	}
	return files, nil
}

// LintSources loads files of sources, and leaves out those that have no place, or a name that is taken in the
// configuration. c may be nil.
func LintSources(c *config.Config, files []source.File) (source.Declared, yamlfile.Faults) {
	all, faults := source.LoadAll(files...)
	note := func(file string, line int, remedy, format string, args ...any) {
		faults = append(faults, yamlfile.Fault{File: file, Line: line, Column: 1, Message: fmt.Sprintf(format, args...), Remedy: remedy})
	}
	var kept source.Declared
	for _, s := range all.Servers {
		switch {
		case c != nil && configuredName(c, s.Name):
			note(s.File, s.Line, "give one of them another name", "the name %q is taken by mirror.feeds or mirror.lists", s.Name)
		case c != nil && c.MISP.URL != "" && !c.MISP.Alone && source.SameServer(s.URL, c.MISP.URL):
			note(s.File, s.Line, "take one of them out: both would report every hit", "server %q has the url of misp.url, %s", s.Name, c.MISP.URL)
		default:
			kept.Servers = append(kept.Servers, s)
		}
	}
	for _, s := range all.Sources {
		fault := func(remedy, format string, args ...any) { note(s.File, s.Line, remedy, format, args...) }
		switch {
		case s.URL == "" && s.Path == "":
			fault("give it a url, or the path of a file", "source %q has no place", s.Name)
		case s.Name == mirror.ServerName:
			fault("give it another name", "the name %q is that of MISP", s.Name)
		case c != nil && configuredName(c, s.Name):
			fault("give one of them another name", "the name %q is taken by mirror.feeds or mirror.lists", s.Name)
		default:
			kept.Sources = append(kept.Sources, s)
		}
	}
	return kept, faults
}

// SourceWarnings says which declared sources lack what a filter of the configuration judges by: the filter refuses all of
// their indicators, or with missing: accept, none.
func SourceWarnings(c *config.Config, declared []*source.Source) yamlfile.Faults {
	filter := filterOf(c, declared)
	var faults yamlfile.Faults
	for _, s := range declared {
		keys := s.Lacks(filter)
		if len(keys) == 0 || s.Missing != "" || filter.AcceptsMissing(s.Name) {
			continue // nothing is lacking, or it was decided what becomes of that
		}
		faults = append(faults, yamlfile.Fault{
			File: s.File, Line: s.Line, Column: 1, Warning: true,
			Message: fmt.Sprintf("source %q has nothing that %s judges by: none of its indicators is a hit", s.Name, strings.Join(keys, ", ")),
			Remedy:  "declare what it is (tags, threat_level, first_seen), or missing: accept to let its indicators count; missing: reject to keep this as it is",
		})
	}
	return faults
}

// configuredName reports whether a feed or list of the configuration has a name.
func configuredName(c *config.Config, name string) bool {
	for _, in := range mirrored(c) {
		for _, s := range in.sources {
			if s.Name == name {
				return true
			}
		}
	}
	return false
}

// origin returns a declared source with its secrets, for a sync. Errors name the file that lacks.
func origin(c *config.Config, s *source.Source) (mirror.Origin, error) {
	a, err := accessOf(c, s)
	if err != nil {
		return nil, cli.WrongUsef("%s:%d: source %q: %w", s.File, s.Line, s.Name, err)
	}
	st, err := os.Stat(a.Place)
	if s.IsFeed(err == nil && st.IsDir()) {
		return mirror.NewFeedAt(s.Name, a), nil
	}
	return s.Origin(a), nil
}

// accessOf returns where a source is, and how it is asked for, with all secrets. Errors name the file that lacks.
func accessOf(c *config.Config, s *source.Source) (a mirror.Access, err error) {
	a = mirror.Access{Headers: http.Header{}, UserAgent: userAgent()}
	for _, h := range s.Headers {
		text := h.Text
		if h.File != "" {
			if text, err = readSecret(c, h.File); err != nil {
				return a, fmt.Errorf("header %s: %w", h.Name, err)
			}
		}
		a.Headers.Set(h.Name, text)
	}
	if s.URL == "" {
		a.Place = c.FromHome(s.Path)
		a.Shown = a.Place
		return a, nil
	}
	if err := authorize(c, s.Auth, a.Headers); err != nil {
		return a, err
	}
	if s.CAFile != "" {
		if a.CA, err = readRegular(c.FromHome(s.CAFile)); err != nil {
			return a, fmt.Errorf("ca_file: %w", err)
		}
	}
	a.Place, a.Shown, a.Proxy = s.URL, source.MaskURL(s.URL), s.Proxy
	for _, k := range s.Secrets {
		text, err := readSecret(c, k.File)
		if err != nil {
			return a, fmt.Errorf("secret %s: %w", k.Name, err)
		}
		a.Place = strings.ReplaceAll(a.Place, "${"+k.Name+"}", url.PathEscape(text))
		a.Proxy = strings.ReplaceAll(a.Proxy, "${"+k.Name+"}", url.PathEscape(text))
	}
	return a, nil
}

// authorize sets the header by which a server knows who asks.
func authorize(c *config.Config, a source.Auth, to http.Header) error {
	switch {
	case a.Bearer != "":
		token, err := readSecret(c, a.Bearer)
		if err != nil {
			return fmt.Errorf("auth.bearer: %w", err)
		}
		to.Set("Authorization", "Bearer "+token)
	case a.User != "" || a.UserFile != "":
		user, password, err := a.User, "", error(nil)
		if a.UserFile != "" {
			if user, err = readSecret(c, a.UserFile); err != nil {
				return fmt.Errorf("auth.user: %w", err)
			}
		}
		if a.Password != "" {
			if password, err = readSecret(c, a.Password); err != nil {
				return fmt.Errorf("auth.password: %w", err)
			}
		}
		to.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(user+":"+password)))
	}
	return nil
}

// readSecret reads a file with a key, which others than its owner and group may not read.
func readSecret(c *config.Config, name string) (string, error) {
	name = c.FromHome(name)
	data, err := atomicfile.ReadRegular(name, cli.MaxFile)
	if err != nil {
		return "", fmt.Errorf("%w; write the key into this file", err)
	}
	if err := config.RefuseReadable(name); err != nil {
		return "", err
	}
	text := strings.TrimSpace(string(data))
	switch {
	case text == "":
		return "", fmt.Errorf("%s is empty; write the key into it", name)
	case strings.ContainsAny(text, "\r\n"):
		return "", fmt.Errorf("%s has more than one line; write the key alone into it", name)
	}
	return text, nil
}

// A PreviewRequest says what to preview, and in which form.
type PreviewRequest struct {
	What        string // a file, an address, or the name of a declared source
	Preset      string
	Declaration string // file
}

// PreviewOf returns the form and the content to preview. c may be nil where there is no installation. Errors are
// [cli.WrongUse], or about the file.
func PreviewOf(ctx context.Context, c *config.Config, r PreviewRequest) (*source.Source, mirror.FetchedFile, error) {
	form, err := formOf(r)
	if err != nil {
		return nil, nil, err
	}
	if declared := declaredAs(c, r.What); declared != nil {
		if form.Format == "" && r.Declaration == "" {
			form = declared
		}
		a, err := accessOf(c, declared)
		if err != nil {
			return nil, nil, cli.WrongUsef("source %q: %w", declared.Name, err)
		}
		content, err := declared.Origin(a).Fetch(ctx, "")
		return form, content, err
	}
	if mirror.IsURL(r.What) && (r.Preset != "" || r.Declaration != "") {
		at := *form // asked as it is declared, at this address
		at.URL, at.Path = r.What, ""
		a, err := accessOf(cmp.Or(c, &config.Config{}), &at)
		if err != nil {
			return nil, nil, cli.WrongUse{Err: err}
		}
		content, err := at.Origin(a).Fetch(ctx, "")
		return &at, content, err
	}
	content, err := ReadContent(ctx, r.What)
	return form, content, err
}

// declaredAs returns the declared source of a name; nil if there is none, or a file of that name.
func declaredAs(c *config.Config, name string) *source.Source {
	if c == nil {
		return nil
	}
	if _, err := os.Stat(name); err == nil {
		return nil
	}
	sources, _, err := Sources(c)
	if err != nil {
		return nil
	}
	for _, s := range sources {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// formOf returns the source that says how to read; one without a form if that is to be recognised.
func formOf(r PreviewRequest) (*source.Source, error) {
	switch {
	case r.Preset != "" && r.Declaration != "":
		return nil, cli.WrongUsef("name --preset or --declaration, not both")
	case r.Preset != "":
		if s := source.Preset(r.Preset); s != nil {
			return s, nil
		}
		return nil, cli.WrongUsef("preset %q is unknown; %s", r.Preset, cmp.Or(yamlfile.DidYouMean(r.Preset, source.PresetNames()), "custom-misp source list --presets shows them"))
	case r.Declaration != "":
		data, err := cli.ReadNamed(r.Declaration)
		if err != nil {
			return nil, cli.WrongUse{Err: err}
		}
		sources, faults := source.Load(source.File{Name: r.Declaration, Data: data})
		switch {
		case len(faults) > 0:
			return nil, cli.WrongUse{Err: faults}
		case len(sources) != 1:
			return nil, cli.WrongUsef("%s declares %d sources; a preview needs one", r.Declaration, len(sources))
		}
		return sources[0], nil
	}
	return &source.Source{}, nil
}

// ReadContent opens a file, or fetches an address.
func ReadContent(ctx context.Context, what string) (mirror.FetchedFile, error) {
	s := source.Source{Name: what}
	a := mirror.Access{Place: what, UserAgent: userAgent()}
	if mirror.IsURL(what) {
		a.Shown = source.MaskURL(what)
		// A server of TAXII answers to nothing else, and others with what they have.
		a.Headers = http.Header{"Accept": {source.TAXIIType + ", */*;q=0.8"}}
	}
	content, err := s.Origin(a).Fetch(ctx, "")
	if err != nil && !mirror.IsURL(what) {
		return nil, cli.WrongUse{Err: err}
	}
	return content, err
}
