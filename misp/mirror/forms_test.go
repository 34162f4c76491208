package mirror

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/fstest"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/misp"
	"custom-misp/misp/misptest"
)

// A shape is one way in which MISP and an alert write one thing. What differs between the things is in their names.
type shape struct {
	typ       engine.Type // of the attribute
	attribute string
	as        engine.Type // of the value of the alert
	alert     string
	kind      engine.MatchKind
	near      []string // other things, which the attribute must not match, as the alert may write them
}

// %[1]s is a name of its own for each pair, %[2]s that of a user, %[3]s a SID.
var shapes = []shape{
	{"regkey", `HKEY_LOCAL_MACHINE\SOFTWARE\%[1]s\Run`, "regkey", `HKLM\\SOFTWARE\\%[1]s\\Run`, "exact", []string{`HKCU\SOFTWARE\%[1]s\Run`, `HKLM\SOFTWARE\%[1]s`, `HKLM\SOFTWARE\%[1]s\Run\x`}},
	{"regkey", `HKLM\Software\%[1]s`, "regkey", `HKEY_LOCAL_MACHINE\Software\%[1]s`, "exact", []string{`HKEY_USERS\%[3]s\Software\%[1]s`}},
	{"regkey", `HKLM\\Software\\%[1]s`, "regkey", `HKLM\Software\%[1]s`, "exact", []string{`HKLM\Software\%[1]s\%[1]s`}},
	{"regkey", `hklm\software\%[1]s\`, "regkey", `HKLM\\SOFTWARE\\%[1]s`, "exact", nil},
	{"regkey", `HKCU\Software\%[1]s`, "regkey", `HKU\\%[3]s\\Software\\%[1]s`, "exact", []string{`HKLM\Software\%[1]s`, `HKU\%[3]s\%[1]s`}},
	{"regkey", `HKEY_CURRENT_USER\Software\%[1]s`, "regkey", `HKU\%[3]s\Software\%[1]s`, "exact", nil},
	{"regkey", `HKEY_USERS\%[3]s\Software\%[1]s`, "regkey", `HKU\\%[3]s\\Software\\%[1]s`, "exact", []string{`HKU\%[3]s9\Software\%[1]s`}},
	{"regkey", `HKU\%[3]s\Software\%[1]s`, "regkey", `HKCU\Software\%[1]s`, "exact", nil},
	{"regkey", `HKCU\Software\Classes\%[1]s`, "regkey", `HKU\%[3]s_Classes\%[1]s`, "exact", []string{`HKLM\Software\Classes\%[1]s`}},
	{"regkey", `HKEY_CLASSES_ROOT\%[1]s`, "regkey", `HKLM\Software\Classes\%[1]s`, "exact", nil},
	{"regkey", `HKLM\SYSTEM\ControlSet001\Services\%[1]s`, "regkey", `HKLM\System\CurrentControlSet\Services\%[1]s`, "exact", []string{`HKLM\System\ControlSet002\Services\%[1]s`}},
	{"regkey", `\REGISTRY\MACHINE\Software\%[1]s`, "regkey", `HKLM\Software\%[1]s`, "exact", nil},
	{"regkey", `Computer\HKEY_LOCAL_MACHINE\Software\%[1]s`, "regkey", `HKLM\Software\%[1]s`, "exact", nil},

	{"regkey|value", `HKEY_LOCAL_MACHINE\SOFTWARE\Run\%[1]s|C:\x\%[1]s.exe`, "regkey", `HKLM\\SOFTWARE\\Run\\%[1]s`, "half", []string{`HKLM\SOFTWARE\Run\x%[1]s`}},
	{"regkey|value", `HKCU\Software\Run|%[1]s`, "regkey", `HKU\%[3]s\Software\Run\%[1]s`, "exact", []string{`HKLM\Software\Run\%[1]s`}},
	{"regkey|value", `HKLM\SOFTWARE\%[1]s|1`, "regkey|value", `HKLM\\SOFTWARE\\%[1]s|DWORD (0x00000001)`, "exact", []string{`HKLM\SOFTWARE\%[1]s|DWORD (0x00000002)`, `HKLM\SOFTWARE\x%[1]s|1`}},
	{"regkey|value", `HKCU\Software\Run\%[1]s|%%APPDATA%%\%[1]s.exe`, "regkey|value", `HKU\%[3]s\Software\Run\%[1]s|C:\Users\%[2]s\AppData\Roaming\%[1]s.exe`, "exact", []string{`HKU\%[3]s\Software\Run\%[1]s|C:\Users\%[2]s\%[1]s.exe`}},
	{"regkey|value", `HKCU\Software\Run\x|%%APPDATA%%\%[1]s.exe`, "filename", `C:\Users\%[2]s\AppData\Roaming\%[1]s.exe`, "half", []string{`C:\Users\%[2]s\AppData\%[1]s.exe`}},
	{"regkey|value", `HKLM\Software\Run|%[1]s`, "regkey|value", `HKEY_LOCAL_MACHINE\Software\Run|%[1]s`, "exact", []string{`HKLM\Software|%[1]s`}},
	{"regkey", `HKLM\Software\Run\%[1]s`, "regkey|value", `HKEY_LOCAL_MACHINE\Software\Run|%[1]s`, "exact", nil},

	{"filename", `%%APPDATA%%\%[1]s.exe`, "filename", `C:\\Users\\%[2]s\\AppData\\Roaming\\%[1]s.exe`, "exact", []string{`C:\Users\%[2]s\AppData\Local\%[1]s.exe`, `C:\AppData\Roaming\%[1]s.exe`, `C:\Users\%[2]s\AppData\Roaming\x\%[1]s.exe`}},
	{"filename", `%%LOCALAPPDATA%%\%[1]s\a_b.dll`, "filename", `C:\Users\%[2]s\AppData\Local\%[1]s\a_b.dll`, "exact", []string{`C:\Users\%[2]s\AppData\Local\%[1]s\axb.dll`}},
	{"filename", `%%USERPROFILE%%\AppData\Roaming\%[1]s.exe`, "filename", `C:\Users\%[2]s\AppData\Roaming\%[1]s.exe`, "exact", nil},
	{"filename", `%%userprofile%%\Desktop\%[1]s.docm`, "filename", `D:\Users\%[2]s\Desktop\%[1]s.docm`, "exact", []string{`C:\Users\Public\Desktop\%[1]s.docm`, `C:\Desktop\%[1]s.docm`}},
	{"filename", `%%TEMP%%\%[1]s.tmp`, "filename", `C:\Users\%[2]s\AppData\Local\Temp\%[1]s.tmp`, "exact", []string{`C:\Temp\%[1]s.tmp`}},
	{"filename", `%%TMP%%\%[1]s.tmp`, "filename", `C:\Windows\Temp\%[1]s.tmp`, "exact", nil},
	{"filename", `%%WINDIR%%\System32\%[1]s.dll`, "filename", `C:\\WINDOWS\\System32\\%[1]s.dll`, "exact", []string{`C:\Windows\SysWOW64\%[1]s.dll`}},
	{"filename", `%%SystemRoot%%\%[1]s.sys`, "filename", `\SystemRoot\%[1]s.sys`, "exact", nil},
	{"filename", `%%PROGRAMFILES%%\%[1]s\e.exe`, "filename", `C:\Program Files\%[1]s\e.exe`, "exact", []string{`C:\Program Files (x86)\%[1]s\e.exe`}},
	{"filename", `%%PROGRAMFILES%%\(x86)\%[1]s\e.exe`, "filename", `C:\Program Files (x86)\%[1]s\e.exe`, "exact", []string{`C:\Program Files\%[1]s\e.exe`}},
	{"filename", `%%COMMONPROGRAMFILES%%\%[1]s.exe`, "filename", `C:\Program Files\Common Files\%[1]s.exe`, "exact", nil},
	{"filename", `%%ALLUSERSPROFILE%%\%[1]s.exe`, "filename", `C:\ProgramData\%[1]s.exe`, "exact", []string{`C:\Users\%[2]s\%[1]s.exe`}},
	{"filename", `%%PROGRAMDATA%%\%[1]s.exe`, "filename", `C:\Documents and Settings\All Users\%[1]s.exe`, "exact", nil},
	{"filename", `%%PUBLIC%%\%[1]s.vbs`, "filename", `C:\Users\Public\%[1]s.vbs`, "exact", []string{`C:\Users\%[2]s\%[1]s.vbs`}},
	{"filename", `%%SYSTEMDRIVE%%\%[1]s\e.exe`, "filename", `C:\%[1]s\e.exe`, "exact", []string{`D:\%[1]s\e.exe`}},
	{"filename", `%%HOMEDRIVE%%%%HOMEPATH%%\%[1]s.exe`, "filename", `C:\Users\%[2]s\%[1]s.exe`, "exact", nil},
	{"filename", `%%APPDATA%%\%[1]s.exe`, "filename", `C:\Documents and Settings\%[2]s\Application Data\%[1]s.exe`, "exact", nil},
	{"filename", `%%APPDATA%%\%[1]s.exe`, "filename", `\Device\HarddiskVolume3\Users\%[2]s\AppData\Roaming\%[1]s.exe`, "exact", nil},
	{"filename", `C:\Users\%[2]s\AppData\Roaming\%[1]s.exe`, "filename", `%%APPDATA%%\%[1]s.exe`, "exact", []string{`C:\Users\x%[2]s\AppData\Roaming\%[1]s.exe`, `%%LOCALAPPDATA%%\%[1]s.exe`}},
	{"filename", `C:\Users\%[2]s\AppData\Local\Temp\%[1]s.exe`, "filename", `%%TEMP%%\%[1]s.exe`, "exact", nil},
	{"filename", `C:\Windows\%[1]s.exe`, "filename", `%%windir%%\%[1]s.exe`, "exact", []string{`C:\Windows\x\%[1]s.exe`}},
	{"filename", `C:\Users\%[2]s\%[1]s.exe`, "filename", `C:\\Users\\%[2]s\\%[1]s.exe`, "exact", []string{`C:\Users\x%[2]s\%[1]s.exe`, `D:\Users\%[2]s\%[1]s.exe`}},
	{"filename", `C:\\Users\\%[2]s\\%[1]s.exe`, "filename", `C:\Users\%[2]s\%[1]s.exe`, "exact", nil},

	{"url", `http://%[1]s.example/a`, "url", `https://%[1]s.example:443/a#top`, "exact", []string{`http://%[1]s.example:8080/a`, `http://%[1]s.example/A/`, `http://x%[1]s.example/a`}},
	{"url", `%[1]s.example/a?b=c`, "url", `http://%[1]s.example/a?b=c`, "exact", []string{`http://%[1]s.example/a?b=d`}},
	{"url", `http://%[1]s.example:80/`, "url", `http://%[1]s.example/`, "exact", []string{`http://%[1]s.example/x`}},
	{"url", `https://%[1]s.example:443`, "url", `https://%[1]s.example/`, "exact", nil},
	{"url", `https://%[1]s.example`, "url", `http://%[1]s.EXAMPLE:80/`, "exact", nil},
	{"url", `http://%[1]s.example/?b`, "url", `http://%[1]s.example?b`, "exact", nil},
	{"url", `https://%[1]s.example/#!abc`, "url", `https://%[1]s.example/#!abc`, "exact", []string{`https://%[1]s.example/`, `https://%[1]s.example/#!abd`}},
	{"url", `%[1]s.example:8080/a`, "url", `https://%[1]s.example:8080/a`, "exact", []string{`https://%[1]s.example/a`}},
}

// pairs makes attributes and the values of alerts that match them, of each shape in turn.
func pairs(t *testing.T, seed uint64, n int) (attributes []map[string]any, alerts, near []engine.Observable, kinds []engine.MatchKind) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // to be repeated
	normal := func(typ engine.Type, form string, args []any) engine.Observable {
		value, err := typ.Normal(fmt.Sprintf(form, args...))
		must(t, err)
		return observable(typ, value)
	}
	for i := range n {
		s := shapes[i%len(shapes)]
		args := []any{
			fmt.Sprintf("n%x-%d", r.Uint64(), i), []string{"alice", "Bob.Example", "svc_x", "Ä user"}[r.IntN(4)],
			fmt.Sprintf("S-1-5-21-%d-%d-%d-%d", r.Uint32(), r.Uint32(), r.Uint32(), 1000+r.IntN(99)),
		}
		value := fmt.Sprintf(s.attribute, args...)
		attributes = append(attributes, map[string]any{
			"uuid": fmt.Sprintf("00000000-0000-4000-8000-%012d", i), "type": s.typ, "value": value, "to_ids": true, "timestamp": "1780000000",
		})
		alerts = append(alerts, normal(s.as, s.alert, args))
		for _, other := range s.near {
			near = append(near, normal(s.as, other, args))
		}
		kinds = append(kinds, s.kind)
	}
	return attributes, alerts, near, kinds
}

