package engine

import "testing"

// The tests here use exported types without a function of this package to make them.

const zeroAlert = `{"rule":{"groups":["a"]},"decoder":{"name":"d"},"data":{"x":"192.31.196.1"}}`

func anyAddress(t *testing.T) *Engine {
	t.Helper()
	e, err := Load(Source{Name: "m.yaml", Data: []byte("version: 1\nmappings: [{id: a, match: 'true', pick: [{path: data.x, type: ip-dst}]}]\n")})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestZeroEngine(t *testing.T) {
	t.Parallel()
	alert := []byte(zeroAlert)
	var e Engine
	for range 2 { // the second run comes from the pool
		if found, err := e.Pick(alert); len(found) > 0 || err != nil {
			t.Errorf("%v, %v", found, err)
		}
	}
	if x := e.Explain(alert); x.Decoder != "d" || len(x.Groups) != 1 || len(x.Mappings)+len(x.Observables) > 0 {
		t.Errorf("explanation %+v", x)
	}
	if e.Len() != 0 || len(e.Mappings()) > 0 || e.Context("a", alert) != nil {
		t.Errorf("the zero engine has %+v", e.Mappings())
	}
	if groups, decoders := e.Required(); len(groups)+len(decoders) > 0 {
		t.Errorf("required %q, %q", groups, decoders)
	}
	site, err := e.For(Site{Ignore: &Ignore{}})
	if err != nil {
		t.Fatal(err)
	}
	if found, err := site.Pick(alert); len(found) > 0 || err != nil {
		t.Errorf("%v, %v", found, err)
	}
}

func TestZeroSite(t *testing.T) {
	t.Parallel()
	e := anyAddress(t)
	for name, s := range map[string]Site{"zero": {}, "zero Ignore": {Ignore: &Ignore{}}} {
		site, err := e.For(s)
		if err != nil {
			t.Fatal(err)
		}
		if found, err := site.Pick([]byte(zeroAlert)); len(found) != 1 || err != nil {
			t.Errorf("%s: %v, %v", name, found, err)
		}
	}
}

func TestZeroFilter(t *testing.T) {
	t.Parallel()
	var f *Filter
	if got := f.Over(Filter{}); !got.Wants(MatchExact) || !got.Wants("") {
		t.Errorf("%+v wants nothing", got)
	}
}

func TestZeroTypes(t *testing.T) {
	t.Parallel()
	if _, err := Load(Source{}); err == nil || err.Error() != ":1:1: the file is empty; write something into it, or remove it" {
		t.Errorf("the zero source: %v", err)
	}
	var typ Type
	if v, err := typ.Normal("x"); typ.Pickable() || v != "x" || err != nil || len(typ.Family().Asks()) > 0 || Indicators(typ, "x") != nil {
		t.Errorf("the zero type: %q, %v", v, err)
	}
	if got := (Observable{}).Related(); len(got) != 1 {
		t.Errorf("the zero observable is related to %v", got)
	}
}

// TestSiteKeepsWhatIsIgnored changes a site twice: what it ignores stays ignored.
func TestSiteKeepsWhatIsIgnored(t *testing.T) {
	t.Parallel()
	e := anyAddress(t)
	ig, err := NewIgnore([]string{"192.31.196.0/24"})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []Site{{Ignore: ig}, {}, {Disable: []string{}}} {
		if e, err = e.For(s); err != nil {
			t.Fatal(err)
		}
		if found, err := e.Pick([]byte(zeroAlert)); len(found) > 0 || err != nil {
			t.Errorf("%+v: %v, %v", s, found, err)
		}
	}
}
