// Package report writes what a verb has found as one HTML page: tables and plots that need no network, no script and no other
// file. Every text may come from an alert; html/template escapes it where it stands, and a policy in the page keeps a browser
// from loading anything.
package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"sync"

	"custom-misp/cmd/custom-misp/internal/cli"
)

// A Page is what is written.
type Page struct {
	Title string
	// Facts are shown below the title, one line each.
	Facts []string
	// Warnings are facts that a reader must not overlook.
	Warnings []string
	Sections []Section
}

// A Section is a heading with a plot, a table or both.
type Section struct {
	Title string
	Intro string // one sentence; may be empty
	Plot  Plot   // without bars there is none
	Table Table  // without headers there is none
}

// A Table has as many cells in each row as it has headers. Numbers are aligned to the right.
type Table struct {
	Headers []string
	Rows    [][]any
	// Grouped says that rows with the same first cell belong together. On a terminal it is a heading above them.
	Grouped bool
	// More says what is left out; empty if nothing is.
	More string
}

// A Plot shows a number for each of some names, as bars.
type Plot struct {
	Unit string // of the numbers, such as "hits"
	Bars []Bar
	// Upright has the bars stand beside each other, in the order of time. Otherwise they lie below each other.
	Upright bool
}

// A Bar is one number of a plot, 0 at least.
type Bar struct {
	Label  string
	Number int
}

//go:embed page.html
var pageText string

// page is made when it is first needed: few verbs write one.
var page = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("page.html").Funcs(template.FuncMap{
		"number": func(v any) bool {
			_, ok := v.(int)
			return ok
		},
		"drawn": drawn,
		"clean": func(v any) string { return cli.Clean(fmt.Sprint(v)) },
	}).Parse(pageText))
})

// Write writes a page.
func (p Page) Write(w io.Writer) error { return page().Execute(w, p) }

// A drawing is a plot with the places of its parts, in pixels.
type drawing struct {
	Upright        bool
	Width, Height  int
	Right, Base    int // the end of the area of the bars, and its lower edge
	Unit, Greatest string
	Bars           []drawnBar
}

// A drawnBar is a bar of a drawing.
type drawnBar struct {
	X, Y, Width, Height int
	LabelX, LabelY      int
	Label               string // that is written; empty for one that has no room
	Name                string // in full
	Number              int
}

// The measures of a drawing, in pixels.
const (
	plotWidth  = 720
	plotHeight = 180
	margin     = 24
	labelWidth = 250 // beside lying bars
	rowHeight  = 20
	mostLabel  = 36 // characters
	mostTicks  = 10 // labels below upright bars
)

// drawn returns where the parts of a plot are.
func drawn(p Plot) drawing {
	greatest := 1
	for _, b := range p.Bars {
		greatest = max(greatest, b.Number)
	}
	d := drawing{Upright: p.Upright, Width: plotWidth, Unit: cli.Clean(p.Unit), Greatest: fmt.Sprint(greatest)}
	if p.Upright {
		d.upright(p.Bars, greatest)
	} else {
		d.lying(p.Bars, greatest)
	}
	return d
}

func (d *drawing) upright(bars []Bar, greatest int) {
	d.Height, d.Base, d.Right = plotHeight+2*margin, plotHeight+margin, plotWidth
	area := plotWidth - 2*margin
	every := (len(bars) + mostTicks - 1) / mostTicks
	for i, b := range bars {
		x, next := margin+area*i/len(bars), margin+area*(i+1)/len(bars)
		height := length(b.Number, greatest, plotHeight)
		bar := drawnBar{
			X: x, Y: d.Base - height, Width: max(1, next-x-1), Height: height,
			LabelX: x, LabelY: d.Base + margin/2 + 4, Name: b.Label, Number: b.Number,
		}
		if i%every == 0 {
			bar.Label = cli.Shorten(b.Label, mostLabel)
		}
		d.Bars = append(d.Bars, bar)
	}
}

func (d *drawing) lying(bars []Bar, greatest int) {
	d.Height, d.Right = rowHeight*len(bars)+margin, plotWidth
	d.Base = d.Height
	area := plotWidth - labelWidth - 3*margin
	for i, b := range bars {
		d.Bars = append(d.Bars, drawnBar{
			X: labelWidth, Y: margin + rowHeight*i, Width: length(b.Number, greatest, area), Height: rowHeight - 4,
			LabelX: labelWidth - 6, LabelY: margin + rowHeight*i + 12, Label: cli.Shorten(b.Label, mostLabel), Name: b.Label, Number: b.Number,
		})
	}
}

// length returns how long the bar of a number is: one pixel at least, unless it is 0.
func length(number, greatest, most int) int {
	if number <= 0 {
		return 0
	}
	return max(1, int(float64(number)/float64(greatest)*float64(most)))
}
