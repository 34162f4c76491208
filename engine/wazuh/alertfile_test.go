package wazuh_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"

	"custom-misp/engine/enrich"
	"custom-misp/engine/wazuh"
)

// readTexts returns what EachText passes on, as "POSITION TEXT" or "POSITION error ERROR".
func readTexts(t testing.TB, r io.Reader) (all []string) {
	t.Helper()
	err := wazuh.EachText("f", r, func(at wazuh.Position, text []byte, err error) error {
		if err != nil {
			if text != nil {
				t.Errorf("%s: error %q with the text %.40q", at, err, text)
			}
			all = append(all, fmt.Sprintf("%s error %v", at, err))
			return nil
		}
		all = append(all, short(fmt.Sprintf("%s %s", at, text)))
		_ = append(text, "the memory of the text is the receiver's"...)
		return nil
	})
	if err != nil {
		t.Errorf("error is %v", err)
	}
	return all
}

// short keeps the ends and the length of a long text.
func short(s string) string {
	if len(s) <= 1000 {
		return s
	}
	return fmt.Sprintf("%s… %d bytes …%s", s[:20], len(s), s[len(s)-5:])
}

func gzipped(t testing.TB, text string) string {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// TestEachText reads each text plain, with a byte order mark, with CRLF, compressed, and in small pieces.
func TestEachText(t *testing.T) {
	const (
		tooLong  = "error longer than an alert can be (1048576 bytes)"
		document = "{\n  \"id\": \"1\",\n  \"rule\": {}\n}"
	)
	longest := `{"x":"` + strings.Repeat("x", enrich.MaxAlert-8) + `"}`
	tests := []struct {
		name, text string
		want       []string
	}{
		{"one alert", `{"id":"1"}`, []string{`f:1 {"id":"1"}`}},
		{"one alert in several lines", document + "\n", []string{"f " + document + "\n"}},
		{"one alert in several lines behind an empty one", "\n" + document, []string{"f \n" + document}},
		{"lines", "{\"id\":\"1\"}\n{\"id\":\"2\"}\n", []string{`f:1 {"id":"1"}`, `f:2 {"id":"2"}`}},
		{"lines, the last one without an end", "{\"id\":\"1\"}\n{\"id\":\"2\"}", []string{`f:1 {"id":"1"}`, `f:2 {"id":"2"}`}},
		{"empty lines", "\n{\"id\":\"1\"}\n \n\t\n{\"id\":\"2\"}\n\n", []string{`f:2 {"id":"1"}`, `f:5 {"id":"2"}`}},
		{"array", `[{"id":"1"}, {"id":"2"}]`, []string{`f[0] {"id":"1"}`, `f[1] {"id":"2"}`}},
		{"array in several lines", "[\n{\"id\":\"1\"},\n {\"id\":\"2\"}\n]\n", []string{`f[0] {"id":"1"}`, `f[1] {"id":"2"}`}},
		{"array of what is not an alert", `[1, "x", [2]]`, []string{"f[0] 1", `f[1] "x"`, "f[2] [2]"}},
		{"empty array", "[]", nil},
		{"array, then lines", "[{\"id\":\"1\"}]\n{\"id\":\"2\"}\n", []string{`f[0] {"id":"1"}`, `f:2 {"id":"2"}`}},
		{"arrays in lines", "[{\"id\":\"1\"},{\"id\":\"2\"}]\n[{\"id\":\"3\"}]\n", []string{`f[0] {"id":"1"}`, `f[1] {"id":"2"}`, `f:2[0] {"id":"3"}`}},
		{"broken array among lines", "{\"id\":\"1\"}\n[{\"id\":\"2\"\n", []string{`f:1 {"id":"1"}`, `f:2 [{"id":"2"`}},
		{"broken first line", "{\"id\":\n{\"id\":\"2\"}\n{\"id\":\"3\"}\n", []string{`f:1 {"id":`, `f:2 {"id":"2"}`, `f:3 {"id":"3"}`}},
		{"broken line", "{\"id\":\"1\"}\n{\"id\":\n{\"id\":\"3\"}\n", []string{`f:1 {"id":"1"}`, `f:2 {"id":`, `f:3 {"id":"3"}`}},
		{"broken alert in several lines", "{\n\"id\": \"1\",\n", []string{"f {\n\"id\": \"1\",\n"}},
		{"not JSON", "one line", []string{"f one line\n"}},
		{"not JSON in several lines", "one line\nand another", []string{"f:1 one line", "f:2 and another"}},
		{"longest line", longest + "\n{}\n", []string{"f:1 " + longest, "f:2 {}"}},
		{"line too long", "{}\n" + longest + " \n{\"id\":\"3\"}\n", []string{"f:1 {}", "f:2 " + tooLong, `f:3 {"id":"3"}`}},
		{"last line too long", "{}\n" + longest + " ", []string{"f:1 {}", "f:2 " + tooLong}},
		{"first line too long", longest + "  \n{\"id\":\"2\"}\n", []string{"f:1 " + tooLong, `f:2 {"id":"2"}`}},
		{"first line too long and broken", "[" + longest + "\n{\"id\":\"2\"}\n", []string{"f:1 " + tooLong, `f:2 {"id":"2"}`}},
		{"only line too long", longest + "  ", []string{"f:1 " + tooLong}},
		{"only line too long and broken", "[" + longest, []string{"f:1 " + tooLong}},
		{"array longer than an alert", "[" + longest + "," + longest + ",{\"id\":\"3\"}]\n", []string{"f[0] " + longest, "f[1] " + longest, `f[2] {"id":"3"}`}},
		{"array in several lines, the first longer than an alert", "[" + longest + ",\n{\"id\":\"2\"}]\n", []string{"f[0] " + longest, `f[1] {"id":"2"}`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var want []string
			for _, w := range tt.want {
				want = append(want, short(w))
			}
			for form, r := range map[string]io.Reader{
				"plain":      strings.NewReader(tt.text),
				"mark":       strings.NewReader("\xef\xbb\xbf" + tt.text),
				"gzip":       strings.NewReader(gzipped(t, tt.text)),
				"gzip, mark": strings.NewReader(gzipped(t, "\xef\xbb\xbf"+tt.text)),
				"halves":     iotest.HalfReader(strings.NewReader(tt.text)),
				"data, EOF":  iotest.DataErrReader(strings.NewReader(tt.text)),
			} {
				if diff := cmp.Diff(want, readTexts(t, r)); diff != "" {
					t.Errorf("%s (-want +got):\n%.3000s", form, diff)
				}
			}
			if len(tt.want) > 0 && strings.HasPrefix(tt.want[0], "f ") {
				return // a document keeps its line ends
			}
			crlf := strings.NewReader(strings.ReplaceAll(tt.text, "\n", "\r\n"))
			if diff := cmp.Diff(want, readTexts(t, crlf)); diff != "" {
				t.Errorf("CRLF (-want +got):\n%.3000s", diff)
			}
		})
	}
}

// TestEachTextUnreadable reads what is not a file of alerts, or ends too early.
func TestEachTextUnreadable(t *testing.T) {
	const lines = "{\"id\":\"1\"}\n{\"id\":\"2\"}\n"
	failing := func(text string) io.Reader {
		return io.MultiReader(strings.NewReader(text), iotest.ErrReader(errors.New("disk on fire")))
	}
	tests := []struct {
		name string
		r    io.Reader
		want []string
	}{
		{"nothing", strings.NewReader(""), []string{"f error empty, not an alert"}},
		{"only a mark", strings.NewReader("\xef\xbb\xbf"), []string{"f error empty, not an alert"}},
		{"empty gzip", strings.NewReader(gzipped(t, "")), []string{"f error empty, not an alert"}},
		{"blank", strings.NewReader(" \n"), []string{"f  \n"}},
		{"no gzip header", strings.NewReader("\x1f\x8b"), []string{"f error gzip: unexpected EOF"}},
		{"wrong gzip header", strings.NewReader("\x1f\x8b123456789"), []string{"f error gzip: gzip: invalid header"}},
		{"truncated gzip of an alert", strings.NewReader(gzipped(t, "{\n\"id\": \"1\"\n}")[:20]), []string{"f error unexpected EOF"}},
		{"fails at once", failing(""), []string{"f error disk on fire"}},
		{"fails behind a line", failing(lines), []string{`f:1 {"id":"1"}`, `f:2 {"id":"2"}`, "f:3 error disk on fire"}},
		{"fails in a line", failing(lines + `{"id"`), []string{`f:1 {"id":"1"}`, `f:2 {"id":"2"}`, "f:3 error disk on fire"}},
		{"fails in the first line", failing(`{"id"`), []string{"f error disk on fire"}},
		{"fails behind a broken line", failing("{\"id\"\n" + lines), []string{`f:1 {"id"`, `f:2 {"id":"1"}`, `f:3 {"id":"2"}`, "f:4 error disk on fire"}},
		{"fails in an alert in several lines", failing("{\n\"id\": \"1\",\n"), []string{"f error disk on fire"}},
		{"fails behind an alert in several lines", failing("{\n\"id\": \"1\"\n}"), []string{"f {\n\"id\": \"1\"\n}", "f error disk on fire"}},
		{"fails behind an array", failing("[{}]\n"), []string{"f[0] {}", "f:2 error disk on fire"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, readTexts(t, tt.r)); diff != "" {
				t.Errorf("(-want +got):\n%.3000s", diff)
			}
		})
	}
}

