package enrich_test

import (
	"errors"
	"testing"

	"custom-misp/engine/enrich"
)

func TestInOrder(t *testing.T) {
	const n = 10_000
	produced := 0
	produce := func(yield func(int) error) error {
		for i := range n {
			produced++
			if err := yield(i); err != nil {
				return err
			}
		}
		return nil
	}
	next := 0
	err := enrich.InOrder(8, produce, func(i int) int { return 2 * i }, func(i int) error {
		if i != 2*next {
			t.Fatalf("got %d, want %d", i, 2*next)
		}
		next++
		return nil
	})
	if err != nil || next != n {
		t.Errorf("%d results, %v", next, err)
	}

	full := errors.New("full")
	consumed := 0
	produced = 0
	err = enrich.InOrder(8, produce, func(i int) int { return i }, func(int) error {
		if consumed++; consumed == 100 {
			return full
		}
		return nil
	})
	if !errors.Is(err, full) || consumed != 100 || produced == n {
		t.Errorf("%d consumed of %d before %v", consumed, produced, err)
	}

	torn := errors.New("torn")
	consumed = 0
	err = enrich.InOrder(8, func(yield func(int) error) error { _ = yield(1); return torn }, func(i int) int { return i }, func(int) error { consumed++; return nil })
	if !errors.Is(err, torn) || consumed != 1 {
		t.Errorf("%d consumed, %v", consumed, err)
	}
}
