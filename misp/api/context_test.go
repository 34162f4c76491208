package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"custom-misp/misp"
)

// steps is a context whose time is over after it was looked at so many times.
type steps struct {
	context.Context
	left int
}

// Err implements context.Context.
func (s *steps) Err() error {
	if s.left--; s.left < 0 {
		return context.DeadlineExceeded
	}
	return nil
}

// TestEachLoopEnds has the time run out within each of the loops that read an answer: a loop that did not look at the
// context would read on to the end.
func TestEachLoopEnds(t *testing.T) {
	t.Parallel()
	const n = 10_000
	times := func(s string) string { return strings.Repeat(s+",", n-1) + s }
	answer := func(attributes string) func(context.Context) error {
		data := []byte(`{"response":{"Attribute":[` + attributes + `]}}`)
		return func(ctx context.Context) error {
			_, err := decodeAnswer(ctx, data, func(misp.Attribute, bool) error { return nil })
			return err
		}
	}
	event := func(members string) func(context.Context) error {
		data := []byte(`{"Event":{` + members + `}}`)
		return func(ctx context.Context) error {
			_, attributes, err := DecodeEvent(ctx, data)
			if err != nil {
				return err
			}
			for range attributes {
				continue
			}
			return ctx.Err()
		}
	}
	for name, read := range map[string]func(context.Context) error{
		"attributes":           answer(strings.Repeat(`{"type":"x"},`, pageSize-1) + `{"type":"x"}`),
		"members":              answer(`{"type":"x",` + times(`"x":1`) + `}`),
		"members of an event":  answer(`{"type":"x","Event":{` + times(`"x":1`) + `}}`),
		"tags":                 answer(`{"type":"x","Tag":[` + times(`{"name":"a"}`) + `]}`),
		"tags of an event":     answer(`{"type":"x","Event":{"Tag":[` + times(`{"name":"a"}`) + `]}}`),
		"warninglists":         answer(`{"type":"x","warnings":[` + times(`{"warninglist_name":"a"}`) + `]}`),
		"scores":               answer(`{"type":"x","decay_score":[` + times(`{"score":1}`) + `]}`),
		"event":                event(times(`"x":1`)),
		"event's tags":         event(`"Tag":[` + times(`{}`) + `]`),
		"event's attributes":   event(`"Attribute":[` + times(`{}`) + `]`),
		"event's objects":      event(`"Object":[` + times(`{}`) + `]`),
		"objects' attributes":  event(`"Object":[{"Attribute":[` + times(`{}`) + `]}]`),
		"attribute of a event": event(`"Attribute":[{` + times(`"x":1`) + `}]`),
		"list of events": func(ctx context.Context) error {
			_, err := decodeIndex(ctx, []byte(`[`+times(`{"uuid":"u"}`)+`]`), indexPage)
			return err
		},
	} {
		for _, left := range []int{0, 1, 10, pageSize - 10} {
			ctx := &steps{t.Context(), left}
			if err := read(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: %v after %d steps", name, err, left)
			}
			if over := -ctx.left; over > 20 {
				t.Errorf("%s: the context was looked at %d times after its end", name, over)
			}
		}
		if err := read(t.Context()); err != nil {
			t.Errorf("%s, with time: %v", name, err)
		}
	}
}

// TestEndWhileAnswerIsJudged has the time run out after an answer was read, when it is decided whether to ask again.
// TestMain would find the timer of the request if the answer were not closed.
func TestEndWhileAnswerIsJudged(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"response":{"Attribute":[]}}`))
	}))
	defer server.Close()
	c, err := New(Config{URL: server.URL, Key: "key", Timeout: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	failed := 0
	for left := range 20 {
		if _, err := c.post(&steps{t.Context(), left}, "x", nil); err != nil {
			failed++
		}
	}
	if failed == 0 || failed == 20 {
		t.Errorf("%d of 20 failed", failed)
	}
}

// TestReadingTrouble says that there was an answer.
func TestReadingTrouble(t *testing.T) {
	t.Parallel()
	c := Client{host: "misp.example.org"}
	for _, why := range []error{c.searchTrouble(context.DeadlineExceeded), c.indexTrouble(fmt.Errorf("x: %w", context.DeadlineExceeded), indexPage)} {
		if got := why.Error(); got != "MISP at misp.example.org answered with more than could be read in time; see what MISP answers; timeout sets how long we read" {
			t.Error(got)
		}
		if trouble := c.readingTrouble(why); trouble == nil || !trouble.Answered {
			t.Errorf("not answered: %v", why)
		}
	}
}