// TestForms makes pairs of attributes and values of alerts that are the same in other forms, and such that are nearly
// the same. The mirror and MISP, asked live, find the first and none of the others.
func TestForms(t *testing.T) {
	t.Parallel()
	const seed = 20261125
	attributes, alerts, near, kinds := pairs(t, seed, 8*len(shapes))
	data, err := json.Marshal(map[string]any{"Event": map[string]any{"uuid": uuidOf("e1"), "published": true, "timestamp": "1780000000", "publish_timestamp": "1780000000", "Attribute": attributes}})
	must(t, err)
	s := newSite(t, misptest.New(t, fstest.MapFS{"1.json": {Data: data}}))
	s.sync()
	live, err := s.client.Lookup(t.Context(), alerts)
	must(t, err)
	mirrored, err := s.mirror.Lookup(t.Context(), alerts)
	must(t, err)
	checkPairs(t, "live", live, attributes, alerts, kinds)
	checkPairs(t, "mirror", mirrored, attributes, alerts, kinds)
	if d := s.difference(append(alerts, near...)); d != "" {
		t.Errorf("MISP and mirror differ (-misp +mirror):\n%s", d)
	}
	for _, o := range near {
		for _, m := range matched(s.mirror, o) {
			if m.Kind == engine.MatchExact || m.Kind == engine.MatchHalf {
				t.Errorf("false: %s", line(m))
			}
		}
	}
	t.Logf("%d values that are nearly the same", len(near))
}

