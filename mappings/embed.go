// Package mappings holds the built-in mapping files: one a product, its tests beside it.
package mappings

import "embed"

// FS holds the built-in mapping files and their tests.
//
//go:embed *.yaml
var FS embed.FS

// Outline tells what the mappings need of an alert, so that only the files that it can reach are read. It is made from
// the files: go test ./cmd/custom-misp -run Generated -update
//
//go:embed outline.txt
var Outline string

// Vocabulary has the names of groups, decoders and fields that the mappings and the alerts of their tests have, for lint. It
// is made from them: go test ./cmd/custom-misp -run Generated -update
//
//go:embed vocabulary.txt
var Vocabulary string
