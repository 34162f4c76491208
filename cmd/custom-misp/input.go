package main

import (
	"errors"
	"io"
	"os"

	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/engine/enrich"
	"custom-misp/engine/wazuh"
)

// eachText calls do with the text of every alert of a file, or of standard input for "-"; see [wazuh.EachText]. watch,
// if not nil, is put between the file and its reader.
func eachText(name string, s cli.Streams, watch func(io.Reader) io.Reader, do func(at wazuh.Position, text []byte, err error) error) error {
	r := s.In
	if name == "-" {
		name = "standard input"
	} else {
		f, err := cli.OpenNamed(name)
		if p, ok := errors.AsType[*os.PathError](err); ok {
			err = p.Err // the position has the name
		}
		if err != nil {
			return do(wazuh.Position{File: name, Item: -1}, nil, err)
		}
		defer f.Close() //nolint:errcheck // only read
		r = f
	}
	if watch != nil {
		r = watch(r)
	}
	return wazuh.EachText(name, r, do)
}

// eachAlert calls do with every alert of a file. What is not an alert is passed as an error at its place, and the rest
// goes on; an error of do ends it.
func eachAlert(name string, s cli.Streams, do func(where string, a enrich.Alert, err error) error) error {
	return eachText(name, s, nil, func(at wazuh.Position, text []byte, err error) error {
		var a enrich.Alert
		if err == nil {
			a, err = enrich.ParseAlert(text)
		}
		return do(at.String(), a, err)
	})
}
