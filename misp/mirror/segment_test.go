package mirror

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash/crc32"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"custom-misp/engine"
	"custom-misp/misp"
)

// build writes a segment and opens it.
func build(t testing.TB, fill func(*builder)) (*segment, string) {
	t.Helper()
	dir := t.TempDir()
	name := filepath.Join(dir, "base-1.segment")
	b, err := newBuilder(name)
	must(t, err)
	fill(b)
	must(t, b.finish(context.Background(), begin))
	s, err := openSegment(context.Background(), name, maxSegment, true)
	must(t, err)
	t.Cleanup(s.release)
	if d := cmp.Diff([]string{"base-1.segment"}, files(t, dir)); d != "" {
		t.Errorf("files (-want +got):\n%s", d)
	}
	return s, name
}

func add(t testing.TB, b *builder, all ...misp.Attribute) {
	t.Helper()
	for _, a := range all {
		must(t, b.Add(a, ""))
	}
}

// attributes generates any attribute of a MISP, with texts of any kind.
func attributes() *rapid.Generator[misp.Attribute] {
	words := rapid.SliceOfNDistinct(rapid.StringN(0, 12, -1), 0, 4, rapid.ID[string])
	return rapid.Custom(func(t *rapid.T) misp.Attribute {
		draw := func(name string) string { return rapid.String().Draw(t, name) }
		typ := rapid.SampledFrom([]engine.Type{"text", "filename", "user-agent"}).Draw(t, "type")
		a := misp.Attribute{
			ID: draw("id"), UUID: rapid.OneOf(rapid.String(), rapid.Just(uuidOf("01")), rapid.Just("ABCDEFAB-0000-4000-8000-000000000001")).Draw(t, "uuid"),
			Type: string(typ), Category: draw("category"), Value: "x" + rapid.StringMatching(`[ -~é]{0,40}`).Draw(t, "value"), Comment: draw("comment"),
			ToIDs: rapid.Bool().Draw(t, "to_ids"), FirstSeen: draw("first_seen"), LastSeen: draw("last_seen"),
			Tags: words.Draw(t, "tags"), Warninglists: words.Draw(t, "warninglists"),
			Event: misp.Event{
				ID: draw("event id"), UUID: draw("event uuid"), Info: draw("info"), Org: draw("org"), OrgUUID: draw("org uuid"), Date: draw("date"),
				ThreatLevel: misp.ThreatLevel(rapid.IntRange(0, 1000).Draw(t, "level")), Analysis: misp.Analysis(rapid.IntRange(0, 1001).Draw(t, "analysis")),
				Published: rapid.Bool().Draw(t, "published"), Tags: words.Draw(t, "event tags"),
			},
		}
		if seconds := rapid.Int64Range(0, 1<<40).Draw(t, "timestamp"); seconds > 0 {
			a.Timestamp = time.Unix(seconds, 0).UTC()
		}
		return a
	})
}

// asStored returns an attribute as it has to come out of a segment: the same, with the tags of the event last.
func asStored(a misp.Attribute) misp.Attribute {
	a.Tags = a.OwnTags()
	return of(a, a.Event)
}

var sameAs = cmp.Options{cmpopts.EquateEmpty()}

func TestRecordRoundTrip(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rapid.Check(t, func(r *rapid.T) {
		name := filepath.Join(dir, "x.segment")
		want, events := writeAny(t, r, name)
		s, err := openSegment(context.Background(), name, maxSegment, true)
		must(t, err)
		defer s.release()
		got := map[uuid.UUID]misp.Attribute{}
		for in, err := range s.each() {
			must(t, err)
			got[in.id] = in.whole()
			if in.event.version != "v" || in.event.uuid != identify(in.event.UUID) {
				r.Fatalf("event %+v", in.event)
			}
		}
		if d := cmp.Diff(want, got, sameAs); d != "" {
			r.Fatalf("each (-want +got):\n%s", d)
		}
		for id, a := range want {
			finds(r, s, id, a)
		}
		sizes := 0
		for e, err := range s.events() {
			must(t, err)
			sizes += e.attributes
		}
		if sizes != len(want) || s.trailer.Attributes != len(want) || s.trailer.Events != events {
			r.Fatalf("%d in events, trailer %+v", sizes, s.trailer)
		}
		if _, known, err := s.find(uuid.New()); known || err != nil {
			r.Fatal("found what is not there")
		}
	})
}

