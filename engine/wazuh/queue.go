package wazuh

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"custom-misp/engine/enrich"
)

// Places of the queue socket below Wazuh's home directory.
const (
	QueuePath    = "queue/sockets/queue" // since 4.2
	OldQueuePath = "queue/ossec/queue"   // 4.0 and 4.1
)

// defaultQueue is the socket of a manager in Wazuh's usual home directory.
const defaultQueue = "/var/ossec/" + QueuePath

// defaultTimeout bounds the wait for space in a full queue.
const defaultTimeout = 2 * time.Second

// maxDatagram is what analysisd reads of a datagram, in bytes. The kernel drops the rest silently.
const maxDatagram = 65_535

// location is what analysisd writes into alerts.json as the location of our events. [IsEnrichment] and rule 100620
// recognise them by it.
const location = "misp"

// Bounds of the header, in bytes. With them it has less than 600 bytes, of the 8,192 that analysisd decodes, and it fits into
// a datagram together with an event of [enrich.MaxEvent].
const (
	maxID   = 8   // of an agent's id: Wazuh gives and accepts no longer one
	maxName = 128 // of an agent's name, which can have as many characters, and of its address; the rest is cut
)

// Queue is the socket on which analysisd receives events. It implements [enrich.Sink]. The zero value is the queue of a
// manager in /var/ossec. Its methods may be called at the same time.
type Queue struct {
	// Path is the socket; empty for /var/ossec/queue/sockets/queue.
	Path string
	// PlainHeader leaves colons in the header unescaped, for managers before 4.4, which know no escape. IPv6 addresses
	// are not sent to them.
	PlainHeader bool
	// Timeout bounds the wait for space in a full queue; 0 for two seconds.
	Timeout time.Duration
}

// Send writes one datagram. The error is an [enrich.Trouble]: analysisd not running, no permission, queue full.
// Success means that the kernel accepted the datagram; analysisd confirms nothing.
func (q *Queue) Send(ctx context.Context, e enrich.Enrichment) error {
	event, err := e.JSON()
	if err != nil {
		return err
	}
	datagram := "1:" + header(e.Agent, q.PlainHeader) + ":" + string(event)
	if len(datagram) > maxDatagram {
		return q.trouble(fmt.Errorf("event of %d bytes is longer than the %d that analysisd reads", len(datagram), maxDatagram), "")
	}
	timeout := q.Timeout
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	deadline := time.Now().Add(timeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unixgram", q.path())
	if err != nil {
		return q.dialTrouble(err)
	}
	defer conn.Close() //nolint:errcheck // a datagram socket buffers nothing
	if err := conn.SetWriteDeadline(deadline); err != nil {
		return q.dialTrouble(err)
	}
	defer context.AfterFunc(ctx, func() { _ = conn.SetWriteDeadline(time.Now()) })() // the caller no longer waits
	if _, err := conn.Write([]byte(datagram)); err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return q.trouble(errors.New("the queue stayed full"), "see why analysisd does not keep up: ossec.log, wazuh-analysisd.state")
		}
		return q.dialTrouble(err)
	}
	return nil
}

func (q *Queue) path() string { return cmp.Or(q.Path, defaultQueue) }

func (q *Queue) dialTrouble(err error) error {
	cause, remedy := err, ""
	if op, ok := errors.AsType[*net.OpError](err); ok {
		cause = op.Err
	}
	if sys, ok := errors.AsType[*os.SyscallError](cause); ok {
		cause = sys.Err
	}
	switch {
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ECONNREFUSED):
		remedy = "is wazuh-analysisd running? start it, or set wazuh.queue to where its socket is"
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		remedy = "run as user wazuh, or as a member of the group wazuh"
	}
	return q.trouble(cause, remedy)
}

func (q *Queue) trouble(err error, remedy string) error {
	return &enrich.Trouble{
		Code: enrich.CodeQueue, Err: fmt.Errorf("send to %s: %w", q.path(), err), Remedy: remedy,
	}
}

// header names the agent of an event: "misp" for the manager, "[id] (name) ip->misp" for an agent. Of the latter, a rule sees
// "(name) ip->misp" as the location, and alerts.json has what follows the first >.
func header(a enrich.Agent, plain bool) string {
	if len(a.ID) > maxID || strings.Trim(a.ID, "0") == "" || strings.Trim(a.ID, "0123456789") != "" {
		// Not an agent of Wazuh: the manager, no agent, or the id of a log shipper in an exported alert.
		return location
	}
	name := a.Name
	if name == "" {
		name = a.ID
	}
	ip := a.IP
	if ip == "" || plain && strings.Contains(ip, ":") {
		ip = "any"
	}
	ip = strings.ReplaceAll(cleanName(ip), " ", "_") // rule 100620 accepts no blank there
	from := fmt.Sprintf("[%s] (%s) %s", a.ID, cleanName(name), ip)
	if plain {
		from = strings.ReplaceAll(from, ":", "_")
	} else {
		from = strings.ReplaceAll(strings.ReplaceAll(from, "|", "||"), ":", "|:")
	}
	return from + "->" + location
}

// cleanName replaces what would end a part of the header: analysisd reads the name up to the first ) and the location
// behind the first >.
func cleanName(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == ')' || r == '>' || r < 0x20 || r == 0x7f {
			return '_'
		}
		return r
	}, strings.ToValidUTF8(s, "_"))
	if len(s) > maxName {
		s = strings.ToValidUTF8(s[:maxName], "")
	}
	return s
}