// TestEachTextBrokenGzip reads compressed lines that end too early, or were changed: what is whole is passed on, then one
// error at its line.
func TestEachTextBrokenGzip(t *testing.T) {
	var text strings.Builder
	var all []string
	for i := range 20_000 {
		line := fmt.Sprintf(`{"id":"%d","sum":"%x"}`, i, i*i*i*7919)
		text.WriteString(line + "\n")
		all = append(all, fmt.Sprintf("f:%d %s", i+1, line))
	}
	packed := gzipped(t, text.String())
	tests := []struct {
		name, packed, want string
		whole              bool
	}{
		{"half", packed[:len(packed)/2], "unexpected EOF", false},
		{"without the last bytes", packed[:len(packed)-3], "unexpected EOF", true},
		{"wrong checksum", packed[:len(packed)-8] + "x" + packed[len(packed)-7:], "gzip: invalid checksum", true},
		{"rubbish behind", packed + "rubbish, longer than a header", "gzip: invalid header", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := readTexts(t, strings.NewReader(tt.packed))
			n := len(got) - 1
			if n < 1000 || tt.whole && n != len(all) {
				t.Fatalf("%d lines", n)
			}
			want := append(slices.Clone(all[:n]), fmt.Sprintf("f:%d error %s", n+1, tt.want))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%.3000s", diff)
			}
		})
	}
}

