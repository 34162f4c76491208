package source

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"
	"go.yaml.in/yaml/v4"

	"custom-misp/engine"
	"custom-misp/engine/yamlfile"
	"custom-misp/misp"
	"custom-misp/misp/mirror"
)

// IsFeed reports whether a source is a feed in MISP format, with a manifest and a file for each event, and not one file.
// isDirectory says what a path is.
func (s *Source) IsFeed(isDirectory bool) bool {
	if s.Format != FormatMISP {
		return false
	}
	if s.Path != "" {
		return isDirectory
	}
	address, _, _ := strings.Cut(s.URL, "?")
	last := address[strings.LastIndexByte(address, '/')+1:]
	return !strings.Contains(last, ".")
}

// IsWarninglist reports whether the entries of a source are values that are well known, and no indicators.
func (s *Source) IsWarninglist() bool { return s.Format == FormatWarninglist }

// Origin returns the source as one of the mirror. The access has all secrets in it.
func (s *Source) Origin(a mirror.Access) *mirror.Declared {
	kind := mirror.KindSource
	switch {
	case s.list:
		kind = mirror.KindCSV
	case s.IsWarninglist():
		kind = mirror.KindWarninglist
	}
	f := mirror.DeclaredFile{
		Name: s.Name, Kind: kind, Access: a, Shrink: s.Shrink, Form: s.form,
		Measure: func(ctx context.Context, file mirror.File, now time.Time) (mirror.Measured, error) {
			m, err := s.Measure(ctx, file, now)
			if err != nil {
				return nil, err
			}
			return measuredFile{m, file}, nil
		},
	}
	if s.Collects() {
		f.Collect, f.CollectForm = s.collect, s.collectForm()
	}
	return mirror.NewDeclared(f)
}

// A measuredFile is a file that was measured, for the mirror.
type measuredFile struct {
	*Measure
	file Content
}

// Total implements mirror.Measured.
func (m measuredFile) Total() int { return m.Report.Total() }

// Failure implements mirror.Measured.
func (m measuredFile) Failure() string { return m.Report.Failure() }

// Each implements mirror.Measured. A URL without scheme becomes two, and what is never looked up becomes none.
func (m measuredFile) Each(ctx context.Context, do func(misp.Attribute) error) error {
	return m.Measure.Each(ctx, m.file, func(in Indicator) error {
		if in.unused == isTooWide || in.unused == isNotCompared {
			return nil
		}
		a := in.Attribute
		if !in.whole {
			// When a source saw a value last is not when the value ends, as it is in MISP.
			a.LastSeen = ""
		}
		if engine.Type(a.Type).Family() == typeHost.Family() && !in.whole {
			a.Type = string(m.source.hostType(in))
		}
		if in.Reference != "" && !strings.Contains(a.Comment, in.Reference) {
			a.Comment = strings.TrimPrefix(a.Comment+" "+in.Reference, " ")
		}
		if len(in.Values) == 0 {
			return do(a)
		}
		for _, v := range in.Values {
			a.Value = v
			if err := do(a); err != nil {
				return err
			}
		}
		return nil
	})
}

// hostType returns the type of a name by how it is looked up: domain for one that stands for all below it, hostname for one
// that is exact. Names of plain lists and hosts files are exact; elsewhere a name that can be registered stands for all
// below it.
func (s *Source) hostType(in Indicator) engine.Type {
	switch {
	case in.Subdomains:
		return typeDomain
	case s.list:
		return engine.Type(in.Type)
	case s.names == exactNames, s.Format == FormatLines, s.Format == FormatHosts, s.Format == FormatRPZ, s.Format == FormatUnbound:
		return typeHost
	}
	return engine.Type(in.Type)
}

// fingerprint changes when a declaration does.
func fingerprint(d declaredSource) string {
	var h xxhash.Digest
	h.Reset()
	hashOf(&h, reflect.ValueOf(d))
	return fmt.Sprintf("%016x", h.Sum64())
}

// hashOf adds what is declared, and not where.
func hashOf(h *xxhash.Digest, v reflect.Value) {
	switch what := v.Interface().(type) {
	case yamlfile.Scalar:
		_, _ = h.WriteString(what.Value + "\x00")
		return
	case *yaml.Node:
		hashNode(h, what)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				hashOf(h, v.Field(i))
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			hashOf(h, v.Index(i))
		}
		_, _ = h.WriteString("]")
	case reflect.Pointer:
		if v.IsNil() {
			_, _ = h.WriteString("-")
			return
		}
		hashOf(h, v.Elem())
	default:
		_, _ = fmt.Fprint(h, v.Interface())
	}
}

func hashNode(h *xxhash.Digest, n *yaml.Node) {
	if n == nil {
		_, _ = h.WriteString("-")
		return
	}
	_, _ = h.WriteString(n.Value + "\x00")
	for _, c := range n.Content {
		hashNode(h, c)
	}
}
