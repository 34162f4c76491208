package mirror

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"custom-misp/misp"
	"custom-misp/misp/misptest"
)

// This file reads a mirror as README.md describes it, and shares no code with the package.

// readmeFile is a segment.
type readmeFile struct {
	data    []byte
	trailer struct {
		Attributes, Removed, Events int
		IndicatorBits               uint `json:"indicator_bits"`
		UUIDBits                    uint `json:"uuid_bits"`
		Block                       int
		Sections                    []readmeSection
		Networks, Words             []string
	}
	sections   map[string]readmeSection
	events     map[uint64]readmeEvent // by offset
	attributes map[uint64]readmeAttribute
	removed    map[uint64]uuid.UUID
}

type readmeSection struct {
	ID         string
	At, Length uint64
	Sum        uint32
}

type readmeEvent struct {
	uuid   uuid.UUID
	change byte
	event  misp.Event
}

type readmeAttribute struct {
	uuid      uuid.UUID
	event     uint64
	attribute misp.Attribute
}

func readmeOpen(t *testing.T, name string) *readmeFile {
	t.Helper()
	data, err := os.ReadFile(name)
	must(t, err)
	const magic = "cmispm03"
	end := len(data) - 16
	if string(data[:8]) != magic || string(data[end+8:]) != magic {
		t.Fatalf("%s: no magic", name)
	}
	f := &readmeFile{data: data, events: map[uint64]readmeEvent{}, attributes: map[uint64]readmeAttribute{}, removed: map[uint64]uuid.UUID{}}
	castagnoli := crc32.MakeTable(crc32.Castagnoli)
	start := end - int(binary.LittleEndian.Uint32(data[end:]))
	if crc32.Checksum(data[start:end], castagnoli) != binary.LittleEndian.Uint32(data[end+4:]) {
		t.Fatalf("%s: checksum of the trailer", name)
	}
	must(t, json.Unmarshal(data[start:end], &f.trailer))
	f.sections = map[string]readmeSection{}
	for _, s := range f.trailer.Sections {
		if crc32.Checksum(data[s.At:s.At+s.Length], castagnoli) != s.Sum {
			t.Fatalf("%s: checksum of the section %s", name, s.ID)
		}
		f.sections[s.ID] = s
	}
	blocks := f.sections["blocks"]
	for block := range slices.Chunk(data[:blocks.At], f.trailer.Block) {
		if crc32.Checksum(block, castagnoli) != binary.LittleEndian.Uint32(data[blocks.At:]) {
			t.Fatalf("%s: checksum of a block", name)
		}
		blocks.At += 4
	}
	if blocks.At != f.sections["blocks"].At+blocks.Length {
		t.Errorf("%s: more checksums than blocks", name)
	}
	records := f.sections["records"]
	for at := records.At; at < records.At+records.Length; {
		at += f.record(t, at)
	}
	if len(f.attributes) != f.trailer.Attributes || len(f.events) != f.trailer.Events || len(f.removed) != f.trailer.Removed {
		t.Errorf("%s: %d attributes, %d events, %d removed, trailer %+v", name, len(f.attributes), len(f.events), len(f.removed), f.trailer)
	}
	return f
}

// record reads the record at an offset and returns its length.
func (f *readmeFile) record(t *testing.T, at uint64) uint64 {
	t.Helper()
	length, size := binary.Uvarint(f.data[at+1:])
	start := at + 1 + uint64(size)
	r := &readmeReader{f.data[start : start+length], f.trailer.Words}
	switch kind := f.data[at]; kind {
	case 'E':
		e := readmeEvent{uuid: r.uuid(), change: r.byte()}
		e.event.Published = r.byte() == 1
		e.event.ThreatLevel, e.event.Analysis = misp.ThreatLevel(r.number()), misp.Analysis(r.number())
		e.event.ID, e.event.UUID, e.event.Info, e.event.Org, e.event.OrgUUID, e.event.Date = r.text(), r.text(), r.text(), r.text(), r.text(), r.text()
		_ = r.text() // version
		e.event.Tags = r.list()
		f.events[at] = e
	case 'A':
		a := readmeAttribute{uuid: r.uuid(), event: r.number()}
		a.attribute.ToIDs = r.byte() == 1
		if zigzag := r.number(); zigzag != 0 {
			a.attribute.Timestamp = time.Unix(int64(zigzag>>1)^-int64(zigzag&1), 0).UTC()
		}
		a.attribute.Type, a.attribute.Category = r.word(), r.word()
		a.attribute.ID, a.attribute.UUID = r.text(), r.text()
		a.attribute.UUID = cmp.Or(a.attribute.UUID, a.uuid.String())
		a.attribute.Value, a.attribute.Comment, a.attribute.FirstSeen, a.attribute.LastSeen = r.text(), r.text(), r.text(), r.text()
		a.attribute.Tags, a.attribute.Warninglists = r.list(), r.list()
		if _, before := f.events[a.event]; !before {
			t.Errorf("attribute at %d: no event at %d before it", at, a.event)
		}
		f.attributes[at] = a
	case 'R':
		f.removed[at] = r.uuid()
	default:
		t.Fatalf("record of kind %q at %d", kind, at)
	}
	if len(r.data) > 0 {
		t.Fatalf("record at %d: %d bytes left", at, len(r.data))
	}
	return 1 + uint64(size) + length
}