// checkPairs checks that each value matches the attribute of its pair, and no other.
func checkPairs(t *testing.T, name string, matches []enrich.Match, attributes []map[string]any, alerts []engine.Observable, kinds []engine.MatchKind) {
	t.Helper()
	found := map[int]int{}
	byType := map[engine.Type]int{}
	for _, m := range matches {
		var number int
		_, _ = fmt.Sscanf(m.Attribute.UUID[len(m.Attribute.UUID)-12:], "%d", &number)
		if number >= len(alerts) || alerts[number].Value != m.Observable.Value {
			if m.Kind == engine.MatchExact || m.Kind == engine.MatchHalf {
				t.Errorf("%s: false: %s", name, line(m))
			}
			continue
		}
		found[number]++
		byType[shapes[number%len(shapes)].typ]++
		if m.Kind != kinds[number] {
			t.Errorf("%s: %s, want %s", name, line(m), kinds[number])
		}
	}
	for i := range alerts {
		if found[i] != 1 {
			t.Errorf("%s: %d matches of %s %q and %s %q", name, found[i], alerts[i].Type, alerts[i].Value, attributes[i]["type"], attributes[i]["value"])
		}
	}
	t.Logf("%s: %d of %d pairs match, by type %v", name, len(found), len(alerts), byType)
}

