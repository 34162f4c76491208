// Package mappings holds the built-in mapping files: one a product, its tests beside it.
package mappings

import "embed"

// FS holds the built-in mapping files and their tests.
//
//go:embed *.yaml
var FS embed.FS

// Pack has the mappings in the form in which the program reads them, so that no file is read for an alert. It is made from the
// files: go test ./cmd/custom-misp -run Generated -update
//
//go:embed pack.txt
var Pack string

// Vocabulary has the names of groups, decoders and fields that the mappings and the alerts of their tests have, for lint. It
// is made from them: go test ./cmd/custom-misp -run Generated -update
//
//go:embed vocabulary.txt
var Vocabulary string
