package misptest

import (
	"net/http"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestTimes asks for times in the forms that a real MISP was asked in (the cases ts_…, order_…, publish_ts_… and
// wrong_filter_… of the recording). The time is noon; attributes 1 to 4 are 3 days, 2 hours, 30 minutes and 1
// second old, and their events were published when they were made.
func TestTimes(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC) // 1795521600
	s := New(t, fstest.MapFS{
		"1.json": {Data: []byte(`{"Event":{"timestamp":"1795262400","publish_timestamp":"1795262400","Attribute":[{"timestamp":"1795262400"}]}}`)},
		"2.json": {Data: []byte(`{"Event":{"timestamp":"1795514400","publish_timestamp":"1795514400","Attribute":[{"timestamp":"1795514400"}]}}`)},
		"3.json": {Data: []byte(`{"Event":{"timestamp":"1795519800","publish_timestamp":"1795519800","Attribute":[{"timestamp":"1795519800"}]}}`)},
		"4.json": {Data: []byte(`{"Event":{"timestamp":"1795521599","publish_timestamp":"1795521599","Attribute":[{"timestamp":"1795521599"}]}}`)},
	})
	s.SetNow(noon)
	for _, tt := range []struct{ name, filter, ids string }{
		{"number", `1795519800`, "43"},
		{"a second later", `1795519801`, "4"},
		{"number as text", `"1795519800"`, "43"},
		{"minutes", `"30m"`, "43"},
		{"hours", `"1h"`, "43"},
		{"days", `"7d"`, "4321"},
		{"seconds", `"1s"`, "4"},
		{"date", `"2026-11-24"`, "432"},
		{"date and time", `"2026-11-24T11:30:00Z"`, "43"},
		{"future", `1795521601`, ""},
		{"before all time", `-5`, "4321"},
		{"zero", `0`, "1234"},
		{"zero as text", `"0"`, "1234"},
		{"nothing", `""`, "1234"},
		{"null", `null`, "1234"},
		{"span", `["1d","1h"]`, "2"},
		{"span with its ends", `[1795514400,"1795519800"]`, "32"},
		{"span, the other way round", `["1h","1d"]`, "2"},
		{"span of unreadable", `["zzz","1h"]`, ""},
		{"unreadable", `"zzz"`, ""},
		{"unit alone", `"h"`, ""},
	} {
		for _, name := range []string{"timestamp", "attribute_timestamp", "publish_timestamp", "last", "event_timestamp"} {
			if _, ids, _ := ask(t, s, `{"`+name+`":`+tt.filter+`}`); ids != tt.ids {
				t.Errorf("%s %s: %q, want %q", tt.name, name, ids, tt.ids)
			}
		}
	}
}

// TestTimedPages walks through what a filter on time finds: without an order the rows come in one of the
// database's own, which holds over the pages here, and by id only if that is asked for.
func TestTimedPages(t *testing.T) {
	t.Parallel()
	s := New(t, oneEvent)
	for _, tt := range []struct{ name, body, ids, count string }{
		{"own order", `{"timestamp":1}`, "7654321", "7"},
		{"own order, first page", `{"timestamp":1,"limit":3}`, "765", "4"},
		{"own order, last page", `{"timestamp":1,"limit":3,"page":3}`, "1", "1"},
		{"page beyond the end", `{"timestamp":1,"limit":3,"page":4}`, "", "1"},
		{"by id", `{"timestamp":1,"order":"Attribute.id asc"}`, "1234567", "7"},
		{"by id, second page", `{"publish_timestamp":1,"limit":4,"page":2,"order":"Attribute.id asc"}`, "56", "2"},
		{"by id, backwards", `{"timestamp":1,"order":"Attribute.id desc"}`, "7654321", "7"},
		{"by time", `{"timestamp":1,"order":"Attribute.timestamp asc"}`, "1234567", "7"},
		{"unknown order", `{"timestamp":1,"order":"nosuch asc"}`, "7654321", "7"},
		{"limit 0 is none", `{"timestamp":1,"limit":0,"order":"Attribute.id asc"}`, "1234567", "7"},
		{"nothing found, no limit", `{"timestamp":"zzz"}`, "", "0"},
		{"events in a list", `{"eventid":["2"]}`, "7", "1"},
		{"numbers of events", `{"eventid":[1,2]}`, "1234567", "7"},
	} {
		status, ids, count := ask(t, s, tt.body)
		if diff := cmp.Diff([]any{http.StatusOK, tt.ids, tt.count}, []any{status, ids, count}); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

// TestRealTime leaves the clock alone, and then sets it back to that.
func TestRealTime(t *testing.T) {
	t.Parallel()
	s := New(t, fstest.MapFS{})
	for range 2 {
		before := time.Now().Truncate(time.Second)
		_, header := post(t, s, "/attributes/restSearch", `{}`)
		date, err := http.ParseTime(header.Get("Date"))
		if err != nil || date.Before(before) || date.After(time.Now()) {
			t.Errorf("Date: %s, %v", header.Get("Date"), err)
		}
		s.SetNow(at(0))
		s.SetNow(time.Time{})
	}
}
