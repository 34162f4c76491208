package source

import (
	"custom-misp/engine"
)

// A column is what a sample says about a column.
type column struct {
	name    string // in the file; empty without a header
	filled  int
	hits    int // cells that are indicators by their form
	named   int // cells that fit the type of the name
	words   int // cells that are words for types
	dates   int
	types   map[engine.Family]int
	hosts   map[string]int // of URLs
	values  map[string]bool
	typ     engine.Type // by its name
	context bool
}

func (c *column) ratio(n int) int {
	if c.filled == 0 {
		return 0
	}
	return 100 * n / c.filled
}

// isReference reports whether a column of URLs leads to pages of one site about different indicators.
func (c *column) isReference() bool {
	if c.types["url"] < 3 || c.types["url"] < c.hits {
		return false
	}
	for _, n := range c.hosts {
		if 10*n >= 9*c.types["url"] {
			return true
		}
	}
	return false
}
