package examples_test

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/misp"
)

// levels returns hits of every kind: flagged or not, of every threat level, live, late or retrospective, on a warninglist,
// expired or neither, with the rule and the level that each has to raise.
func levels() []raised {
	type rule struct{ id, level int }
	type row struct {
		kinds         []engine.MatchKind
		retrospective bool
		toIDs         string
		normal, grave rule // threat level high
	}
	exact, related := engine.MatchKinds()[:1], engine.MatchKinds()[1:]
	var all []raised
	for _, r := range []row{
		{exact, false, "true", rule{100622, 12}, rule{100624, 14}},
		{exact, false, "false", rule{100623, 7}, rule{100623, 7}},
		{related, false, "true", rule{100660, 7}, rule{100665, 9}},
		{related, false, "false", rule{100661, 5}, rule{100661, 5}},
		{exact, true, "true", rule{100671, 10}, rule{100672, 12}},
		{exact, true, "false", rule{100673, 5}, rule{100673, 5}},
		{related, true, "true", rule{100675, 5}, rule{100675, 5}},
		{related, true, "false", rule{100676, 3}, rule{100676, 3}},
	} {
		modes := []string{"", enrich.ModeDelayed}
		if r.retrospective {
			modes = []string{enrich.ModeRetrospective}
		}
		for _, kind := range r.kinds {
			for _, threat := range []string{"high", "medium", "low", "undefined"} {
				for _, mode := range modes {
					body := hit(func(b *enrich.Body) {
						b.MatchKind, b.MatchMode, b.ToIDs, b.Event.ThreatLevel = string(kind), mode, r.toIDs, threat
					})
					want := r.normal
					if threat == "high" {
						want = r.grave
					}
					name := fmt.Sprintf("%s, to_ids %s, %s, mode %q", kind, r.toIDs, threat, mode)
					all = append(all, raised{name, body, want.id, want.level})
					body.Warninglists = []string{"List of known public DNS resolvers"}
					all = append(all, raised{name + ", on a warninglist", body, 100626, 3})
					body.Expired = "true"
					all = append(all, raised{name + ", on a warninglist, expired", body, 100626, 3})
					body.Warninglists = nil
					all = append(all, raised{name + ", expired", body, 100667, 3})
				}
			}
		}
	}
	return all
}

// A hitOf is a hit of one row of the table of levels.
type hitOf struct {
	kind          engine.MatchKind
	flagged, high bool
	retrospective bool
	weak          string // on a "warninglist", "expired", or neither
}

// rows returns 96 hits: exact, host, parent and network, flagged or not, high or medium, live or retrospective, on no list, on a
// warninglist and expired.
func rows() []hitOf {
	var all []hitOf
	for _, kind := range []engine.MatchKind{engine.MatchExact, engine.MatchURLHost, engine.MatchParentDomain, engine.MatchNetwork} {
		for bits := range 8 {
			for _, weak := range []string{"", "warninglist", "expired"} {
				all = append(all, hitOf{kind, bits&1 > 0, bits&2 > 0, bits&4 > 0, weak})
			}
		}
	}
	return all
}

func (h hitOf) body() enrich.Body {
	return hit(func(b *enrich.Body) {
		b.MatchKind, b.ToIDs = string(h.kind), strconv.FormatBool(h.flagged)
		if h.high {
			b.Event.ThreatLevel = "high"
		}
		if h.retrospective {
			b.MatchMode = enrich.ModeRetrospective
		}
		switch h.weak {
		case "warninglist":
			b.Warninglists = []string{"List of known public DNS resolvers"}
		case "expired":
			b.Expired = "true"
		}
	})
}

// TestLevels checks the level of each hit against the table of the documentation.
func TestLevels(t *testing.T) {
	all := rules(t, "rules/misp_rules.xml")
	if n := len(rows()); n != 96 {
		t.Errorf("%d rows", n)
	}
	documented := documentedLevels(t)
	for _, h := range rows() {
		body := h.body()
		data, err := enrich.Enrichment{Body: body}.JSON()
		if err != nil {
			t.Fatal(err)
		}
		want := h.level(documented)
		if r := (&analysisd{rules: all}).take(event{"misp", data}); r == nil || r.Level != want {
			t.Errorf("%+v: rule %+v, want level %d", h, r, want)
		}
		checkVerdict(t, body)
	}
}

