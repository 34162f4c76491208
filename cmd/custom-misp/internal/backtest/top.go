package backtest

import (
	"cmp"
	"maps"
	"slices"
)

// A top counts by key in bounded memory. Once there are too many keys it forgets the half that was counted least. A key that comes
// again begins anew, so that its number may be too low, by short at most.
type top[K comparable, R any] struct {
	most  int
	rows  map[K]*counted[R]
	short int
}

// counted is a number, and what else is known of its key.
type counted[R any] struct {
	number int
	row    R
}

func newTop[K comparable, R any](most int) top[K, R] {
	return top[K, R]{most: most, rows: map[K]*counted[R]{}}
}

// add adds a number to that of a key, and returns what else is known of it; fresh if nothing was.
func (t *top[K, R]) add(k K, number int) (row *R, fresh bool) {
	c := t.rows[k]
	if c == nil {
		if len(t.rows) >= t.most {
			t.forget()
		}
		c, fresh = &counted[R]{}, true
		t.rows[k] = c
	}
	c.number += number
	return &c.row, fresh
}

// forget forgets the half that was counted least.
func (t *top[K, R]) forget() {
	numbers := make([]int, 0, len(t.rows))
	for _, c := range t.rows {
		numbers = append(numbers, c.number)
	}
	slices.Sort(numbers)
	left := (len(numbers) + 1) / 2
	limit := numbers[left-1]
	t.short += limit
	maps.DeleteFunc(t.rows, func(_ K, c *counted[R]) bool {
		if c.number > limit || left == 0 {
			return false
		}
		left--
		return true
	})
}

// sorted returns the keys, those that were counted most first, and equal ones as compare has them.
func (t *top[K, R]) sorted(compare func(a, b K) int) []K {
	return slices.SortedFunc(maps.Keys(t.rows), func(a, b K) int {
		return cmp.Or(cmp.Compare(t.rows[b].number, t.rows[a].number), compare(a, b))
	})
}