// writeAny writes a segment of any attributes. It returns them as they have to come out again, and the number of
// events that they are in.
func writeAny(t *testing.T, r *rapid.T, name string) (want map[uuid.UUID]misp.Attribute, inEvents int) {
	want = map[uuid.UUID]misp.Attribute{}
	events := map[uuid.UUID]misp.Event{}
	b, err := newBuilder(name)
	must(t, err)
	for _, a := range rapid.SliceOfN(attributes(), 0, 8).Draw(r, "attributes") {
		id, in := identify(a.UUID), identify(a.Event.UUID)
		if _, ok := want[id]; ok || len(indicators(a)) == 0 {
			continue
		}
		if e, ok := events[in]; ok {
			a.Event = e // the first attribute describes it
		}
		events[in] = a.Event
		must(t, b.Add(a, "v"))
		if a.UUID == "" {
			a.UUID = id.String() // it gets one
		}
		want[id] = asStored(a)
	}
	must(t, b.finish(context.Background(), begin))
	return want, len(events)
}

// finds checks that an attribute is found by its UUID and by each of its indicators.
func finds(r *rapid.T, s *segment, id uuid.UUID, a misp.Attribute) {
	in, known, err := s.find(id)
	if err != nil || !known || !cmp.Equal(a, in.whole(), sameAs) {
		r.Fatalf("find: %t %+v", known, in)
	}
	for _, i := range indicators(a) {
		there := false
		for f, err := range (&snapshot{base: s}).find(context.Background(), i, i) {
			there = there || err == nil && cmp.Equal(a, f, sameAs)
		}
		if !there {
			r.Fatalf("%q is not found", a.Value)
		}
	}
}

// TestManyWords has more categories than are kept by number.
func TestManyWords(t *testing.T) {
	t.Parallel()
	s, _ := build(t, func(b *builder) {
		for i := range maxWords + 10 {
			add(t, b, misp.Attribute{UUID: strconv.Itoa(i), Type: "domain", Value: strconv.Itoa(i) + ".x.example", Category: strconv.Itoa(i)})
		}
	})
	if n := len(s.trailer.Words); n != maxWords {
		t.Errorf("%d words", n)
	}
	for in, err := range s.each() {
		must(t, err)
		if a := in.attribute; a.Category != a.UUID || a.Type != "domain" {
			t.Fatalf("%+v", a)
		}
	}
}

// TestCollision gives two indicators one hash, and two attributes too: what is found is only what was meant.
func TestCollision(t *testing.T) {
	t.Parallel()
	one := engine.Indicator{Family: "host", Key: "one.example"}
	two := engine.Indicator{Family: "host", Key: "two.example"}
	s, _ := build(t, func(b *builder) {
		add(t, b, misp.Attribute{UUID: uuidOf("01"), Type: "domain", Value: "one.example"}, misp.Attribute{UUID: uuidOf("02"), Type: "domain|ip", Value: "two.example|192.31.196.1"})
		for i := range b.byIndicator {
			b.byIndicator[i].hash = hashIndicator(one)
		}
		for i := range b.byUUID {
			b.byUUID[i].hash = hashUUID(identify(uuidOf("02")))
		}
	})
	snap := snapshot{base: s}
	for a, err := range snap.find(context.Background(), one, one) {
		must(t, err)
		if a.Value != "one.example" {
			t.Errorf("found %s", a.Value)
		}
	}
	// Asked for by the other, they have its hash.
	for at, err := range s.all(s.byIndicator, hashIndicator(one)) {
		must(t, err)
		if in, ok, _, err := s.attribute(at, two, &largeEvents{}); err != nil || ok && in.attribute.Value != "two.example|192.31.196.1" {
			t.Errorf("found %s", in.attribute.Value)
		}
	}
	if in, known, err := s.find(identify(uuidOf("02"))); err != nil || !known || in.attribute.Value != "two.example|192.31.196.1" {
		t.Errorf("found %+v", in)
	}
	n := 0
	for _, err := range s.all(s.byIndicator, hashIndicator(one)) {
		must(t, err)
		n++
	}
	if n != 3 {
		t.Errorf("%d entries", n)
	}
}