// TestOtherForms reads a segment that was written before values were compared in all their forms: what was found then
// still is. The next sync knows the others too, from the mirror and then from MISP.
func TestOtherForms(t *testing.T) {
	t.Parallel()
	attributes, alerts, _, _ := pairs(t, 1, len(shapes))
	data, err := json.Marshal(map[string]any{"Event": map[string]any{"uuid": uuidOf("e1"), "published": true, "timestamp": "1780000000", "publish_timestamp": "1780000000", "Attribute": attributes}})
	must(t, err)
	s := newSite(t, misptest.New(t, fstest.MapFS{"1.json": {Data: data}}))
	s.sync()
	w, err := openWriter(t.Context(), s.syncer.Dir+"/"+ServerName, s.syncer.now, nil)
	must(t, err)
	var plain []misp.Attribute
	must(t, w.replace(t.Context(), func(b *builder) error {
		b.trailer.Forms = 0
		for in, err := range w.set.each() {
			must(t, err)
			if a := in.whole(); len(engine.Literals(engine.Type(a.Type), a.Value)) > 0 {
				plain = append(plain, a)
				must(t, b.add(in.id, a, in.event))
			}
		}
		// As it was: an entry for each literal indicator, and no other.
		b.byIndicator = nil
		next := 0
		for _, e := range b.byUUID {
			for _, i := range engine.Literals(engine.Type(plain[next].Type), plain[next].Value) {
				b.byIndicator = append(b.byIndicator, entry{hashIndicator(i), e.at})
			}
			next++
		}
		return nil
	}, func(st *State) { st.Forms = 0 }))
	must(t, w.close())
	s.mirror.Refresh()
	for _, a := range plain {
		typ := engine.Type(a.Type)
		value, err := typ.Normal(a.Value)
		must(t, err)
		if got := s.finds(typ, value); len(got) != 1 {
			t.Errorf("%s %q: %q, before the next sync", typ, value, got)
		}
	}
	s.tick(UsualOverlap)
	state := s.sync()
	if state.Forms != engine.FormsVersion {
		t.Errorf("forms %d after a sync", state.Forms)
	}
	for i, o := range alerts {
		if len(matched(s.mirror, o)) == 0 {
			t.Errorf("%s %q is not found, although there is %s %q", o.Type, o.Value, attributes[i]["type"], attributes[i]["value"])
		}
	}
}

