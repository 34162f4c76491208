package engine

// lintMapping warns of what compiles, but can never pick or picks by accident.
func (r reader) lintMapping(d declaredMapping, m *mapping) {
}