// TestFlippedBits changes bits of a segment, at random and in its last bytes: each is noticed.
func TestFlippedBits(t *testing.T) {
	t.Parallel()
	_, name := build(t, func(b *builder) {
		for i := range 50 {
			add(t, b, generated(i))
		}
	})
	data, err := os.ReadFile(name)
	must(t, err)
	flip := func(at int, bit byte) {
		broken := append([]byte{}, data...)
		broken[at] ^= bit
		must(t, os.WriteFile(name, broken, 0o600))
		if _, err := openSegment(context.Background(), name, maxSegment, true); !errors.Is(err, errDamaged) {
			t.Fatalf("bit %08b of byte %d of %d: %v", bit, at, len(data), err)
		}
	}
	for range 300 {
		flip(rand.IntN(len(data)), 1<<rand.IntN(8))
	}
	for at := len(data) - 40; at < len(data); at++ {
		flip(at, 1)
	}
	for _, size := range []int{0, 1, len(magic), 27, len(data) / 2, len(data) - 1} {
		must(t, os.WriteFile(name, data[:size], 0o600))
		if _, err := openSegment(context.Background(), name, maxSegment, true); !errors.Is(err, errDamaged) {
			t.Errorf("cut off at %d: %v", size, err)
		}
	}
	if _, err := openSegment(context.Background(), t.TempDir(), maxSegment, true); err == nil {
		t.Error("a directory was opened")
	}
}

// read goes through everything in a segment that can be read.
func (s *segment) read() {
	for in, err := range s.each() {
		if err != nil {
			continue
		}
		_, _, _ = s.find(in.id)
		for _, i := range engine.Indicators(engine.Type(in.attribute.Type), in.attribute.Value) {
			drain((&snapshot{base: s}).find(context.Background(), i, i))
		}
	}
	for e, err := range s.events() {
		if err == nil {
			_, _ = s.event(uint64(e.attributes)) //nolint:gosec // any number
		}
	}
	for _, t := range []table{s.byIndicator, s.byUUID} {
		for shift := range 64 {
			drain(s.all(t, 1<<shift-1))
		}
		for i := range min(t.entries, 100) {
			for at, err := range s.all(t, binary.LittleEndian.Uint64(s.data[t.index+uint64(i)*entrySize:])) {
				if err == nil {
					_, _, _, _ = s.attribute(at, engine.Indicator{Family: "host", Key: "x"}, &largeEvents{})
				}
			}
		}
	}
}

// drain takes all that there is.
func drain[T any](all iter.Seq2[T, error]) { all(func(T, error) bool { return true }) }

// decode reads each record once.
func (s *segment) decode() {
	for r, err := range s.allRecords() {
		if err != nil {
			return
		}
		switch r.kind {
		case recordAttribute:
			_, _, _ = r.attribute(s.trailer.Words)
		case recordEvent:
			r.event()
		case recordRemoved:
			r.id()
		}
	}
}