// A documentedLevel is a row of the table of levels.
type documentedLevel struct{ flagged, high, other int }

// documentedLevels reads the table of rules/README.md. The level of a high threat is that of others unless the table
// says it.
func documentedLevels(t *testing.T) map[string]documentedLevel {
	t.Helper()
	table := map[string]documentedLevel{}
	row := regexp.MustCompile(`(?m)^\| (exact|related|exact, .*|related, .*|related: .*|on a warninglist.*) \| (\d+)(?:; threat level high: (\d+))? \| (\d+) \|$`)
	for _, m := range row.FindAllStringSubmatch(string(read(t, "rules/README.md")), -1) {
		number := func(s string) int {
			n, err := strconv.Atoi(s)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		level := documentedLevel{number(m[2]), number(cmp.Or(m[3], m[2])), number(m[4])}
		name, _, _ := strings.Cut(m[1], ":")
		table[strings.ReplaceAll(name, "`", "")] = level
	}
	if len(table) != 5 {
		t.Fatalf("the table has %d rows: %v", len(table), table)
	}
	return table
}

// level returns what the table says of a hit.
func (h hitOf) level(table map[string]documentedLevel) int {
	name := "related"
	if h.kind == engine.MatchExact {
		name = "exact"
	}
	if h.retrospective {
		name += ", retrospective"
	}
	if h.weak != "" {
		name = "on a warninglist, or expired"
	}
	switch l := table[name]; {
	case !h.flagged:
		return l.other
	case h.high:
		return l.high
	default:
		return l.flagged
	}
}

// checkVerdict checks that what the program prints of a hit says the same.
func checkVerdict(t *testing.T, b enrich.Body) {
	t.Helper()
	v := b.Verdict()
	if weak := v == "on a warninglist" || v == "expired"; weak != (len(b.Warninglists) > 0 || b.Expired != "") {
		t.Errorf("verdict %q for %+v", v, b)
	} else if weak {
		return
	}
	has := func(words string) bool { return strings.Contains(v, words) }
	if has("related") != (b.MatchKind != "exact") || has("retrospective") != (b.MatchMode != "") || has("not flagged") != (b.ToIDs == "false") ||
		has("high threat") != (b.ToIDs == "true" && b.Event.ThreatLevel == "high") {
		t.Errorf("verdict %q for %+v", v, b)
	}
}

// TestOwnRules tries the rules that the comment shows as examples, and others that sites have.
func TestOwnRules(t *testing.T) {
	all := rules(t, "rules/misp_rules.xml")
	_, comment, ok := strings.Cut(string(read(t, "rules/misp_rules.xml")), "Some examples:\n")
	own, _, ok2 := strings.Cut(comment, "</group>")
	if !ok || !ok2 {
		t.Fatal("the comment shows no rules")
	}
	var group struct {
		Name  string `xml:"name,attr"`
		Rules []rule `xml:"rule"`
	}
	if err := xml.Unmarshal([]byte(own+"</group>"), &group); err != nil {
		t.Fatal(err)
	}
	for _, r := range group.Rules {
		for _, x := range r.Rest {
			t.Errorf("rule %d: the evaluator does not know <%s>", r.ID, x.XMLName.Local)
		}
		r.groups = strings.Split(strings.TrimSuffix(group.Name+r.Group, ","), ",")
		all = append(all, r)
	}
	// That of a site which had the rules of the first generation: a child of 100622.
	all = append(all, rule{ID: 110005, Level: 13, IfSID: "100622", Field: []cond{{"misp.category", "^Payload delivery$"}}, groups: []string{"local"}})
	related := func(b *enrich.Body) { b.MatchKind = string(engine.MatchNetwork) }
	tests := []struct {
		name string
		hit  func(*enrich.Body)
		want int
	}{
		{"exact", func(*enrich.Body) {}, 100622},
		{"tlp", func(b *enrich.Body) { b.TLP = "red" }, 110001},
		{"tlp, related", func(b *enrich.Body) { related(b); b.TLP = "red" }, 110001},
		{"tlp, high threat", func(b *enrich.Body) { b.TLP, b.Event.ThreatLevel = "red", "high" }, 110001},
		{"tlp, on a warninglist", func(b *enrich.Body) { b.TLP, b.Warninglists = "red", []string{"x"} }, 110001},
		{"another tlp", func(b *enrich.Body) { b.TLP = "green" }, 100622},
		{"technique", func(b *enrich.Body) { b.MitreID = []string{"T1071", "T1486"} }, 110002},
		{"another technique", func(b *enrich.Body) { b.MitreID = []string{"T1071"} }, 100622},
		{"network of low threat", func(b *enrich.Body) { related(b); b.Event.ThreatLevel = "low" }, 110003},
		{"network of medium threat", related, 100660},
		{"domain of low threat", func(b *enrich.Body) { b.MatchKind, b.Event.ThreatLevel = "parent-domain", "low" }, 100660},
		{"child of 100622", func(b *enrich.Body) { b.Category = "Payload delivery" }, 110005},
		{"child of 100622, related", func(b *enrich.Body) { related(b); b.Category = "Payload delivery" }, 100660},
	}
	for _, tt := range tests {
		data, err := enrich.Enrichment{Body: hit(tt.hit)}.JSON()
		if err != nil {
			t.Fatal(err)
		}
		if got := idOf((&analysisd{rules: all}).take(event{"misp", data})); got != tt.want {
			t.Errorf("%s: rule %d, want %d", tt.name, got, tt.want)
		}
	}
	frequency(t, all)
}

// frequency checks the rule of the examples that counts hits on one agent, of whatever kind.
func frequency(t *testing.T, all []rule) {
	t.Helper()
	began := time.Date(2026, 11, 1, 8, 0, 0, 0, time.UTC)
	type step struct {
		after time.Duration
		agent string
		kind  engine.MatchKind
		want  int
	}
	for name, steps := range map[string][]step{
		"three on one agent": {
			{0, "004", engine.MatchExact, 100622}, {time.Minute, "004", engine.MatchNetwork, 100660}, {2 * time.Minute, "004", engine.MatchExact, 110004},
		},
		"on different agents": {
			{0, "004", engine.MatchExact, 100622}, {1, "005", engine.MatchExact, 100622}, {2, "006", engine.MatchExact, 100622},
		},
		"over a longer time": {
			{0, "004", engine.MatchExact, 100622}, {time.Minute, "004", engine.MatchExact, 100622}, {12 * time.Minute, "004", engine.MatchExact, 100622},
		},
	} {
		d := &analysisd{rules: all}
		for i, s := range steps {
			d.now = began.Add(s.after)
			data, err := enrich.Enrichment{Body: hit(func(b *enrich.Body) {
				b.MatchKind, b.Source.Agent = string(s.kind), &enrich.SourceAgent{ID: s.agent}
			})}.JSON()
			if err != nil {
				t.Fatal(err)
			}
			if got := idOf(d.take(event{"misp", data})); got != s.want {
				t.Errorf("%s, event %d: rule %d, want %d", name, i+1, got, s.want)
			}
		}
	}
}

// TestWithheldDescription checks that an alert about a hit whose texts are withheld has the same level, and a description that
// names no field that is absent.
func TestWithheldDescription(t *testing.T) {
	all := rules(t, "rules/misp_rules.xml")
	for _, tt := range levels() {
		tt.body.Withheld, tt.body.Event.Info = "true", misp.WithheldText
		data, err := enrich.Enrichment{Body: tt.body}.JSON()
		if err != nil {
			t.Fatal(err)
		}
		r := (&analysisd{rules: all}).take(event{"misp", data})
		if idOf(r) != tt.id {
			t.Fatalf("%s: rule %d, want %d", tt.name, idOf(r), tt.id)
		}
		r.checkDescription(t, data)
	}
}
