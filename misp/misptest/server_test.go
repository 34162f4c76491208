package misptest

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

// two events: the first published and of one organisation, the second a draft of another.
var twoEvents = fstest.MapFS{
	"1.json": {Data: []byte(`{"Event":{"uuid":"e1","published":true,"threat_level_id":"1","Orgc":{"name":"CERT-A"},"Tag":[{"name":"tlp:red"}],"Attribute":[
		{"uuid":"a1","type":"domain","value":"bad.example","to_ids":true,"timestamp":"30","Tag":[{"name":"tlp:amber"}]},
		{"uuid":"a2","type":"filename|md5","value":"Invoice.doc|0f0e0d0c0b0a09080706050403020100","to_ids":true,"timestamp":"20"},
		{"uuid":"a3","type":"ip-dst|port","value":"192.31.196.24|8443","to_ids":false,"timestamp":"10"}]}}`)},
	"2.json": {Data: []byte(`{"Event":{"uuid":"e2","published":false,"Orgc":{"name":"CERT-B"},"Attribute":[
		{"uuid":"b4","type":"ip-dst","value":"192.31.196.0/24","to_ids":true,"timestamp":"40"},
		{"uuid":"b5","type":"ip-src","value":"2620:4f:8000::bad","to_ids":true,"timestamp":"50"},
		{"uuid":"b6","type":"user-agent","value":"a||b","to_ids":true,"timestamp":"60"},
		{"uuid":"b7","type":"domain","value":"gone.example","to_ids":true,"deleted":true,"timestamp":"70"}]}}`)},
}

// send sends a question with the key, and returns the answer with its body read.
func send(t *testing.T, s *Server, page, body string) ([]byte, *http.Response) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+page, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", Key)
	r.Header.Set("Accept", "application/json")
	r.Header.Set("Content-Type", "application/json; charset=utf-8")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return data, resp
}

// ask returns the status of an answer, the ids of its attributes, and the count in its header.
func ask(t *testing.T, s *Server, body string) (status int, ids, count string) {
	t.Helper()
	data, resp := send(t, s, "/attributes/restSearch", body)
	var answer struct {
		Response struct{ Attribute []struct{ ID string } }
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		t.Fatalf("%s: %v", data, err)
	}
	for _, a := range answer.Response.Attribute {
		ids += a.ID
	}
	return resp.StatusCode, ids, resp.Header.Get("X-Result-Count")
}