// TestMappedAddresses finds addresses of version 4 that MISP has as ones of version 6, and the other way round.
func TestMappedAddresses(t *testing.T) {
	t.Parallel()
	s := newSite(t, misptest.New(t, fstest.MapFS{"1.json": {Data: []byte(`{"Event":{"uuid":"` + uuidOf("e1") + `","published":true,"timestamp":"1780000000","publish_timestamp":"1780000000","Attribute":[
		{"uuid":"` + uuidOf("01") + `","type":"ip-dst","value":"::ffff:192.31.196.1","to_ids":true,"timestamp":"1780000000"},
		{"uuid":"` + uuidOf("02") + `","type":"ip-src","value":"::ffff:c01f:c402","to_ids":true,"timestamp":"1780000000"},
		{"uuid":"` + uuidOf("03") + `","type":"ip-dst","value":"192.31.196.3","to_ids":true,"timestamp":"1780000000"}]}}`)}}))
	s.sync()
	var all []engine.Observable
	for raw, want := range map[string]int{
		"192.31.196.1": 1, "192.31.196.2": 1, "::ffff:192.31.196.3": 1, "::ffff:c01f:c403": 1, "192.31.196.4": 0, "::192.31.196.1": 0,
	} {
		value, err := engine.Type("ip-dst").Normal(raw)
		must(t, err)
		o := observable("ip-dst", value)
		all = append(all, o, observable("url", "http://"+value+"/x"))
		if got := matched(s.mirror, o); len(got) != want {
			t.Errorf("%s: %d matches, want %d", raw, len(got), want)
		}
	}
	if d := s.difference(all); d != "" {
		t.Errorf("MISP and mirror differ (-misp +mirror):\n%s", d)
	}
}