type readmeReader struct {
	data  []byte
	words []string
}

func (r *readmeReader) bytes(n uint64) []byte {
	b := r.data[:n]
	r.data = r.data[n:]
	return b
}

func (r *readmeReader) byte() byte      { return r.bytes(1)[0] }
func (r *readmeReader) uuid() uuid.UUID { return uuid.UUID(r.bytes(16)) }
func (r *readmeReader) text() string    { return string(r.bytes(r.number())) }

func (r *readmeReader) number() uint64 {
	n, size := binary.Uvarint(r.data)
	r.bytes(uint64(size))
	return n
}

func (r *readmeReader) list() (texts []string) {
	for range r.number() {
		texts = append(texts, r.text())
	}
	return texts
}

func (r *readmeReader) word() string {
	if n := r.number(); n > 0 {
		return r.words[n-1]
	}
	return r.text()
}

// find returns the offsets that a table has for a hash.
func (f *readmeFile) find(table, directory string, bits uint, hash uint64) (offsets []uint64) {
	if bits == 0 {
		return nil
	}
	slot := f.sections[directory].At + 4*(hash>>(64-bits))
	for i := binary.LittleEndian.Uint32(f.data[slot:]); i < binary.LittleEndian.Uint32(f.data[slot+4:]); i++ {
		entry := f.data[f.sections[table].At+16*uint64(i):]
		if binary.LittleEndian.Uint64(entry) == hash {
			offsets = append(offsets, binary.LittleEndian.Uint64(entry[8:]))
		}
	}
	return offsets
}

func (f *readmeFile) byIndicator(hash uint64) []uint64 {
	return f.find("indicators", "indicator_directory", f.trailer.IndicatorBits, hash)
}

func (f *readmeFile) byUUID(hash uint64) []uint64 {
	return f.find("uuids", "uuid_directory", f.trailer.UUIDBits, hash)
}

// whole is an attribute with its event, whose tags it has too.
func (a readmeAttribute) whole(e misp.Event) misp.Attribute {
	whole := a.attribute
	whole.Event = e
	for _, tag := range e.Tags {
		if !slices.Contains(whole.Tags, tag) {
			whole.Tags = append(whole.Tags, tag)
		}
	}
	return whole
}

// readmeSet reads the set in a directory: its attributes by UUID.
func readmeSet(t *testing.T, dir string) (map[string]misp.Attribute, []*readmeFile) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "state.json"))
	must(t, err)
	var state struct{ Base, Changes string }
	must(t, json.Unmarshal(data, &state))
	base := readmeOpen(t, filepath.Join(dir, state.Base))
	files := []*readmeFile{base}
	set := map[string]misp.Attribute{}
	changed, events := map[uuid.UUID]bool{}, map[uuid.UUID]readmeEvent{}
	if state.Changes != "" {
		changes := readmeOpen(t, filepath.Join(dir, state.Changes))
		files = append(files, changes)
		for _, e := range changes.events {
			events[e.uuid] = e
		}
		for _, a := range changes.attributes {
			changed[a.uuid] = true
			set[a.uuid.String()] = a.whole(changes.events[a.event].event)
		}
		for _, id := range changes.removed {
			changed[id] = true
		}
	}
	for _, a := range base.attributes {
		in := base.events[a.event]
		e, known := events[in.uuid]
		switch {
		case changed[a.uuid] || known && e.change > 1:
			continue
		case known && e.change == 1:
			in = e
		}
		set[a.uuid.String()] = a.whole(in.event)
	}
	return set, files
}

