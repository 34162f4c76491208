package engine

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"testing"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/parser"
	"github.com/google/go-cmp/cmp"

	"custom-misp/mappings"
)

// packPatterns returns the regular expressions of the built-in mappings: those of picks and those of matches.
func packPatterns(t testing.TB) []string {
	t.Helper()
	sources, err := ReadFS(mappings.FS, "mappings")
	if err != nil {
		t.Fatal(err)
	}
	e, err := Load(sources...)
	if err != nil {
		t.Fatal(err)
	}
	seen, list := map[string]bool{}, []string{}
	add := func(expr string) {
		if !seen[expr] {
			seen[expr] = true
			list = append(list, expr)
		}
	}
	ofExpression := func(source string) {
		tree, err := parser.Parse(source)
		if err != nil {
			t.Fatal(err)
		}
		ast.Walk(&tree.Node, visitor(func(n ast.Node) {
			if b, ok := n.(*ast.BinaryNode); ok && b.Operator == "matches" {
				add(b.Right.(*ast.StringNode).Value)
			}
		}))
	}
	for _, m := range e.mappings {
		m = m.whole()
		ofExpression(m.match.source)
		for _, p := range m.picks {
			if p.keep != nil {
				ofExpression(p.keep.source)
			}
			if p.regex != nil {
				add(p.regex().regexp().String())
			}
		}
	}
	return list
}

// oddPatterns have what those of the mappings do not have.
var oddPatterns = []string{
	``, `^`, `$`, `^$`, `\A\z`, `\b`, `\B`, `(?m)^a$`, `(?m)^$`, `(?s)a.b`, `a.b`, `(?i)straße`, `(?i)k`, `(?i)ſ`, `\p{Greek}+`, `[^\x00-\x7f]`, `\x{fffd}`, `[[:^alpha:]]`, `\W\b`,
	`é?x`, `(a|ab)(c|bcd)`, `(?:a|b)*a(?:a|b){12}c`, `a{0}`, `(?:a?){30}a{30}`, `\bab\b`, `[a-c]+?d`, `(?U)a+`, `a\z|b$`, `(?m)a$|b\n`, `.`, `(?s).`, `[^a]`,
}

// patternText returns a text in which patterns may match: a part of an alert, or characters that patterns look for.
func patternText(rng *rand.Rand, alerts []string) string {
	var text []byte
	if rng.IntN(2) == 0 {
		a := alerts[rng.IntN(len(alerts))]
		from := rng.IntN(len(a))
		text = []byte(a[from:min(len(a), from+rng.IntN(300))])
	} else {
		const letters = "aAbBcCdkKsS:\\/.-_ =0129exeEXEdll\r\nusersUSERSwindows\"'<>@()[]{}%$"
		for range rng.IntN(40) {
			text = append(text, letters[rng.IntN(len(letters))])
		}
	}
	for range rng.IntN(3) {
		odd := []string{"é", "ſ", "\u212a", "\xff", "\n", "\ufffd", "α", "ß", "C:\\\\Users\\\\", "sha256: ", "from "}[rng.IntN(11)]
		at := rng.IntN(len(text) + 1)
		text = append(text[:at:at], append([]byte(odd), text[at:]...)...)
	}
	return string(text)
}

func alertTexts(t testing.TB) (texts []string) {
	t.Helper()
	names, err := filepath.Glob("../testdata/alerts/*.json")
	if err != nil || len(names) == 0 {
		t.Fatal("no alerts", err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(data))
	}
	return texts
}

// checkPattern compares what a pattern says about a text with what Go's regexp says.
func checkPattern(t *testing.T, p *pattern, text string) (matched bool) {
	t.Helper()
	want := p.regexp().MatchString(text)
	if got, err := p.matches(text, new(maxExprWork)); got != want || err != nil {
		t.Errorf("%q matches %q: %t, %v; regexp has %t", p.regexp(), text, got, err, want)
	}
	var all [][]int
	if unread, more := p.findAll(text, func(_ string, m []int) bool { all = append(all, m); return true }); unread > 0 || !more {
		t.Errorf("%q in %q: %d bytes unread, more %t", p.regexp(), text, unread, more)
	}
	if diff := cmp.Diff(p.regexp().FindAllStringSubmatchIndex(text, -1), all); diff != "" {
		t.Errorf("%q in %q (-regexp +pattern):\n%s", p.regexp(), text, diff)
	}
	return want
}

