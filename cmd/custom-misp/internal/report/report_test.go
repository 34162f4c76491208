package report_test

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"custom-misp/cmd/custom-misp/internal/report"
)

const hostile = `"><script src=https://bad.example/x.js></script><img src=x onerror=alert(1)>` + "\x1b[31m\u202e{{.}}"

// TestPageKeepsTexts writes a page of which every text is hostile: none becomes markup, and nothing is loaded from elsewhere.
func TestPageKeepsTexts(t *testing.T) {
	t.Parallel()
	var bars []report.Bar
	for i := range 50 {
		bars = append(bars, report.Bar{Label: fmt.Sprint(hostile, i), Number: i * 1000})
	}
	var b strings.Builder
	err := report.Page{
		Title: hostile, Facts: []string{hostile}, Warnings: []string{hostile},
		Sections: []report.Section{
			{Title: hostile, Intro: hostile, Plot: report.Plot{Unit: hostile, Bars: bars, Upright: true}},
			{Title: hostile, Plot: report.Plot{Unit: hostile, Bars: bars}, Table: report.Table{Headers: []string{hostile, "N"}, Rows: [][]any{{hostile, 7}}, More: hostile}},
		},
	}.Write(&b)
	if err != nil {
		t.Fatal(err)
	}
	page := b.String()
	for _, s := range []string{"<script", "<img", "<link", "\x1b", "\u202e"} {
		if strings.Contains(page, s) {
			t.Errorf("%q is in the page", s)
		}
	}
	if n := strings.Count(page, "<rect "); n != 2*len(bars) {
		t.Errorf("%d bars, want %d", n, 2*len(bars))
	}
	for _, part := range []string{`default-src 'none'`, `&lt;script src=https://bad.example/x.js&gt;`, `<td class="number">7</td>`} {
		if !strings.Contains(page, part) {
			t.Errorf("no %s in the page", part)
		}
	}
	for _, svg := range regexp.MustCompile(`(?s)<svg.*?</svg>`).FindAllString(page, -1) {
		wellFormed(t, svg)
	}
}

func wellFormed(t *testing.T, text string) {
	t.Helper()
	for d := xml.NewDecoder(strings.NewReader(text)); ; {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
	}
}

// TestBarsFit draws numbers of any size into the area that there is.
func TestBarsFit(t *testing.T) {
	t.Parallel()
	size := regexp.MustCompile(`<rect class="bar" x="(\d+)" y="(\d+)" width="(\d+)" height="(\d+)">`)
	for _, upright := range []bool{true, false} {
		for _, n := range []int{1, 2, 30, 700} {
			var bars []report.Bar
			for i := range n {
				bars = append(bars, report.Bar{Label: "x", Number: i * 1_000_000_000})
			}
			var b strings.Builder
			if err := (report.Page{Sections: []report.Section{{Plot: report.Plot{Bars: bars, Upright: upright}}}}).Write(&b); err != nil {
				t.Fatal(err)
			}
			all := size.FindAllStringSubmatch(b.String(), -1)
			if len(all) != n {
				t.Fatalf("%d of %d bars", len(all), n)
			}
			for _, m := range all {
				checkBar(t, m[1:], upright)
			}
		}
	}
}

// checkBar checks that a bar is within the area, and, if upright, stands on its lower edge.
func checkBar(t *testing.T, texts []string, upright bool) {
	t.Helper()
	var at [4]int // x, y, width, height
	for i, text := range texts {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		at[i] = n
	}
	if at[0]+at[2] > 720 || upright && at[1]+at[3] != 204 {
		t.Errorf("upright %v: a bar at %v", upright, at)
	}
}