// TestEachTextHuge reads a document that is longer than one may be: no line of it is lost.
func TestEachTextHuge(t *testing.T) {
	t.Parallel()
	const lines = 65
	line := strings.Repeat(" ", enrich.MaxAlert-2) + "1,\n" // with its comma not JSON
	inLines := io.MultiReader(strings.NewReader("[0,\n"), strings.NewReader(strings.Repeat(line, lines)), strings.NewReader("2]\n"))
	n, last := 0, ""
	err := wazuh.EachText("f", inLines, func(at wazuh.Position, text []byte, err error) error {
		n++
		last = at.String() + " " + string(text)
		return err
	})
	if err != nil || n != lines+2 || last != "f:67 2]" {
		t.Errorf("%d texts, the last one %q; %v", n, last, err)
	}
	inOne := io.MultiReader(strings.NewReader("["), strings.NewReader(strings.Repeat(line[:len(line)-1], lines)), strings.NewReader("2]\n{}"))
	want := []string{"f:1 error longer than an alert can be (1048576 bytes)", "f:2 {}"}
	if diff := cmp.Diff(want, readTexts(t, inOne)); diff != "" {
		t.Errorf("(-want +got):\n%.3000s", diff)
	}
}

// TestEachTextStops checks that an error of the receiver ends the reading, wherever it comes.
func TestEachTextStops(t *testing.T) {
	stop := errors.New("enough")
	for _, text := range []string{"", "{}\n{}\n", "[{},{}]\n{}\n", "{\n}\n", "x\ny\n", "\x1f\x8b", strings.Repeat("x", enrich.MaxAlert+1) + "\n{}\n"} {
		n := 0
		err := wazuh.EachText("f", strings.NewReader(text), func(wazuh.Position, []byte, error) error {
			n++
			return stop
		})
		if !errors.Is(err, stop) || n != 1 {
			t.Errorf("%.20q: %v after %d calls", text, err, n)
		}
	}
}

