package wazuh

import (
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

// Places of the queue socket under Wazuh's home directory.
const (
	QueuePath    = "queue/sockets/queue" // from 4.2 on
	OldQueuePath = "queue/ossec/queue"   // 4.0 and 4.1
)

// maxDatagram is what analysisd reads of a datagram, in bytes; the kernel drops the rest without a word.
const maxDatagram = 65_535

// location is what analysisd writes into alerts.json as the location of our events. [IsEnrichment] and rule 100620 know them by it.
const location = "misp"

// maxName is how much of an agent's name is sent; Wazuh allows 128 characters.
const maxName = 128

// Queue is the socket on which analysisd takes events. It implements [enrich.Sink].
type Queue struct {
	// Path of the socket.
	Path string
	// PlainHeader leaves colons in the header as they are, for managers before 4.4, which know no escape. They
	// cannot be told an IPv6 address.
	PlainHeader bool
	// Timeout bounds the wait for a place in a full queue; 0 for two seconds.
	Timeout time.Duration
}

// Send writes one datagram. The error is an [enrich.Trouble]: analysisd not running, no permission, queue full.
// Success means that the kernel took the datagram; analysisd confirms nothing.
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
		timeout = 2 * time.Second
	}
	deadline := time.Now().Add(timeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unixgram", q.Path)
	if err != nil {
		return q.dialTrouble(err)
	}
	defer conn.Close() //nolint:errcheck // a datagram socket holds nothing back
	if err := conn.SetWriteDeadline(deadline); err != nil {
		return q.dialTrouble(err)
	}
	defer context.AfterFunc(ctx, func() { _ = conn.SetWriteDeadline(time.Now()) })() // nobody waits any more
	if _, err := conn.Write([]byte(datagram)); err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return q.trouble(errors.New("the queue stayed full"), "see why analysisd does not keep up: ossec.log, wazuh-analysisd.state")
		}
		return q.dialTrouble(err)
	}
	return nil
}

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
		Code: enrich.CodeQueue, Err: fmt.Errorf("send to %s: %w", q.Path, err), Remedy: remedy,
	}
}

// header says whose event it is: "misp" for the manager's own, "[id] (name) ip->misp" for an agent's. Of the latter a rule
// sees "(name) ip->misp" as the location, and alerts.json has what follows the first >.
func header(a enrich.Agent, plain bool) string {
	if strings.Trim(a.ID, "0") == "" || strings.Trim(a.ID, "0123456789") != "" {
		// Not an agent of Wazuh's: the manager, none, or the id of a log shipper in an exported alert.
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
	ip = strings.ReplaceAll(cleanName(ip), " ", "_") // rule 100620 takes no blank there
	from := fmt.Sprintf("[%s] (%s) %s", a.ID, cleanName(name), ip)
	if plain {
		from = strings.ReplaceAll(from, ":", "_")
	} else {
		from = strings.ReplaceAll(strings.ReplaceAll(from, "|", "||"), ":", "|:")
	}
	return from + "->" + location
}

// cleanName replaces what the header cannot carry: analysisd takes the name up to the first ) and the location
// from the first >.
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