// TestSearch asks in the forms that a real MISP was asked in, and expects what it was seen to make of them.
func TestSearch(t *testing.T) {
	t.Parallel()
	s := New(t, twoEvents)
	for _, tt := range []struct{ name, body, ids, count string }{
		{"nothing", `{}`, "123456", "6"},
		{"miss", `{"value":"nobody.example"}`, "", "0"},
		{"case, blanks", `{"value":"  BAD.example "}`, "1", "1"},
		{"accents, width, invisible", `{"value":["b\u00e1d.example"," \u200b","bad.ex\uff41mple"]}`, "1456", "4"},
		{"NUL and blanks at the end", `{"value":["bad.example \u0000"]}`, "1", "1"},
		{"first half", `{"value":"invoice.DOC"}`, "2", "1"},
		{"second half", `{"value":"8443"}`, "3", "1"},
		{"both halves joined", `{"value":"192.31.196.24|8443"}`, "", "0"},
		{"in a network", `{"value":"192.31.196.7"}`, "", "0"},
		{"network", `{"value":"192.31.196.0/24"}`, "4", "1"},
		{"IPv6 written out", `{"value":"2620:004F:8000:0:0:0:0:0BAD"}`, "5", "1"},
		{"IPv4 in IPv6", `{"value":"::ffff:192.31.196.24"}`, "", "0"},
		{"dot at the end", `{"value":"bad.example."}`, "", "0"},
		{"wildcard at the end", `{"value":"b_d%"}`, "1", "1"},
		{"wildcard under OR", `{"value":{"OR":["%.doc"]}}`, "2", "1"},
		{"wildcard, backslash", `{"value":"b\\ad%"}`, "1", "1"},
		{"no wildcard in the middle", `{"value":"b%d.example"}`, "", "0"},
		{"_ alone is none", `{"value":"b_d.example"}`, "", "0"},
		{"or in a text", `{"value":"x||bad.example"}`, "1", "1"},
		{"and in a text means or", `{"value":"x&&bad.example"}`, "1", "1"},
		{"or in a text splits what is stored", `{"value":"a||b"}`, "", "0"},
		{"or in a list is literal", `{"value":["a||b"]}`, "6", "1"},
		{"not in a text", `{"value":"!bad.example"}`, "23456", "5"},
		{"not in a list", `{"value":["!bad.example","8443","bad.example"]}`, "3", "1"},
		{"not under OR is literal", `{"value":{"OR":["!bad.example"]}}`, "", "0"},
		{"not nothing", `{"value":"!"}`, "123456", "6"},
		{"empty list", `{"value":[]}`, "123456", "6"},
		{"empty OR", `{"value":{"OR":[]}}`, "123456", "6"},
		{"blanks", `{"value":"   "}`, "123456", "6"},
		{"zero", `{"value":"0"}`, "123456", "6"},
		{"false", `{"value":false}`, "123456", "6"},
		{"true", `{"value":true}`, "", "0"},
		{"empty item finds all without a second half", `{"value":["","8443"]}`, "13456", "5"},
		{"empty item under OR", `{"value":{"OR":[""]}}`, "1456", "4"},
		{"number", `{"value":[8443]}`, "3", "1"},
		{"nested list", `{"value":[["bad.example"]]}`, "", "0"},
		{"unknown operator", `{"value":{"XX":["bad.example"]}}`, "", "0"},
		{"type does not imply composites", `{"type":["md5","ip-dst"]}`, "4", "1"},
		{"not a type", `{"type":"!domain"}`, "23456", "5"},
		{"empty type", `{"type":""}`, "123456", "6"},
		{"to_ids 0", `{"to_ids":0}`, "3", "1"},
		{"to_ids 1", `{"to_ids":1}`, "12456", "5"},
		{"to_ids false", `{"to_ids":false}`, "123456", "6"},
		{"to_ids false as text is true", `{"to_ids":"false"}`, "12456", "5"},
		{"to_ids both", `{"to_ids":[0,1]}`, "123456", "6"},
		{"published 1", `{"published":1}`, "123", "3"},
		{"published 0", `{"published":0}`, "456", "3"},
		{"published false", `{"published":false}`, "123456", "6"},
		{"deleted", `{"deleted":1}`, "7", "1"},
		{"deleted only", `{"deleted":"only"}`, "7", "1"},
		{"deleted too", `{"deleted":["0","1"]}`, "1234567", "7"},
		{"deleted false", `{"deleted":false}`, "123456", "6"},
		{"tag of the event", `{"tags":["TLP:red"]}`, "123", "3"},
		{"tag with a wildcard", `{"tags":"%amber"}`, "1", "1"},
		{"not a tag", `{"tags":["!tlp:amber"]}`, "23456", "5"},
		{"all tags", `{"tags":{"AND":["tlp:red","tlp:amber"]}}`, "1", "1"},
		{"none of the tags", `{"tags":{"NOT":["tlp:red"]}}`, "456", "3"},
		{"organisation", `{"org":"CERT-B"}`, "456", "3"},
		{"threat level", `{"threat_level_id":1}`, "123", "3"},
		{"event", `{"eventid":"2"}`, "456", "3"},
		{"full page counts one more", `{"limit":2}`, "12", "3"},
		{"last page, full", `{"limit":3,"page":2}`, "456", "4"},
		{"last page, not full", `{"limit":4,"page":"2"}`, "56", "2"},
		{"empty page counts one", `{"limit":2,"page":9}`, "", "1"},
		{"page 0", `{"limit":2,"page":0}`, "12", "3"},
		{"page without a limit", `{"page":2}`, "123456", "6"},
		{"limit 0", `{"limit":0,"page":2}`, "123456", "6"},
		{"limit with a fraction", `{"limit":2.5}`, "12", "3"},
		{"order", `{"order":"Attribute.id desc"}`, "654321", "6"},
		{"order by time", `{"order":"Attribute.timestamp asc","limit":3}`, "321", "4"},
		{"unknown order", `{"order":"nosuch desc"}`, "123456", "6"},
	} {
		status, ids, count := ask(t, s, tt.body)
		if diff := cmp.Diff([]any{http.StatusOK, tt.ids, tt.count}, []any{status, ids, count}); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
	for body, want := range map[string]int{`{"limit":"abc"}`: 500, `{"returnFormat":"nosuch"}`: 404, `{"value":`: 405} {
		if status, _, _ := ask(t, s, body); status != want {
			t.Errorf("%s: status %d, want %d", body, status, want)
		}
	}
}

// TestRender asks for the same attribute with and without the options that change what an answer has.
func TestRender(t *testing.T) {
	t.Parallel()
	s := New(t, twoEvents)
	for option, want := range map[string]string{
		"": `{"Tag":[{"colour":"#3399ff","id":"1","is_galaxy":false,"local":false,"name":"tlp:amber","numerical_value":null}],
			"Event":{"distribution":"1","id":"1","info":"","org_id":"1","orgc_id":"1","publish_timestamp":"0","uuid":"e1"}}`,
		"includeEventTags": `{"Tag":[{"colour":"#3399ff","id":"1","is_galaxy":false,"local":false,"name":"tlp:amber","numerical_value":null},
				{"colour":"#3399ff","id":"1","inherited":1,"name":"tlp:red","numerical_value":null}],
			"Event":{"distribution":"1","id":"1","info":"","org_id":"1","orgc_id":"1","publish_timestamp":"0","uuid":"e1"}}`,
		"includeContext": `{"Tag":[{"colour":"#3399ff","id":"1","is_galaxy":false,"local":false,"name":"tlp:amber","numerical_value":null}],
			"Event":{"Orgc":{"id":"1","local":true,"name":"CERT-A","uuid":""},"Tag":[{"colour":"#3399ff","id":"1","local":false,"name":"tlp:red","numerical_value":null}],
				"analysis":"0","date":"","distribution":"1","extends_uuid":"","id":"1","info":"","org_id":"1","orgc_id":"1","publish_timestamp":"0","published":true,
				"sharing_group_id":"0","threat_level_id":"1","timestamp":"0","uuid":"e1"}}`,
	} {
		data, err := json.Marshal(s.attributes[0].render(map[string]any{option: 1.0}))
		if err != nil {
			t.Fatal(err)
		}
		var all, expected map[string]any
		if err := json.Unmarshal(data, &all); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(want), &expected); err != nil {
			t.Fatal(err)
		}
		got := map[string]any{"Tag": all["Tag"], "Event": all["Event"]}
		if diff := cmp.Diff(expected, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", option, diff)
		}
	}
}
