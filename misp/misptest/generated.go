package misptest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

const (
	// GeneratedPerEvent is how many attributes a generated event has; the last may have fewer.
	GeneratedPerEvent = 1000
	// GeneratedTime is the timestamp of the first generated event and its attributes, in seconds since 1970. Each
	// further event is an hour younger, and each was published a minute after.
	GeneratedTime = 1700000000

	generatedUUID  = "00000000-0000-4000-8000-"
	generatedEvent = "00000000-0000-4000-9000-"
)

// NewGenerated starts a server with n attributes that are the same each time, and cost next to nothing until they
// are asked for; it stops with the test. Attribute i, from 0, has the type and value of [Generated], the uuid of
// [GeneratedUUID] and the id i+1, and belongs to event i/[GeneratedPerEvent], with the uuid of
// [GeneratedEventUUID]. All live, are to_ids, and are of published events with the tag tlp:green.
func NewGenerated(t T, n int) *Server {
	t.Helper()
	s := &Server{t: t, attributes: make([]*attribute, 0, n)}
	all := make([]attribute, n)
	for i := range all {
		if i%GeneratedPerEvent == 0 {
			s.loadGenerated(i / GeneratedPerEvent)
		}
		e := s.events[len(s.events)-1]
		e.count++
		all[i] = attribute{id: i + 1, number: i, event: e, timestamp: e.timestamp, toIDs: true}
		s.attributes = append(s.attributes, &all[i])
	}
	s.last.attribute = n
	s.start()
	return s
}

func (s *Server) loadGenerated(k int) {
	at := GeneratedTime + k*3600
	s.load(map[string]any{
		"uuid": GeneratedEventUUID(k), "info": "generated event " + strconv.Itoa(k), "published": true, "date": "2023-11-14",
		"timestamp": strconv.Itoa(at), "publish_timestamp": strconv.Itoa(at + 60), "threat_level_id": "2", "analysis": "2",
		"Orgc": map[string]any{"name": "GENERATED", "uuid": generatedEvent + "ffffffffffff"},
		"Tag":  []any{map[string]any{"name": "tlp:green"}},
	})
}

// GeneratedUUID returns the uuid of generated attribute i.
func GeneratedUUID(i int) string { return fmt.Sprintf("%s%012x", generatedUUID, i) }

// GeneratedEventUUID returns the uuid of generated event k.
func GeneratedEventUUID(k int) string { return fmt.Sprintf("%s%012x", generatedEvent, k) }

// generatedNumber returns the number of a generated attribute, -1 for the uuid of another.
func generatedNumber(uuid string) int {
	hexed, ok := strings.CutPrefix(uuid, generatedUUID)
	n, err := strconv.ParseUint(hexed, 16, 48)
	if !ok || err != nil {
		return -1
	}
	return int(n) //nolint:gosec // 48 bits
}

// Generated returns the type and value of generated attribute i. Types take turns, and no value comes twice:
//
//	i%6  type             value
//	0    ip-dst           2620:4f:8000:: and i in its last 32 bits
//	1    domain           host-<i>.example
//	2    sha256           SHA-256 of "generated <i>"
//	3    url              http://host-<i>.example/login
//	4    filename|sha256  file-<i>.exe and the same digest
//	5    md5              the first half of the same digest
func Generated(i int) (typ, value string) {
	n := strconv.Itoa(i)
	switch i % 6 {
	case 0:
		address := netip.MustParseAddr("2620:4f:8000::").As16()
		for k := range 4 {
			address[15-k] = byte(i >> (8 * k)) //nolint:gosec // the lowest byte is what is meant
		}
		return "ip-dst", netip.AddrFrom16(address).String()
	case 1:
		return "domain", "host-" + n + ".example"
	case 3:
		return "url", "http://host-" + n + ".example/login"
	}
	sum := sha256.Sum256([]byte("generated " + n))
	digest := hex.EncodeToString(sum[:])
	switch i % 6 {
	case 2:
		return "sha256", digest
	case 4:
		return "filename|sha256", "file-" + n + ".exe|" + digest
	}
	return "md5", digest[:32]
}

// generated returns the fields of a generated attribute, as if it had come from a feed.
func (a *attribute) generated() map[string]any {
	typ, value := Generated(a.number)
	fields := withDefaults(map[string]any{
		"category": "External analysis", "type": typ, "value": value, "to_ids": true, "uuid": GeneratedUUID(a.number),
		"timestamp": strconv.FormatInt(a.timestamp, 10),
	}, attributeDefaults)
	fields["id"], fields["event_id"], fields["object_id"] = strconv.Itoa(a.id), a.event.fields["id"], "0"
	return fields
}

// appendGenerated writes the same as JSON, up to where the event follows. It has code of its own, as it is
// what a server with many attributes does all day.
func (a *attribute) appendGenerated(b []byte) []byte {
	typ, value := Generated(a.number)
	b = append(b, `{"id":"`...)
	b = strconv.AppendInt(b, int64(a.id), 10)
	b = append(append(b, `","event_id":"`...), textOf(a.event.fields["id"])...)
	b = append(append(b, `","object_id":"0","object_relation":null,"category":"External analysis","type":"`...), typ...)
	b = append(append(b, `","to_ids":true,"uuid":"`...), GeneratedUUID(a.number)...)
	b = strconv.AppendInt(append(b, `","timestamp":"`...), a.timestamp, 10)
	b = append(b, `","distribution":"5","sharing_group_id":"0","comment":"","deleted":false,"disable_correlation":false,`...)
	b = append(append(b, `"first_seen":null,"last_seen":null,"value":"`...), value...)
	return append(b, '"')
}
