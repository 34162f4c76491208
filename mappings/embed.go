// Package mappings holds the built-in mapping files: one a product, its tests beside it.
package mappings

import "embed"

// FS holds the built-in mapping files and their tests.
//
//go:embed *.yaml
var FS embed.FS