// TestPatternsAreThoseOfRegexp compares all patterns of the built-in mappings, and odd ones, with Go's regexp.
func TestPatternsAreThoseOfRegexp(t *testing.T) {
	t.Parallel()
	alerts, rng := alertTexts(t), rand.New(rand.NewPCG(1, 2))
	exprs := append(packPatterns(t), oddPatterns...)
	compared, matched, decided, literals := 0, 0, 0, 0
	for _, expr := range exprs {
		p := newPattern(regexp.MustCompile(expr))
		if p.literal != "" {
			literals++
		}
		for range 250 {
			text := patternText(rng, alerts)
			compared++
			if checkPattern(t, p, text) {
				matched++
			}
			if _, known := p.mayMatch(text); known {
				decided++
			}
		}
	}
	t.Logf("%d patterns, %d with a literal, %d comparisons, %d matches, %d decided by the dfa", len(exprs), literals, compared, matched, decided)
	if len(exprs) < 220 || matched < 5000 || decided != compared {
		t.Error("too few")
	}
}

// TestPatternsConcurrently runs patterns in many goroutines while their states are made, and made anew.
func TestPatternsConcurrently(t *testing.T) {
	t.Parallel()
	alerts := alertTexts(t)
	for _, expr := range append(packPatterns(t)[:40], `(?:a|b)*a(?:a|b){12}c`, `(?i)\b[a-z]+\d{1,30}\b`) {
		p := newPattern(regexp.MustCompile(expr))
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(uint64(i), 2))
				for range 100 {
					text := patternText(rng, alerts)
					if got, err := p.matches(text, new(maxExprWork)); got != p.regexp().MatchString(text) || err != nil {
						t.Errorf("%q matches %q: %t, %v", p.regexp(), text, got, err)
					}
				}
			})
		}
		wg.Wait()
	}
}

// TestPatternMemory makes a pattern meet more states than it may keep, and then too many for one text.
func TestPatternMemory(t *testing.T) {
	t.Parallel()
	p := newPattern(regexp.MustCompile(`(?:a|b)*a(?:a|b){12}c`))
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		text := make([]byte, 400)
		for i := range text {
			text[i] = "ab"[rng.IntN(2)]
		}
		if found, known := p.program().dfa.match(string(text) + "c"); known && found != p.regexp().Match(append(text, 'c')) {
			t.Fatalf("%s: %t", text, found)
		}
		if p.program().dfa.size > maxDFASize+4096 {
			t.Fatalf("%d bytes of states", p.program().dfa.size)
		}
	}
	long := make([]byte, 50_000)
	for i := range long {
		long[i] = "ab"[rng.IntN(2)]
	}
	if _, known := p.program().dfa.match(string(long)); known {
		t.Error("a text that needs thousands of states was decided")
	}
	if got, err := p.matches(string(long)+"c", new(maxExprWork)); got != p.regexp().MatchString(string(long)+"c") || err != nil {
		t.Errorf("%t, %v", got, err)
	}
}

// FuzzPattern compares any pattern with Go's regexp.
func FuzzPattern(f *testing.F) {
	alerts, rng := alertTexts(f), rand.New(rand.NewPCG(5, 6))
	for _, expr := range append(packPatterns(f), oddPatterns...) {
		f.Add(expr, patternText(rng, alerts))
	}
	f.Fuzz(func(t *testing.T, expr, text string) {
		re, err := regexp.Compile(expr)
		if err != nil || len(expr) > 200 || len(text) > 1000 {
			return
		}
		if p := newPattern(re); !p.tooLong(text) {
			checkPattern(t, p, text)
		}
	})
}
