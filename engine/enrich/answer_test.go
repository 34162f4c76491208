package enrich_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/misp"
)

// TestAnswerBytes adds attributes that alone take too much memory: each value keeps one, with short texts and its label of
// TLP.
func TestAnswerBytes(t *testing.T) {
	var asked []engine.Observable
	for i := range 400 {
		asked = append(asked, engine.Observable{Type: "domain", Value: fmt.Sprintf("v%d.example", i)})
	}
	found := enrich.NewAnswer(asked, engine.Filter{}, time.Now())
	for i, o := range asked {
		r := found.Finding(i, enrich.Key{Relation: o.Related()[0]})
		for n := range 2 {
			tags := []string{strings.Repeat("x", 2000), "tlp:red"}
			found.Add(r, &misp.Attribute{UUID: fmt.Sprint(i, n), Type: "domain", Value: o.Value, ToIDs: n == 1, Tags: tags, Comment: strings.Repeat("c", 200_000)})
		}
	}
	matches := found.Matches()
	held, of := 0, map[string]bool{}
	for _, m := range matches {
		held += len(m.Attribute.Comment)
		of[m.Observable.Value] = true
		if misp.TLP(m.Attribute.Tags) != "red" {
			t.Fatalf("tags %.100q", m.Attribute.Tags)
		}
	}
	if len(of) != len(asked) || held > 33<<20 {
		t.Errorf("%d values, %d bytes", len(of), held)
	}
	if first := matches[0]; !first.More || !first.Attribute.ToIDs {
		t.Errorf("first match: flagged %t, more %t", first.Attribute.ToIDs, first.More)
	}
}

// crowded knows every name but good.example by so many attributes. It notes how many matches its answers had.
type crowded struct {
	each    int
	answers []int
}

// Lookup implements enrich.Lookup.
func (c *crowded) Lookup(_ context.Context, observables []engine.Observable) ([]enrich.Match, error) {
	found := enrich.NewAnswer(observables, engine.Filter{}, time.Now())
	for i, o := range observables {
		n := c.each
		if o.Value == "good.example" {
			n = 1
		}
		r := found.Finding(i, enrich.Key{Relation: o.Related()[0]})
		for n := range n {
			found.Add(r, &misp.Attribute{UUID: fmt.Sprint(o.Value, n), Type: "hostname", Value: o.Value, Event: misp.Event{ID: "1"}})
		}
	}
	matches := found.Matches()
	c.answers = append(c.answers, len(matches))
	return matches, nil
}

// TestCrowdedBatch has alerts with very many matches in one batch with another one: that is answered with the batch, and
// they are looked up alone, later, within the bound.
func TestCrowdedBatch(t *testing.T) {
	e, err := engine.Load(engine.Source{Name: "m.yaml", Data: []byte(scanYAML)})
	must(t, err)
	sink, known := &collected{}, &crowded{each: 4000}
	q := newQueueing(t, t.TempDir(), chance{})
	q.Engine, q.Sink, q.Faults.Sink, q.Circuit.Asked = e, sink, sink, known
	good := []byte(`{"id":"good","rule":{"level":3,"id":"1"},"data":{"text":"good.example","note":""}}`)
	source := &batches{journal: &journal{}, texts: [][][]byte{{scanned("a", 40, ""), scanned("b", 40, ""), good}}, err: io.EOF}
	s := enrich.Stream{Source: source, Pipeline: func() *enrich.QueueingPipeline { return q }}
	if err := s.Run(t.Context()); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if len(sink.events) != 1 || gjson.Get(sink.events[0], "misp.source.alert_id").String() != "good" {
		t.Fatalf("events %.300q", sink.events)
	}
	if depth, err := q.Spool.Depth(); err != nil || depth.Alerts != 2 {
		t.Errorf("spool %+v, %v", depth, err)
	}
	q.DrainTime = time.Minute
	q.Drain(t.Context())
	truncated := 0
	for _, event := range sink.events[1:] {
		if m := gjson.Get(event, "misp"); m.Get("truncated").String() == "true" && m.Get("match_count").Int() == enrich.MaxAnswer/40 {
			truncated++
		}
	}
	if truncated != 80 {
		t.Errorf("%d of %d events say that matches were left out", truncated, len(sink.events))
	}
	for _, n := range known.answers {
		if n > enrich.MaxAnswer {
			t.Errorf("an answer with %d matches", n)
		}
	}
}

// TestRememberedBytes remembers answers up to a number of bytes.
func TestRememberedBytes(t *testing.T) {
	known := &crowded{each: 1000}
	b := enrich.NewBatch(t.Context(), known, enrich.BatchLimits{Entries: 1000, Bytes: 4 << 20, Hit: time.Hour, Miss: time.Hour})
	defer b.Close()
	for i := range 40 {
		_, err := b.Lookup(t.Context(), []engine.Observable{{Type: "hostname", Value: fmt.Sprintf("h%d.example", i)}})
		must(t, err)
	}
	remembered := 0
	for i := range 40 {
		if _, ok := b.Known(engine.Observable{Type: "hostname", Value: fmt.Sprintf("h%d.example", i)}); ok {
			remembered++
		}
	}
	if remembered == 0 || remembered > 8 {
		t.Errorf("%d answers of about 600 KB are remembered", remembered)
	}
}
