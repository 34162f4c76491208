package history

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"custom-misp/engine"
)

var noon = time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)

// open opens a history whose clock shows noon.
func open(t *testing.T, dir string, change func(*Options)) *Store {
	t.Helper()
	o := Options{Dir: dir, Days: 90, Names: true, Now: func() time.Time { return noon }, entries: 50}
	if change != nil {
		change(&o)
	}
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// seen makes an alert with values, each with its type before it: "ip-dst 192.0.2.1".
func seen(at time.Time, agent string, values ...string) Seen {
	a := Seen{Alert: Alert{
		ID: fmt.Sprintf("%d.%d", at.Unix(), 100), Rule: "5710", Level: 5, File: "/var/ossec/logs/alerts/alerts.json", Offset: 4711, At: at,
		Agent: Agent{"0" + agent, "agent-" + agent, "192.0.2." + agent},
	}}
	for _, v := range values {
		kind, value, _ := strings.Cut(v, " ")
		normal, err := engine.Type(kind).Normal(value)
		if err != nil {
			panic(err)
		}
		a.Observables = append(a.Observables, engine.Observable{Type: engine.Type(kind), Value: normal, Picks: []engine.Pick{{Mapping: "sshd"}}})
	}
	return a
}

// find asks a view, and fails for damage.
func find(t *testing.T, v *View, q Query) []Entry {
	t.Helper()
	list, more, err := v.Find(t.Context(), q, 10_000)
	if err != nil || more || v.Fault() != nil {
		t.Fatalf("more %t, error %v, fault %v", more, err, v.Fault())
	}
	return list
}

// view opens a view that ends with the test.
func view(t *testing.T, s *Store) *View {
	t.Helper()
	v, err := s.View()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	return v
}

// commit records alerts and commits them. Segments keep up.
func commit(t *testing.T, s *Store, alerts ...Seen) {
	t.Helper()
	if !s.Record(alerts, Place{}) {
		t.Fatal("not recorded: " + s.Stopped())
	}
	if err := s.Commit(); err != nil {
		t.Fatal(err)
	}
	if len(alerts) > 1 && len(alerts)%4 == 0 {
		s.tidying.Wait()
	}
}

func TestEntry(t *testing.T) {
	s := open(t, t.TempDir(), nil)
	first, last := noon.Add(-50*time.Hour), noon.Add(-time.Hour)
	commit(t, s, seen(last, "4", "ip-src 192.0.2.77"), seen(first, "3", "ip-dst 192.0.2.77"), seen(first, "4", "ip-dst 192.0.2.77"))
	want := Entry{
		Indicator: engine.Indicator{Family: "ip", Key: "192.0.2.77"}, First: first, Last: last, Count: 3, Days: 2,
		Agents:   []Agent{{"03", "agent-3", "192.0.2.3"}, {"04", "agent-4", "192.0.2.4"}},
		Mappings: []string{"sshd"}, Itself: true,
		Alert: Alert{
			ID: fmt.Sprintf("%d.100", last.Unix()), Rule: "5710", Level: 5, File: "/var/ossec/logs/alerts/alerts.json", Offset: 4711, At: last,
			Agent: Agent{"04", "agent-4", "192.0.2.4"},
		},
	}
	got, ok := s.Get(want.Indicator)
	if diff := gocmp.Diff(want, got); diff != "" || !ok {
		t.Errorf("Get (-want +got):\n%s", diff)
	}
	if diff := gocmp.Diff([]Entry{want}, find(t, view(t, s), OfValue(want.Indicator))); diff != "" {
		t.Errorf("Find (-want +got):\n%s", diff)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	v, err := OpenView(s.o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	if diff := gocmp.Diff([]Entry{want}, find(t, v, OfValue(want.Indicator))); diff != "" {
		t.Errorf("from files (-want +got):\n%s", diff)
	}
	if _, ok := s.Get(engine.Indicator{Family: "ip", Key: "192.0.2.78"}); ok {
		t.Error("found what was never seen")
	}
}

// TestKinds records what is on by default, and all.
func TestKinds(t *testing.T) {
	values := []string{
		"ip-dst 192.0.2.1", "domain a.example", "url http://u.example/x", "url http://93.184.216.34/y", "email x@m.example", "filename C:\\a.exe",
		"md5 0123456789abcdef0123456789abcde0", "mutex M1",
	}
	for name, tt := range map[string]struct {
		kinds []Kind
		want  []string
	}{
		"default": {nil, []string{"ip 93.184.216.34", "ip 192.0.2.1", "host a.example", "host u.example", "md5 0123456789abcdef0123456789abcde0"}},
		"emails":  {[]Kind{KindEmail}, []string{"email x@m.example"}},
		"all": {Kinds(), []string{
			"ip 93.184.216.34", "ip 192.0.2.1", "host a.example", "host u.example", "md5 0123456789abcdef0123456789abcde0", "email x@m.example",
			"filename c:\\a.exe", "mutex m1", "url http://93.184.216.34/y", "url http://u.example/x",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, t.TempDir(), func(o *Options) { o.Kinds = tt.kinds })
			defer s.Close() //nolint:errcheck // a test of what is read
			commit(t, s, seen(noon, "3", values...))
			var got []string
			for _, e := range find(t, view(t, s), Query{[]byte{0}, []byte{9}}) {
				got = append(got, string(e.Family)+" "+e.Key)
				if strings.HasSuffix(e.Key, "u.example") != e.URLHost && e.Family == "host" {
					t.Errorf("%s: host of a URL %t", e.Key, e.URLHost)
				}
			}
			if diff := gocmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestQueries asks for networks and domains.
func TestQueries(t *testing.T) {
	s := open(t, t.TempDir(), nil)
	defer s.Close() //nolint:errcheck // a test of what is read
	commit(t, s, seen(noon, "3",
		"ip-dst 192.0.1.255", "ip-dst 192.0.2.0", "ip-dst 192.0.2.255", "ip-dst 192.0.3.0", "ip-dst 2001:db8::1", "ip-dst 2001:db9::1",
		"domain bad.example", "domain a.bad.example", "domain b.a.bad.example", "domain notbad.example", "domain bad.example.org", "domain bad-x.example"))
	for text, want := range map[string][]string{
		"192.0.2.0/24":         {"192.0.2.0", "192.0.2.255"},
		"::ffff:192.0.2.0/120": {"192.0.2.0", "192.0.2.255"},
		"0.0.0.0/0":            {"192.0.1.255", "192.0.2.0", "192.0.2.255", "192.0.3.0"},
		"2001:db8::/32":        {"2001:db8::1"},
		"::/0":                 {"2001:db8::1", "2001:db9::1"},
		"192.0.2.255":          {"192.0.2.255"},
		"192.0.2.255/32":       {"192.0.2.255"},
		"bad.example":          {"bad.example", "a.bad.example", "b.a.bad.example"},
		"A.Bad.example.":       {"a.bad.example", "b.a.bad.example"},
		"nothing.example":      nil,
	} {
		all, err := ParseQuery(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		var got []string
		for _, q := range all {
			for _, e := range find(t, view(t, s), q) {
				got = append(got, e.Key)
			}
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
	list, more, err := view(t, s).Find(t.Context(), OfDomain("bad.example"), 2)
	if len(list) != 2 || !more || err != nil {
		t.Errorf("%d entries, more %t, %v; want 2 of 3", len(list), more, err)
	}
}

// TestDamage flips a bit everywhere in a segment and cuts it: nothing panics, and what is damaged is said and left out.
func TestDamage(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, func(o *Options) { o.entries = 10_000 })
	var values []string
	for i := range 1000 {
		values = append(values, fmt.Sprintf("ip-dst 192.0.%d.%d", i/250, i%250))
	}
	commit(t, s, seen(noon, "3", values...))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(dir, "*.segment"))
	if err != nil || len(names) != 1 {
		t.Fatalf("%q, %v", names, err)
	}
	whole, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, data []byte) {
		t.Helper()
		if err := os.WriteFile(names[0], data, 0o600); err != nil {
			t.Fatal(err)
		}
		v, err := OpenView(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer v.Close()
		list, _, err := v.Find(t.Context(), OfNetwork(netip.MustParsePrefix("0.0.0.0/0")), 2000)
		if err != nil || v.Fault() == nil || len(list) >= len(values) {
			t.Fatalf("%s: %d entries of %d, %v, fault %v", what, len(list), len(values), err, v.Fault())
		}
		for _, e := range list {
			if e.Count != 1 {
				t.Fatalf("%s: %+v", what, e)
			}
		}
	}
	for at := 0; at < len(whole); at += 61 {
		data := slices.Clone(whole)
		data[at] ^= 1 << (at % 8)
		check(fmt.Sprint("bit flipped in byte ", at), data)
	}
	for at := 0; at < len(whole); at += 997 {
		check(fmt.Sprint("cut at ", at), whole[:at])
	}
	newer := slices.Clone(whole)
	copy(newer, "cmhist99")
	copy(newer[len(newer)-8:], "cmhist99")
	check("newer", newer)
	// It is recorded all the same, and the damaged file goes with its day.
	s = open(t, dir, func(o *Options) { o.Days, o.Now = 2, func() time.Time { return noon.Add(24 * time.Hour) } })
	commit(t, s, seen(noon, "3", "ip-dst 192.0.2.1"))
	if s.Fault() == nil {
		t.Error("no fault")
	}
	s.o.Now = func() time.Time { return noon.Add(48 * time.Hour) }
	s.Tidy()
	s.tidying.Wait()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if names, _ := filepath.Glob(filepath.Join(dir, "*.segment")); len(names) != 1 {
		t.Errorf("%q are there, want the one of the second day", names)
	}
}

// TestRetention keeps so many days, and so many bytes.
func TestRetention(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(o *Options, have int64)
		want   int
	}{
		"days":  {func(o *Options, _ int64) { o.Days = 3 }, 3},
		"bytes": {func(o *Options, have int64) { o.Bytes = have / 2 }, 5},
		"all":   {func(o *Options, _ int64) { o.Days = 0 }, 10},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir, func(o *Options) { o.Days = 0 })
			for day := range 10 {
				commit(t, s, seen(noon.Add(-time.Duration(day)*24*time.Hour), "3", "ip-dst 192.0.2.1"))
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			v, err := OpenView(dir)
			if err != nil {
				t.Fatal(err)
			}
			have := v.Size().Bytes
			v.Close()
			s = open(t, dir, func(o *Options) { tt.change(o, have) })
			s.tidying.Wait()
			e, ok := s.Get(engine.Indicator{Family: "ip", Key: "192.0.2.1"})
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if !ok || e.Days != tt.want || !e.Last.Equal(noon) {
				t.Errorf("%d days up to %v are left, want %d", e.Days, e.Last, tt.want)
			}
		})
	}
}

// TestFreeDisk stops recording, and goes on.
func TestFreeDisk(t *testing.T) {
	part := 0.2
	s := open(t, t.TempDir(), func(o *Options) {
		o.MinFree, o.Free = 0.15, func() (float64, error) { return part, nil }
	})
	defer s.Close() //nolint:errcheck // a test of what is recorded
	a := seen(noon, "3", "ip-dst 192.0.2.1")
	for _, tt := range []struct {
		free     float64
		recorded bool
	}{{0.2, true}, {0.149, false}, {0.155, false}, {0.16, true}} {
		part = tt.free
		if err := s.Commit(); err != nil {
			t.Fatal(err)
		}
		if got := s.Record([]Seen{a}, Place{}); got != tt.recorded || (s.Stopped() == "") != got {
			t.Errorf("%.3f of the disk free: recorded %t, stopped %q", tt.free, got, s.Stopped())
		}
	}
	part = 0.1
	if err := s.Commit(); err != nil || !strings.Contains(s.Stopped(), "only 10 %") {
		t.Errorf("%v, %q", err, s.Stopped())
	}
	if e, _ := s.Get(engine.Indicator{Family: "ip", Key: "192.0.2.1"}); e.Count != 2 {
		t.Errorf("%d times, want 2", e.Count)
	}
}

// TestAgents bounds them, and makes names up.
func TestAgents(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, nil)
	for i := range MaxAgents + 5 {
		commit(t, s, seen(noon, fmt.Sprint(i), "ip-dst 192.0.2.1"))
	}
	e, _ := s.Get(engine.Indicator{Family: "ip", Key: "192.0.2.1"})
	if len(e.Agents) != MaxAgents || !e.MoreAgents || e.Count != MaxAgents+5 {
		t.Errorf("%d agents, more %t, %d times", len(e.Agents), e.MoreAgents, e.Count)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the same names after a restart
		s = open(t, dir, func(o *Options) { o.Names = false })
		commit(t, s, seen(noon, "7", "ip-dst 192.0.2.2"), seen(noon, "8", "ip-dst 192.0.2.2"))
		e, _ = s.Get(engine.Indicator{Family: "ip", Key: "192.0.2.2"})
		if len(e.Agents) != 2 || e.Agents[0].ID != "" || !strings.HasPrefix(e.Agents[0].Name, "#") || e.Alert.Agent.IP != "" {
			t.Errorf("agents %+v, alert %+v", e.Agents, e.Alert)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPlaces knows up to where files of alerts were recorded, after a kill too.
func TestPlaces(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, nil)
	for i := range maxPositions + 1 {
		s.Record([]Seen{seen(noon, "3", "ip-dst 192.0.2.1")}, Place{fmt.Sprint("file", i), 0, int64(100 + i)})
	}
	if err := s.Commit(); err != nil {
		t.Fatal(err)
	}
	s.Record([]Seen{seen(noon, "3", "ip-dst 192.0.2.1")}, Place{"file3", 103, 1000})
	dir2 := copyOf(t, dir)
	for dir, want := range map[string]int64{dir: 1000, dir2: 103} {
		if dir == dir2 {
			s = open(t, dir2, nil)
		}
		if got := s.At("file3"); got != want {
			t.Errorf("%s: recorded up to %d, want %d", dir, got, want)
		}
		if got := s.At("file0"); got != 0 {
			t.Errorf("the oldest file is known still: %d", got)
		}
	}
	_ = s.Close()
}

// model is a history in memory.
type model map[string]map[int64]int64

func (m model) add(a Seen) {
	for _, o := range a.Observables {
		k := o.Indicator().Key
		if m[k] == nil {
			m[k] = map[int64]int64{}
		}
		m[k][dayOf(a.Alert.At.Unix())]++
	}
}

// check compares a view with the model, by ascending queries that overlap and by some in no order.
func (m model) check(t *testing.T, v *View) {
	t.Helper()
	type asked struct {
		text string
		q    Query
	}
	var all []asked
	for i := range 256 {
		text := fmt.Sprintf("192.0.2.%d", i)
		all = append(all, asked{text, OfValue(engine.Indicator{Family: "ip", Key: text})})
		if i%16 == 0 {
			all = append(all, asked{text + "/28", OfNetwork(netip.MustParsePrefix(text + "/28"))})
		}
	}
	slices.SortFunc(all, func(a, b asked) int { return cmp.Or(a.q.Compare(b.q), strings.Compare(a.text, b.text)) })
	for range 30 {
		all = append(all, all[rand.IntN(len(all))])
	}
	for _, a := range all {
		want := map[string]int64{}
		for k, days := range m {
			address := netip.MustParseAddr(k)
			if p, err := netip.ParsePrefix(a.text); a.text == k || err == nil && p.Contains(address) {
				for _, n := range days {
					want[k] += n
				}
			}
		}
		got := map[string]int64{}
		for _, e := range find(t, v, a.q) {
			got[e.Key] = e.Count
			if e.Days != len(m[e.Key]) {
				t.Fatalf("%s: %d days, want %d", e.Key, e.Days, len(m[e.Key]))
			}
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Fatalf("%s (-want +got):\n%s", a.text, diff)
		}
	}
}

// copyOf copies a history as a process that is killed leaves it: without locks.
func copyOf(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "history")
	for range 100 { // until nothing was removed meanwhile
		_ = os.RemoveAll(to)
		if os.CopyFS(to, os.DirFS(dir)) == nil {
			return to
		}
	}
	t.Fatal("the directory changes all the time")
	return ""
}

// TestRandom records at random, with small segments that are merged, kills, and opens again: nothing is lost that was
// committed, and nothing counts twice.
func TestRandom(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(7, 7))
	dir := t.TempDir()
	m := model{}
	s := open(t, dir, nil)
	for round := range 60 {
		for range rng.IntN(4) {
			var batch []Seen
			for range rng.IntN(60) {
				at := noon.Add(-time.Duration(rng.IntN(4)) * 24 * time.Hour)
				a := seen(at, fmt.Sprint(rng.IntN(9)), fmt.Sprintf("ip-dst 192.0.2.%d", rng.IntN(256)))
				m.add(a)
				batch = append(batch, a)
			}
			commit(t, s, batch...)
		}
		switch rng.IntN(8) {
		case 0:
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = open(t, dir, nil)
		case 1: // killed
			killed := s
			dir = copyOf(t, dir)
			s = open(t, dir, nil)
			_ = killed.Close()
		case 2:
			s.Tidy()
			s.tidying.Wait()
		}
		if round%10 == 9 {
			m.check(t, view(t, s))
			v, err := OpenView(dir)
			if err != nil {
				t.Fatal(err)
			}
			m.check(t, v)
			v.Close()
		}
	}
	if err := s.Fault(); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
