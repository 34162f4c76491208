package engine

import "slices"

// Ignores returns the entry of the site by which a value is never asked for, in lower case; empty if there is none.
func (e *Engine) Ignores(o Observable) string {
	if err, ok := e.ignore.check(o.Type, o.Value).(errIgnored); ok { //nolint:errorlint // as check returns it
		return err.by
	}
	return ""
}

// IgnoredValues returns how many values were not picked since the site ignores them, by all engines with the same [Ignore].
func (e *Engine) IgnoredValues() uint64 {
	if e.ignore == nil {
		return 0
	}
	return e.ignore.count.Load()
}

// drops is check for a value that is picked: it counts those that are ignored.
func (ig *Ignore) drops(t Type, value string) error {
	err := ig.check(t, value)
	if err != nil {
		ig.count.Add(1)
	}
	return err
}

// Covers reports whether ig names a value: itself, or a network or domain that it is in.
func (ig *Ignore) Covers(o Observable) bool { return ig.check(o.Type, o.Value) != nil }

// SameForm returns all types of hashes that have as many digits as t, t first; t alone if it is not a hash.
func (t Type) SameForm() []Type {
	types := []Type{t}
	n, ok := hashLengths[t]
	if !ok {
		return types
	}
	for other, length := range hashLengths {
		if length == n && other != t {
			types = append(types, other)
		}
	}
	slices.Sort(types[1:])
	return types
}
