package enrich_test

import (
	"testing"

	"custom-misp/engine/enrich/spool"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// put puts entries into a spool.
func put(t testing.TB, s *spool.Dir, kind spool.Kind, texts ...string) {
	t.Helper()
	for _, text := range texts {
		_, err := s.Put(kind, []byte(text))
		must(t, err)
	}
}

// open opens a spool.
func open(t testing.TB, s *spool.Dir) *spool.Consumer {
	t.Helper()
	c, err := s.Open()
	if err != nil || c == nil {
		t.Fatalf("open: %v, %v", c, err)
	}
	return c
}