// TestReadme reads sets by what README.md says: it finds what the package finds, in every kind of change.
func TestReadme(t *testing.T) {
	t.Parallel()
	s := newSite(t, misptest.New(t, fixture))
	s.PullEvent(pulled)
	compare := func(what string, m *Mirror, dir string) (kinds [4]int) {
		t.Helper()
		set, files := readmeSet(t, dir)
		want := map[string]misp.Attribute{}
		for _, a := range allOf(t, m) {
			a.Origin = ""
			want[a.UUID] = a
		}
		if d := gocmp.Diff(want, set, cmpopts.EquateEmpty()); d != "" || len(set) == 0 {
			t.Errorf("%s (-package +README):\n%s", what, d)
		}
		for _, f := range files {
			f.check(t)
			for _, e := range f.events {
				kinds[e.change]++
			}
		}
		return kinds
	}
	dir := filepath.Join(s.syncer.Dir, ServerName)
	s.sync()
	compare("walk", s.mirror, dir)
	s.tick(time.Minute)
	s.EditAttribute(uuidOf("01"), `{"value":"other.example"}`)
	s.SoftDelete(uuidOf("02"))
	s.AddAttribute(uuidOf("e2"), `{"type":"domain","value":"new.example","Tag":[{"name":"own"}]}`)
	s.DeleteEvent(uuidOf("e3"))
	s.tick(UsualReconcile)
	s.sync()
	if kinds := compare("poll", s.mirror, dir); kinds[1] == 0 || kinds[3] == 0 {
		t.Errorf("changes of events by kind: %v", kinds)
	}

	p := newProvider(t)
	c := newCopy(t, NewFeed("circl", p.URL+"/feed", ""))
	p.put(t, 1, map[string][]string{"a1": {"one.example", "uno.example"}, "a2": {"two.example"}, "a3": {"three.example"}, "a4": {"four.example"}})
	c.want(t, "first", "four.example", "one.example", "three.example", "two.example", "uno.example")
	p.put(t, 2, map[string][]string{"a1": {"one.example"}, "a2": {"two.example"}, "a3": {"three.example"}, "a4": {"four.example"}})
	c.want(t, "one event replaced", "four.example", "one.example", "three.example", "two.example")
	if kinds := compare("feed", c.Mirror, filepath.Join(c.syncer.Dir, "circl")); kinds[2] == 0 {
		t.Errorf("changes of events by kind: %v", kinds)
	}
}

// check compares the tables and lists of a file with its records.
func (f *readmeFile) check(t *testing.T) {
	t.Helper()
	for at, a := range f.attributes {
		for _, i := range indicators(a.attribute) {
			if !slices.Contains(f.byIndicator(xxhash.Sum64String(string(i.Family)+"\x00"+i.Key)), at) {
				t.Errorf("%s is not in the table of indicators", a.attribute.Value)
			}
			if p, ok := i.Network(); ok && !slices.Contains(f.trailer.Networks, p.String()) {
				t.Errorf("network %s is not in the trailer", p)
			}
		}
		if !slices.Contains(f.byUUID(xxhash.Sum64(a.uuid[:])), at) {
			t.Errorf("%s is not in the table of UUIDs", a.uuid)
		}
	}
	for at, id := range f.removed {
		if !slices.Contains(f.byUUID(xxhash.Sum64(id[:])), at) {
			t.Errorf("removed %s is not in the table of UUIDs", id)
		}
	}
	counts := map[uint64]uint64{}
	for at := range f.events {
		counts[at] = 0
	}
	for _, a := range f.attributes {
		counts[a.event]++
	}
	listed := map[uint64]uint64{}
	for i := range uint64(f.trailer.Events) {
		entry := f.data[f.sections["events"].At+16*i:]
		listed[binary.LittleEndian.Uint64(entry)] = binary.LittleEndian.Uint64(entry[8:])
	}
	if d := gocmp.Diff(counts, listed); d != "" {
		t.Errorf("list of events (-records +list):\n%s", d)
	}
}

// TestReadmeNames finds each key, kind and number that the files have in README.md.
func TestReadmeNames(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("README.md")
	must(t, err)
	page := string(data)
	names := []string{magic, stateFile, lockFile, segmentSuffix, string(KindMISP), string(KindFeed), string(KindCSV), "20,000"}
	for _, typ := range []reflect.Type{reflect.TypeFor[State](), reflect.TypeFor[trailer](), reflect.TypeFor[section](), reflect.TypeFor[oldTrailer](), reflect.TypeFor[oldPart]()} {
		for f := range typ.Fields() {
			if f.Anonymous {
				continue
			}
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			names = append(names, "`"+name+"`")
		}
	}
	for _, kind := range []recordKind{recordEvent, recordAttribute, recordRemoved} {
		names = append(names, fmt.Sprintf("**`%c`, ", kind))
	}
	for _, name := range names {
		if !strings.Contains(page, name) {
			t.Errorf("README.md does not name %s", name)
		}
	}
	if leastBase != 20_000 || fileMode != 0o640 || dirMode != 0o750 || tailSize != 16 {
		t.Error("README.md says other numbers")
	}
}