// sealed returns a file of content and a trailer with checksums that are right, whatever they are about.
func sealed(content, trailer []byte) []byte {
	var members map[string]json.RawMessage
	var sections []json.RawMessage
	if json.Unmarshal(trailer, &members) == nil && members["sections"] != nil && json.Unmarshal(members["sections"], &sections) == nil {
		var sums []byte
		for block := range slices.Chunk(content, 1<<blockBits) {
			sums = binary.LittleEndian.AppendUint32(sums, crc32.Checksum(block, crcTable()))
		}
		sections = slices.DeleteFunc(sections, func(s json.RawMessage) bool { return bytes.Contains(s, []byte(`"blocks"`)) })
		blocks, _ := json.Marshal(section{sectionBlocks, int64(len(content)), int64(len(sums)), crc32.Checksum(sums, crcTable())})
		members["sections"], _ = json.Marshal(append(sections, blocks))
		trailer, _ = json.Marshal(members)
		content = append(slices.Clone(content), sums...)
	}
	whole := append(slices.Clone(content), trailer...)
	whole = binary.LittleEndian.AppendUint32(whole, uint32(len(trailer))) //nolint:gosec // a test
	whole = binary.LittleEndian.AppendUint32(whole, crc32.Checksum(trailer, crcTable()))
	return append(whole, magic...)
}

// inMemory opens data as a segment.
func inMemory(data []byte) (*segment, error) {
	s := &segment{name: "in memory"}
	if err := s.parse(bytes.NewReader(data), int64(len(data))); err != nil {
		return nil, err
	}
	if s.version == oldVersion {
		if err := s.compareOldSum(context.Background(), bytes.NewReader(data)); err != nil {
			return nil, err
		}
	}
	s.mapped(slices.Clip(data))
	return s, nil
}

// FuzzSegment opens anything as a segment, of this version with checksums that are right, of the old one, and as it
// comes: whatever it contains, reading ends, and does not go outside of it.
func FuzzSegment(f *testing.F) {
	_, name := build(f, func(b *builder) {
		add(f, b, misp.Attribute{UUID: uuidOf("01"), Type: "domain|ip", Value: "one.example|192.31.196.1", Tags: []string{"a", "b"}, Event: misp.Event{UUID: uuidOf("e1"), Tags: []string{"b"}}})
		add(f, b, misp.Attribute{UUID: "x", Type: "ip-dst", Value: "192.31.196.0/24", Timestamp: begin, Event: misp.Event{UUID: uuidOf("e2")}})
		must(f, b.remove(identify(uuidOf("03"))))
	})
	data, err := os.ReadFile(name)
	must(f, err)
	text, start, err := readTrailer(bytes.NewReader(data), int64(len(data)))
	must(f, err)
	f.Add(data[:start], text)
	old, err := os.ReadFile("testdata/cmispm02/misp/base-00000001.segment")
	must(f, err)
	f.Add(old, []byte(nil))
	f.Add([]byte(magic), []byte(`{"block":65536,"uuid_bits":1,"events":1152921504606846976,"sections":[{"id":"records","at":8,"length":9223372036854775807},{"id":"uuids","at":0,"length":1152921504606846976},{"id":"uuid_directory","at":0,"length":12}]}`))
	f.Add([]byte(magic), []byte(`{"block":65536,"events":1152921504606846976,"sections":[]}`))
	f.Fuzz(func(t *testing.T, content, trailer []byte) {
		for _, data := range [][]byte{sealed(content, trailer), content} {
			before := allocated()
			s, err := inMemory(data)
			if err == nil {
				s.decode()
			}
			if used, most := allocated()-before, uint64(1<<18+100*len(data)); used > most { //nolint:gosec // a length
				t.Fatalf("%d bytes of memory for a segment of %d", used, len(data))
			}
			if err == nil {
				s.read()
			} else if !errors.Is(err, errDamaged) && !errors.Is(err, errNewer) {
				t.Errorf("error %v", err)
			}
		}
	})
}

// TestTrailer sees that the trailer can be read by people and other programs.
func TestTrailer(t *testing.T) {
	t.Parallel()
	s, name := build(t, func(b *builder) { add(t, b, generated(0), generated(1)) })
	data, err := os.ReadFile(name)
	must(t, err)
	end := len(data) - tailSize
	var got trailer
	must(t, json.Unmarshal(data[end-int(binary.LittleEndian.Uint32(data[end:])):end], &got))
	if d := cmp.Diff(s.trailer, got); d != "" || got.Attributes != 2 || got.Events != 1 || !got.Created.Equal(begin) {
		t.Errorf("trailer (-want +got):\n%s", d)
	}
}
