package wazuh

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// This file reads alerts that Wazuh's dashboard exports as CSV (Discover, Reporting): the first row has the paths of the fields
// that were selected, each further row an alert. The separator is a setting of the report, a field that an alert does not have is
// empty, and the items of an array are joined by commas (opensearch-project/dashboards-reporting, dataReportHelpers.ts).

// maxColumns is how many columns a table of alerts has at most.
const maxColumns = 5000

// columnPath is what the name of a column looks like: a path of fields.
var columnPath = regexp.MustCompile(`^[@_A-Za-z][^\s,;|"{}\[\]]*$`)

// separators are those that a report can have, the usual one first.
var separators = []rune{',', ';', '\t', '|'}

// tableOf reads the first row of a table of alerts; nil if a line is none. A path names a field of an alert in one column at
// least.
func tableOf(first []byte) (paths []string, separator rune) {
	for _, separator := range separators {
		r := csv.NewReader(bytes.NewReader(first))
		r.Comma = separator
		row, err := r.Read()
		if err != nil || len(row) < 2 || len(row) > maxColumns || slices.ContainsFunc(row, func(s string) bool { return !columnPath.MatchString(s) }) {
			continue
		}
		known := false
		for i, path := range row {
			row[i] = strings.TrimPrefix(path, "_source.")
			root, _, below := strings.Cut(row[i], ".")
			known = known || below && slices.Contains([]string{"rule", "agent", "data", "syscheck", "decoder"}, root) || row[i] == "full_log"
		}
		if known {
			return row, separator
		}
	}
	return nil, 0
}

// passTable passes on the rows behind the first one. A row that cannot be read is passed as an error; one that is too long, or
// broken in a quote, ends the table.
func (l *lines) passTable(paths []string, separator rune) error {
	in := &rowReader{in: l.in, left: maxDocument}
	r := csv.NewReader(in)
	r.Comma, r.FieldsPerRecord, r.LazyQuotes, r.ReuseRecord = separator, -1, true, true
	for {
		row, err := r.Read()
		in.left = maxDocument
		at := Position{l.name, l.number, -1}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			line, _ := r.FieldPos(0)
			at.Line += max(line, 1)
			return l.do(at, nil, fmt.Errorf("table of alerts: %w", err))
		}
		line, _ := r.FieldPos(0)
		at.Line += line
		if len(row) > len(paths) {
			err = fmt.Errorf("table of alerts: %d cells, and the first row names %d columns; does a cell with the separator lack its quotes?", len(row), len(paths))
			if err := l.do(at, nil, err); err != nil {
				return err
			}
			continue
		}
		text, err := alertOf(paths, row)
		if err := l.do(at, text, err); err != nil {
			return err
		}
	}
}

// alertOf makes JSON of a row.
func alertOf(paths, row []string) ([]byte, error) {
	alert := map[string]any{}
	for i, cell := range row {
		if strings.TrimSpace(cell) == "" {
			continue
		}
		var value any = cell
		switch level, err := strconv.Atoi(cell); {
		case paths[i] == "rule.level" && err == nil:
			value = level
		case paths[i] == "rule.groups":
			value = strings.FieldsFunc(cell, func(r rune) bool { return r == ',' || r == ' ' })
		}
		set(alert, strings.Split(paths[i], "."), value)
	}
	return json.Marshal(alert)
}

// set puts a value at a path. Where another column has a text in the place of an object, the object stays.
func set(object map[string]any, path []string, value any) {
	for _, name := range path[:len(path)-1] {
		below, ok := object[name].(map[string]any)
		if !ok {
			below = map[string]any{}
			object[name] = below
		}
		object = below
	}
	if last := path[len(path)-1]; object[last] == nil {
		object[last] = value
	}
}

// rowReader reads a bounded number of bytes for one row: a quote that does not end would take the whole file.
type rowReader struct {
	in   io.Reader
	left int
}

func (r *rowReader) Read(p []byte) (int, error) {
	if r.left <= 0 {
		return 0, fmt.Errorf("a row is longer than %d bytes; does a quote not end?", maxDocument)
	}
	n, err := r.in.Read(p)
	r.left -= n
	return n, err
}
