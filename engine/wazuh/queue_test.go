package wazuh_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"custom-misp/engine/enrich"
	"custom-misp/engine/wazuh"
)

// listen opens a socket like analysisd's in a directory short enough for the address of a unix socket.
func listen(t *testing.T) (*net.UnixConn, string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "queue")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "queue")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn, path
}

func receive(t *testing.T, conn *net.UnixConn) string {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1<<17)
	n, err := conn.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:n])
}

func TestQueueHeader(t *testing.T) {
	const body = `:{"integration":"misp","misp":{"value":"v"}}`
	tests := []struct {
		name  string
		agent enrich.Agent
		plain bool
		want  string
	}{
		{"manager", enrich.Agent{ID: "000", Name: "wazuh-manager"}, false, "1:misp"},
		{"no agent", enrich.Agent{}, false, "1:misp"},
		{"id of a log shipper", enrich.Agent{ID: "3e201657-df9c-4c0d", Name: "shipper"}, false, "1:misp"},
		{"id longer than Wazuh's", enrich.Agent{ID: "123456789", Name: "ws-07"}, false, "1:misp"},
		{"id of 9,000 digits", enrich.Agent{ID: strings.Repeat("7", 9000), Name: "ws-07"}, false, "1:misp"},
		{"longest id", enrich.Agent{ID: "12345678", Name: "ws-07"}, false, "1:[12345678] (ws-07) any->misp"},
		{"agent", enrich.Agent{ID: "004", Name: "ws-07", IP: "10.20.4.7"}, false, "1:[004] (ws-07) 10.20.4.7->misp"},
		{"agent without address", enrich.Agent{ID: "004", Name: "ws-07"}, false, "1:[004] (ws-07) any->misp"},
		{"agent without name", enrich.Agent{ID: "004"}, false, "1:[004] (004) any->misp"},
		{"IPv6", enrich.Agent{ID: "004", Name: "ws-07", IP: "fe80::1"}, false, "1:[004] (ws-07) fe80|:|:1->misp"},
		{"IPv6 before 4.4", enrich.Agent{ID: "004", Name: "ws-07", IP: "fe80::1"}, true, "1:[004] (ws-07) any->misp"},
		{"bar and colon in the name", enrich.Agent{ID: "004", Name: "p|ipe:colon", IP: "any"}, false, "1:[004] (p||ipe|:colon) any->misp"},
		{"colon in the name before 4.4", enrich.Agent{ID: "004", Name: "a:b"}, true, "1:[004] (a_b) any->misp"},
		{"name that would end the header", enrich.Agent{ID: "004", Name: "a (b) > c\n"}, false, "1:[004] (a (b_ _ c_) any->misp"},
		{"address that no rule would take", enrich.Agent{ID: "004", Name: "ws-07", IP: "10.20.4.7 (old)>"}, false, "1:[004] (ws-07) 10.20.4.7_(old__->misp"},
		{"overlong name", enrich.Agent{ID: "004", Name: strings.Repeat("é", 100)}, false, "1:[004] (" + strings.Repeat("é", 64) + ") any->misp"},
		{"overlong name of another width", enrich.Agent{ID: "004", Name: "-" + strings.Repeat("é", 100)}, false, "1:[004] (-" + strings.Repeat("é", 63) + ") any->misp"},
		{"overlong address", enrich.Agent{ID: "004", Name: "ws-07", IP: strings.Repeat("1.", 5000)}, false, "1:[004] (ws-07) " + strings.Repeat("1.", 64) + "->misp"},
		{"name of NULs and bytes that are no text", enrich.Agent{ID: "004", Name: "a\x00\xffb\r"}, false, "1:[004] (a__b_) any->misp"},
	}
	conn, path := listen(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			q := wazuh.Queue{Path: path, PlainHeader: tt.plain}
			e := enrich.Enrichment{Agent: tt.agent, Body: enrich.Body{Value: "v"}}
			if err := q.Send(context.Background(), e); err != nil {
				t.Fatal(err)
			}
			if got := receive(t, conn); got != tt.want+body {
				t.Errorf("sent %q, want %q", got, tt.want+body)
			}
		})
	}
}

// TestQueueLongest sends the longest events with the longest header. analysisd reads 65,535 bytes of a datagram, and
// decodes a header into 8 KiB.
func TestQueueLongest(t *testing.T) {
	conn, path := listen(t)
	long := strings.Repeat(":", 300_000)
	agent := enrich.Agent{ID: "12345678", Name: long, IP: long}
	fields := map[string]string{}
	for i := range 40 { // as many as fit with what is left of each
		fields[strings.Repeat("k", i+1)] = strings.Repeat("\x01", 100_000)
	}
	for name, body := range map[string]enrich.Body{
		"comment": {Comment: strings.Repeat("x", 200_000), Value: "v"},
		"source":  {Value: long, Source: &enrich.Source{AlertID: long, Timestamp: long, RuleID: long, RuleDescription: long, Location: long}},
		"context": {Value: "v", Source: &enrich.Source{Context: fields}},
	} {
		t.Run(name, func(t *testing.T) {
			q := wazuh.Queue{Path: path}
			if err := q.Send(t.Context(), enrich.Enrichment{Agent: agent, Body: body}); err != nil {
				t.Fatal(err)
			}
			got := receive(t, conn)
			header, event, _ := strings.Cut(got, "->misp:")
			if len(got) > 65_535 || len(event) < 1000 || len(header) > 600 || !json.Valid([]byte(event)) {
				t.Errorf("datagram of %d bytes, header of %d, event of %d", len(got), len(header), len(event))
			}
		})
	}
}

func TestQueueTrouble(t *testing.T) {
	dir := t.TempDir()
	gone := filepath.Join(dir, "gone")
	stale, stalePath := listen(t)
	if err := stale.Close(); err != nil {
		t.Fatal(err)
	}
	_ = os.WriteFile(stalePath, nil, 0o600) // a file where the socket was
	for name, path := range map[string]string{"absent": gone, "refused": stalePath} {
		t.Run(name, func(t *testing.T) {
			q := wazuh.Queue{Path: path}
			err := q.Send(context.Background(), enrich.Enrichment{Body: enrich.Body{Value: "v"}})
			trouble, ok := errors.AsType[*enrich.Trouble](err)
			if !ok || trouble.Code != enrich.CodeQueue {
				t.Fatalf("error is %v", err)
			}
			if !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "is wazuh-analysisd running?") {
				t.Errorf("error %q names neither place nor remedy", err)
			}
		})
	}
}

// TestQueueZero checks that a queue without a path is that of the usual manager.
func TestQueueZero(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // nothing is sent, should there be a manager
	var q wazuh.Queue
	err := q.Send(ctx, enrich.Enrichment{Body: enrich.Body{Value: "v"}})
	if trouble, ok := errors.AsType[*enrich.Trouble](err); !ok || !strings.Contains(trouble.Error(), "send to /var/ossec/queue/sockets/queue: ") {
		t.Errorf("error is %v", err)
	}
}

// TestQueueFull fills the queue of a reader that never reads: Send has to give up at its deadline.
func TestQueueFull(t *testing.T) {
	_, path := listen(t)
	q := wazuh.Queue{Path: path, Timeout: 50 * time.Millisecond}
	e := enrich.Enrichment{Body: enrich.Body{Comment: strings.Repeat("x", 50_000)}}
	for range 10_000 {
		err := q.Send(context.Background(), e)
		if err == nil {
			continue
		}
		if !strings.Contains(err.Error(), "the queue stayed full") {
			t.Errorf("error is %v", err)
		}
		return
	}
	t.Error("the queue never became full")
}
