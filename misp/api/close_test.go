package api_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"custom-misp/engine"
	"custom-misp/misp/api"
	"custom-misp/misp/misptest"
)

// TestCloseThenAsk asks again with a client that was closed, as a question does that was begun before a reload: its
// connection is not kept.
func TestCloseThenAsk(t *testing.T) {
	t.Parallel()
	answers := misptest.New(t, os.DirFS("../../testdata/feed"))
	closed := make(chan struct{}, 10)
	server := httptest.NewUnstartedServer(answers.Config.Handler)
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateClosed {
			closed <- struct{}{}
		}
	}
	server.Start()
	defer server.Close()
	client, err := api.New(api.Config{URL: server.URL, Key: misptest.Key})
	if err != nil {
		t.Fatal(err)
	}
	ask := func() {
		t.Helper()
		if _, err := client.Lookup(t.Context(), []engine.Observable{{Type: "hostname", Value: "gate.bad-cdn.example"}}); err != nil {
			t.Fatal(err)
		}
	}
	ask()
	client.Close()
	ask()
	for i := range 2 {
		select {
		case <-closed:
		case <-time.After(10 * time.Second):
			t.Fatalf("%d of 2 connections were closed", i)
		}
	}
}
