package engine_test

import (
	"slices"
	"strings"
	"testing"

	"custom-misp/engine"
)

// relation returns how an attribute matches a value of an alert; "" if it does not.
func relation(t *testing.T, typ engine.Type, attribute string, as engine.Type, alert string) engine.MatchKind {
	t.Helper()
	value, err := as.Normal(alert)
	if err != nil {
		t.Fatalf("%s %q: %v", as, alert, err)
	}
	indicators := engine.Indicators(typ, attribute)
	for _, r := range (engine.Observable{Type: as, Value: value}).Related() {
		if slices.Contains(indicators, r.Indicator) {
			return r.Kind
		}
	}
	return ""
}

// TestForms has what compares equal, and what does not although it looks alike. misp/mirror has many more pairs.
func TestForms(t *testing.T) {
	const run = `HKLM\Software\Microsoft\Windows\CurrentVersion\Run`
	for _, tt := range []struct {
		typ       engine.Type
		attribute string
		as        engine.Type
		alert     string
		want      engine.MatchKind
	}{
		// The key of a pair alone is what many programs use: never an exact match.
		{"regkey|value", run + `|Updater`, "regkey", run, engine.MatchHalf},
		{"regkey|value", run + `|Updater`, "regkey", run + `\Updater`, engine.MatchExact},
		{"regkey|value", run + `|Updater`, "regkey", run + `\Other`, ""},
		{"regkey|value", run + `\Updater|C:\a.exe`, "regkey", run + `\Updater`, engine.MatchHalf},
		{"regkey|value", run + `\Updater|C:\a.exe`, "regkey|value", run + `\Updater|C:\a.exe`, engine.MatchExact},
		{"regkey|value", run + `\Updater|"C:\a.exe"`, "regkey|value", run + `\Updater|C:\\a.exe`, engine.MatchExact},
		{"regkey|value", run + `\Updater|C:\a.exe`, "regkey|value", run + `\Updater|C:\b.exe`, ""},
		{"regkey|value", run + `\Updater|C:\a.exe`, "filename", `C:\a.exe`, engine.MatchHalf},
		{"regkey|value", run + `\Updater|a.exe`, "filename", `a.exe`, ""}, // a name alone says too little
		{"regkey|value", run + `\Updater|1`, "text", `1`, ""},
		{"regkey|value", run + `\X|0x10`, "regkey|value", run + `\X|DWORD (0x00000010)`, engine.MatchExact},
		{"regkey|value", run + `\X|16`, "regkey|value", run + `\X|QWORD (0x00000000-0x00000010)`, ""},
		{"regkey|value", run, "regkey", run, ""}, // no pair
		{"regkey", run + `\Updater`, "regkey|value", run + `|Updater`, engine.MatchExact},

		{"regkey", `HKCU\A`, "regkey", `HKU\S-1-5-18\A`, engine.MatchExact},
		{"regkey", `HKCU\A`, "regkey", `HKU\Other\A`, ""},
		{"regkey", `HKU\S-1-5-21-1\A`, "regkey", `HKU\S-1-5-21-2\A`, ""},
		{"regkey", `HKCR\.x`, "regkey", `HKU\S-1-5-21-1_Classes\.x`, engine.MatchExact},
		{"regkey", `HKLM`, "regkey", `HKEY_LOCAL_MACHINE\`, engine.MatchExact},
		{"regkey", `HKLM:\A`, "regkey", `HKLM\A`, engine.MatchExact},
		{"regkey", `[x64] HKEY_LOCAL_MACHINE\A`, "regkey", `HKLM\A`, engine.MatchExact},
		{"regkey", `Software\A`, "regkey", `HKLM\Software\A`, ""},

		{"filename", `C:\Users\a\x.exe`, "filename", `C:\Users\b\x.exe`, ""},
		{"filename", `%USERPROFILE%\x.exe`, "filename", `C:\Users\b\x.exe`, engine.MatchExact},
		{"filename", `%USERPROFILE%\x.exe`, "filename", `C:\Users\Public\x.exe`, ""},
		{"filename", `%USERPROFILE%\x.exe`, "filename", `x.exe`, ""},
		{"filename", `%TEMP%\x.exe`, "filename", `%LOCALAPPDATA%\Temp\x.exe`, engine.MatchExact},
		{"filename", `%LOCALAPPDATA%\Temp\x.exe`, "filename", `%TMP%\x.exe`, engine.MatchExact},
		{"filename", `%LOCALAPPDATA%\Temp\x.exe`, "filename", `C:\Windows\Temp\x.exe`, ""},
		{"filename", `%EVIL%\x.exe`, "filename", `%evil%\x.exe`, engine.MatchExact},
		{"filename", `%EVIL%\x.exe`, "filename", `C:\evil\x.exe`, ""},
		{"filename", `\\server\share\x.exe`, "filename", `\\\\server\\share\\x.exe`, engine.MatchExact},
		{"filename", `\\?\C:\x.exe`, "filename", `C:\x.exe`, engine.MatchExact},
		{"filename", `/usr/bin/x`, "filename", `/usr/bin/X`, engine.MatchExact},

		{"url", `https://mega.example/#!abc`, "url", `https://mega.example/`, engine.MatchKind("")},
		{"url", `https://bad.example/a#b`, "url", `http://bad.example:80/a`, engine.MatchExact},
		{"url", `ftp://bad.example/a`, "url", `http://bad.example/a`, ""},
		{"url", `bad.example`, "url", `https://bad.example/`, engine.MatchExact},
		{"url", `bad`, "url", `http://bad/`, ""},
		{"url", `/in.php`, "url", `http://in.php/`, ""},
		{"url", `http://[::ffff:192.31.196.1]/a`, "url", `http://192.31.196.1/a`, engine.MatchExact},
		{"ip-dst", `::ffff:c01f:c401`, "ip-dst", `192.31.196.1`, engine.MatchExact},
		{"ip-dst", `192.31.196.1`, "ip-src", `::ffff:192.31.196.1`, engine.MatchExact},
	} {
		if got := relation(t, tt.typ, tt.attribute, tt.as, tt.alert); got != tt.want {
			t.Errorf("attribute %s %q, alert %s %q: %q, want %q", tt.typ, tt.attribute, tt.as, tt.alert, got, tt.want)
		}
	}
}

// TestFormsAreKeys holds keys together: what is compared equals itself, also where a key is stored as a value.
func TestFormsAreKeys(t *testing.T) {
	for _, tt := range []struct {
		typ   engine.Type
		value string
	}{
		{"regkey", `HKEY_USERS\S-1-5-21-1_Classes\\A\`},
		{"filename", `C:\Users\a\AppData\Local\Temp\x`},
		{"filename", `%TMP%\x`},
		{"url", "HTTPS://a.example:443/?x#y"},
		{"url", "http://a.example/#x"},
		{"regkey|value", `HKCU\A|%TEMP%\x`},
	} {
		value, err := tt.typ.Normal(tt.value)
		if err != nil {
			t.Fatal(err)
		}
		key := engine.Observable{Type: tt.typ, Value: value}.Indicator()
		if again := (engine.Observable{Type: tt.typ, Value: key.Key}).Indicator(); again != key {
			t.Errorf("%s %q: the key %q has the key %q", tt.typ, tt.value, key.Key, again.Key)
		}
		if got := relation(t, tt.typ, tt.value, tt.typ, tt.value); got != engine.MatchExact {
			t.Errorf("%s %q matches itself: %q", tt.typ, tt.value, got)
		}
	}
}

// TestTextsAreFew asks for as much as Limit expects, and never for what means more than itself.
func TestTextsAreFew(t *testing.T) {
	for _, tt := range []struct {
		typ   engine.Type
		value string
		most  int
	}{
		{"regkey", `HKU\S-1-5-21-1_Classes\A\B`, 140},
		{"regkey", `HKCU\Software\Classes\A`, 140},
		{"regkey", `HKCR\A`, 140},
		{"regkey", `HKLM\System\CurrentControlSet\A`, 140},
		{"regkey|value", `HKCR\A|x`, 140},
		{"filename", `%TEMP%\x`, 12},
		{"filename", `%APPDATA%\x`, 12},
		{"filename", `C:\Windows\Temp\x`, 12},
		{"url", "http://a.example", 18},
	} {
		o := engine.Observable{Type: tt.typ, Value: tt.value}
		seen := map[string]bool{}
		for _, r := range o.Related() {
			if r.Kind != engine.MatchExact && r.Kind != engine.MatchHalf {
				continue
			}
			texts := o.Texts(r)
			for _, v := range texts.Values {
				seen[strings.ToLower(v)] = true
			}
			for _, p := range texts.Patterns {
				seen[strings.ToLower(p)] = true
				if !strings.HasPrefix(p, "%") || strings.HasSuffix(p, "%") || !strings.Contains(p, `\\`) {
					t.Errorf("%s %q: the pattern %q does not end as a path does", tt.typ, tt.value, p)
				}
			}
		}
		if len(seen) > tt.most || len(seen) == 0 {
			t.Errorf("%s %q: %d texts, want at most %d", tt.typ, tt.value, len(seen), tt.most)
		}
	}
}
