//go:build race

package api_test

// slowdown is how much longer a test may take where the race detector watches it.
const slowdown = 10
