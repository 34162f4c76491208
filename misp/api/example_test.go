package api_test

import (
	"context"
	"errors"
	"fmt"
	"testing/fstest"
	"time"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/misp/api"
	"custom-misp/misp/misptest"
)

// campaign is what the MISP of the examples knows.
var campaign = fstest.MapFS{"1.json": {Data: []byte(`{"Event": {
	"uuid": "5f9b0c5e-0001-4000-8000-000000000001", "info": "Phishing campaign", "published": true,
	"threat_level_id": "1", "Orgc": {"name": "EXAMPLE-CERT"}, "Tag": [{"name": "tlp:green"}],
	"Attribute": [
		{"uuid": "5f9b0c5e-0001-4000-8000-000000000002", "type": "domain", "value": "login.example.net", "to_ids": true},
		{"uuid": "5f9b0c5e-0001-4000-8000-000000000003", "type": "ip-dst|port", "value": "192.31.196.24|8443", "to_ids": true},
		{"uuid": "5f9b0c5e-0001-4000-8000-000000000004", "type": "md5", "value": "0f0e0d0c0b0a09080706050403020100", "deleted": true}
	]}}`)}}

// A look-up of what an alert contains: one question for all of it.
func Example() {
	server := misptest.New(misptest.InExample{}, campaign)
	defer server.Close()
	client, err := api.New(api.Config{URL: server.URL, Key: misptest.Key})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	matches, err := client.Lookup(context.Background(), []engine.Observable{
		{Type: "hostname", Value: "www.login.example.net"},
		{Type: "ip-src", Value: "192.31.196.24"},
		{Type: "domain", Value: "harmless.example.org"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, m := range matches {
		fmt.Printf("%s: %s, %s %s in %q, threat level %s\n",
			m.Observable.Value, m.Kind, m.Attribute.Type, m.Attribute.Value, m.Attribute.Event.Info, m.Attribute.Event.ThreatLevel)
	}
	fmt.Println(len(server.Requests()), "question")
	// Output:
	// www.login.example.net: parent-domain, domain login.example.net in "Phishing campaign", threat level high
	// 192.31.196.24: exact, ip-dst|port 192.31.196.24|8443 in "Phishing campaign", threat level high
	// 1 question
}

// What goes wrong is an enrich.Trouble: what happened, what to do, and a code to decide by.
func ExampleClient_Lookup_trouble() {
	server := misptest.New(misptest.InExample{}, campaign)
	defer server.Close()
	server.Set(misptest.Condition{Refused: misptest.UserDisabled})
	client, err := api.New(api.Config{URL: server.URL, Key: misptest.Key})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	_, err = client.Lookup(context.Background(), []engine.Observable{{Type: "domain", Value: "login.example.net"}})
	if trouble, ok := errors.AsType[*enrich.Trouble](err); ok {
		fmt.Println(trouble.Code)
		fmt.Println(trouble.Remedy)
	}
	// Output:
	// misp_unauthorized
	// check the key: still valid, not bound to other addresses, its user enabled and with a role that may use the API
}

// All that MISP has, as a mirror reads it: the list of events, and then their attributes.
func ExampleClient_Read() {
	server := misptest.New(misptest.InExample{}, campaign)
	defer server.Close()
	server.SetNow(time.Date(2026, 10, 5, 8, 0, 0, 0, time.UTC))
	client, err := api.New(api.Config{URL: server.URL, Key: misptest.Key})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	events, clock, err := client.Events(context.Background(), api.EventList{Counted: true})
	fmt.Println(clock.Format(time.RFC3339), err)
	for _, e := range events {
		fmt.Println("event", e.ID, e.Attributes)
		for reading, more := (api.Reading{Events: []string{e.ID}, Deleted: true}), true; more; {
			page, err := client.Read(context.Background(), reading)
			if err != nil {
				fmt.Println(err)
				return
			}
			for _, row := range page.Rows {
				fmt.Println(row.Type, row.Value, row.Live)
			}
			reading, more = page.Next, page.More
		}
	}
	// Output:
	// 2026-10-05T08:00:00Z <nil>
	// event 1 2
	// domain login.example.net true
	// ip-dst|port 192.31.196.24|8443 true
	// md5 0f0e0d0c0b0a09080706050403020100 false
}

// An event as MISP exports it.
func ExampleDecodeEvent() {
	event, attributes, err := api.DecodeEvent(context.Background(), campaign["1.json"].Data)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(event.Info)
	for a := range attributes {
		fmt.Println(a.Type, a.Value, a.Tags)
	}
	// Output:
	// Phishing campaign
	// domain login.example.net [tlp:green]
	// ip-dst|port 192.31.196.24|8443 [tlp:green]
}

// What MISP says of itself, and of what the key may do.
func ExampleClient_About() {
	server := misptest.New(misptest.InExample{}, campaign)
	defer server.Close()
	client, err := api.New(api.Config{URL: server.URL, Key: misptest.Key})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	about, err := client.About(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(about.Version, about.Role.Name, about.Sighting)
	// Output: 2.5.8 Read Only false
}
