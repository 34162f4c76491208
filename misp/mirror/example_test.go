package mirror_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing/fstest"

	"custom-misp/engine"
	"custom-misp/misp/api"
	"custom-misp/misp/mirror"
	"custom-misp/misp/misptest"
)

// campaign is what the MISP of the examples knows.
var campaign = fstest.MapFS{"1.json": {Data: []byte(`{"Event": {
	"uuid": "5f9b0c5e-0001-4000-8000-000000000001", "info": "Phishing campaign", "published": true,
	"Attribute": [
		{"uuid": "5f9b0c5e-0001-4000-8000-000000000002", "type": "domain", "value": "login.example.net", "to_ids": true},
		{"uuid": "5f9b0c5e-0001-4000-8000-000000000003", "type": "ip-dst", "value": "192.31.196.0/24", "to_ids": true}
	]}}`)}}

// A mirror of a MISP server: synced, looked up in, and synced again.
func Example() {
	server := misptest.New(misptest.InExample{}, campaign)
	defer server.Close()
	client, err := api.New(api.Config{URL: server.URL, Key: misptest.Key})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	dir, err := os.MkdirTemp("", "mirror")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()

	syncer := &mirror.Syncer{Dir: dir}
	defer syncer.Close()
	origin := &mirror.Server{Client: client, URL: server.URL}
	if _, err := syncer.Sync(context.Background(), origin, false); err != nil {
		fmt.Println(err)
		return
	}
	m := mirror.Open(dir, []string{mirror.ServerName}, engine.Filter{})
	defer m.Close()
	lookup := func() {
		matches, err := m.Lookup(context.Background(), []engine.Observable{
			{Type: "ip-src", Value: "192.31.196.7"}, {Type: "url", Value: "http://login.example.net/x"}, {Type: "domain", Value: "new.example.net"},
		})
		for _, found := range matches {
			fmt.Println(found.Observable.Value, found.Kind, found.Attribute.Value)
		}
		fmt.Println(len(matches), "matches", err)
	}
	lookup()

	server.AddAttribute("5f9b0c5e-0001-4000-8000-000000000001", `{"type": "domain", "value": "new.example.net"}`)
	state, err := syncer.Sync(context.Background(), origin, false)
	fmt.Println(state.Attributes, "attributes", err)
	fmt.Println("anything new:", m.Refresh())
	lookup()
	// Output:
	// 192.31.196.7 network 192.31.196.0/24
	// http://login.example.net/x url-host login.example.net
	// 2 matches <nil>
	// 3 attributes <nil>
	// anything new: true
	// 192.31.196.7 network 192.31.196.0/24
	// http://login.example.net/x url-host login.example.net
	// new.example.net exact new.example.net
	// 3 matches <nil>
}

// A list of values in a file, as another origin of the same mirror would be.
func ExampleNewList() {
	dir, err := os.MkdirTemp("", "mirror")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	file := filepath.Join(dir, "list.csv")
	if err := os.WriteFile(file, []byte("value,comment\nlogin.example.net,from a ticket\n192.31.196.0/24,\nnonsense,\n"), 0o600); err != nil {
		fmt.Println(err)
		return
	}
	syncer := &mirror.Syncer{Dir: filepath.Join(dir, "mirror")}
	defer syncer.Close()
	state, err := syncer.Sync(context.Background(), mirror.NewList("tickets", file, ""), false)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(state.Attributes, "attributes;", state.Failure)

	m := mirror.Open(syncer.Dir, []string{"tickets"}, engine.Filter{})
	defer m.Close()
	for a, err := range m.All() {
		if err != nil {
			panic(err)
		}
		fmt.Println(a.Origin, a.Type, a.Value, a.Comment)
	}
	// Output:
	// 2 attributes; 1 lines hold no indicator, the first is line 4
	// tickets hostname login.example.net from a ticket
	// tickets ip-dst 192.31.196.0/24
}

// Before the first sync there is nothing to look up in, and the error says what to do.
func ExampleMirror_Usable() {
	m := mirror.Open("no/such/directory", []string{mirror.ServerName}, engine.Filter{})
	defer m.Close()
	fmt.Println(m.Usable())
	// Output: there is no mirror of misp yet: not synced yet; custom-misp sync makes it, and so does custom-misp serve
}