// FuzzEachText reads any bytes. Whatever form they come in, they are the same texts, and no alert in a line of its own is
// lost, unless the whole is one document.
func FuzzEachText(f *testing.F) {
	for _, text := range []string{
		"{\"id\":\"1\"}\n{\"id\":\"2\"}\n", "[{\"id\":\"1\"}]\n{}", "{\n\"id\": \"1\"\n}", "{\n{}\n", "\n\n{}\r\n", "[\n1]\n2",
		"\x1f\x8b\x08", gzipped(f, "{}\n{}"), "\xef\xbb\xbf{}", "[[", "{}\n{\n}",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got := readTexts(t, bytes.NewReader(data))
		if bytes.HasPrefix(data, []byte("\x1f\x8b")) || bytes.HasPrefix(data, []byte("\xef\xbb\xbf")) {
			return
		}
		for _, form := range []string{gzipped(t, string(data)), "\xef\xbb\xbf" + string(data)} {
			if diff := cmp.Diff(got, readTexts(t, strings.NewReader(form))); diff != "" {
				t.Errorf("in another form (-plain +other):\n%s", diff)
			}
		}
		if gjson.ValidBytes(data) || strings.HasPrefix(strings.Join(got, "\n"), "f ") {
			return // one document, or a broken one
		}
		number := 0
		for line := range bytes.SplitSeq(data, []byte("\n")) {
			number++
			line = bytes.TrimRight(line, "\r")
			if trimmed := bytes.TrimSpace(line); !bytes.HasPrefix(trimmed, []byte("{")) || !gjson.ValidBytes(line) {
				continue
			}
			if want := short(fmt.Sprintf("f:%d %s", number, line)); !slices.Contains(got, want) {
				t.Errorf("%q is missing in %q", want, got)
			}
		}
	})
}

// TestEachTextOfAnswers reads the answers of searches, in one line, in several, and beside alerts.
func TestEachTextOfAnswers(t *testing.T) {
	const answer = `{"took":1,"hits":{"total":{"value":2},"hits":[{"_source":{"id":"1"}},{"_source":{"id":"2"}}]}}`
	for name, text := range map[string]string{
		"one line":      answer,
		"several lines": strings.ReplaceAll(answer, ",", ",\n"),
		"of Discover":   `{"isPartial":false,"rawResponse":` + answer + `}`,
		"as lines":      `{"id":"0"}` + "\n" + answer + "\n" + `{"id":"3"}` + "\n",
	} {
		var got []string
		err := wazuh.EachText("x", strings.NewReader(text), func(_ wazuh.Position, text []byte, err error) error {
			got = append(got, string(text))
			return err
		})
		want := []string{`{"_source":{"id":"1"}}`, `{"_source":{"id":"2"}}`}
		if name == "as lines" {
			want = append(append([]string{`{"id":"0"}`}, want...), `{"id":"3"}`)
		}
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
}

// noEnd is a text without a line end, and without an end.
type noEnd struct{}

func (noEnd) Read(p []byte) (int, error) { return copy(p, manyX), nil }

var manyX = strings.Repeat("x", 64<<10)

// TestEachTextEnds reads a file that has no end behind an alert: it is given up.
func TestEachTextEnds(t *testing.T) {
	t.Parallel()
	all := readTexts(t, io.MultiReader(strings.NewReader("{}\n"), noEnd{}))
	if len(all) != 2 || !strings.Contains(all[1], "no line ends within 1073741824 bytes") {
		t.Errorf("%.500q", all)
	}
}
