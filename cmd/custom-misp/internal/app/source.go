package app

import (
	"context"
	"os"

	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/cmd/custom-misp/internal/config"
	"custom-misp/engine/yamlfile"
	"custom-misp/misp/source"
)

// A Content is a file that has been fetched, and is removed by Close if it was.
type Content struct {
	*os.File
	size int64
}

// Size implements source.Content.
func (c *Content) Size() int64 { return c.size }

// A PreviewRequest says what to preview, and in which form.
type PreviewRequest struct {
	What        string // a file, an address, or the name of a declared source
	Preset      string
	Declaration string // file
	Config      func() (*config.Config, error)
}

// PreviewOf returns the form and the content to preview. Errors are [cli.WrongUse], or about the file.
func PreviewOf(ctx context.Context, r PreviewRequest) (*source.Source, *Content, error) {
	form, err := formOf(r)
	if err != nil {
		return nil, nil, err
	}
	content, err := ReadContent(ctx, r.What, r.Config)
	return form, content, err
}

func formOf(r PreviewRequest) (*source.Source, error) {
	switch {
	case r.Preset != "" && r.Declaration != "":
		return nil, cli.WrongUsef("name --preset or --declaration, not both")
	case r.Preset != "":
		if s := source.Preset(r.Preset); s != nil {
			return s, nil
		}
		return nil, cli.WrongUsef("preset %q is unknown; %s", r.Preset, yamlfile.DidYouMean(r.Preset, source.PresetNames()))
	case r.Declaration != "":
		data, err := cli.ReadYAML(r.Declaration)
		if err != nil {
			return nil, cli.WrongUse{Err: err}
		}
		sources, faults := source.Load(source.File{Name: r.Declaration, Data: data})
		switch {
		case len(faults) > 0:
			return nil, cli.WrongUse{Err: faults}
		case len(sources) != 1:
			return nil, cli.WrongUsef("%s declares %d sources; preview needs one", r.Declaration, len(sources))
		}
		return sources[0], nil
	}
	return &source.Source{}, nil
}

// ReadContent opens a file.
func ReadContent(_ context.Context, what string, _ func() (*config.Config, error)) (*Content, error) {
	f, err := os.Open(what) //nolint:gosec // the file that the user names
	if err != nil {
		return nil, cli.WrongUse{Err: err}
	}
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return &Content{f, st.Size()}, nil
}
