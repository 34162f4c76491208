package backtest

import (
	"cmp"
	"math/rand/v2"
	"testing"
)

// TestTopIsBounded counts far more keys than are kept. Frequent ones stay, and no number is too low by more than short, nor ever too
// high.
func TestTopIsBounded(t *testing.T) {
	t.Parallel()
	const most = 100
	list := newTop[int, string](most)
	truth := map[int]int{}
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test
	for range 200_000 {
		key := int(r.ExpFloat64() * 40) // few keys are frequent
		if r.IntN(3) == 0 {
			key = 1000 + r.IntN(50_000) // many are not
		}
		truth[key]++
		row, fresh := list.add(key, 1)
		if fresh != (*row == "") {
			t.Fatalf("key %d is fresh %v, and its row %q", key, fresh, *row)
		}
		*row = "seen"
		if len(list.rows) > most {
			t.Fatalf("%d keys are kept", len(list.rows))
		}
	}
	if list.short == 0 {
		t.Error("nothing was forgotten")
	}
	for key, c := range list.rows {
		if c.number > truth[key] || c.number+list.short < truth[key] {
			t.Errorf("key %d was counted %d times, at most %d too low, and is there %d times", key, c.number, list.short, truth[key])
		}
	}
	for key, n := range truth {
		if list.rows[key] == nil && n > list.short {
			t.Errorf("key %d is forgotten, and there %d times, more than %d", key, n, list.short)
		}
	}
	if keys := list.sorted(cmp.Compare[int]); list.rows[keys[0]].number < list.rows[keys[1]].number {
		t.Error("the keys are not in order")
	}
}

// TestTopIsExact counts as many keys as are kept.
func TestTopIsExact(t *testing.T) {
	t.Parallel()
	list := newTop[int, struct{}](3)
	for i := range 9 {
		list.add(i%3, i)
	}
	if list.short != 0 || len(list.rows) != 3 || list.rows[2].number != 15 {
		t.Errorf("%+v", list)
	}
	for i := range 5 { // all are counted equally: half of them stay
		list.add(100+i, 1)
	}
	if list.short == 0 || len(list.rows) > 3 || list.rows[2] == nil {
		t.Errorf("%+v", list)
	}
}
