package mappingtest

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"custom-misp/engine"
)

// Pack describes mappings to people, in Markdown: product, event types, fields, types of observables.
func Pack(mappings []engine.Mapping) string {
	products := map[string][]engine.Mapping{}
	var names []string
	for _, m := range mappings {
		name := cmp.Or(m.Product, m.File)
		if products[name] == nil {
			names = append(names, name)
		}
		products[name] = append(products[name], m)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Compare(strings.ToLower(a), strings.ToLower(b)) })
	var b strings.Builder
	fmt.Fprintf(&b, `# Built-in mappings

Written by "go test ./cmd/custom-misp -run Generated -update" from the files themselves: %d mappings for %d products. What a file does
not cover stands at its head. [README.md](README.md) has the language.

| product | mapping | picks | from |
|---|---|---|---|
`, len(mappings), len(names))
	for _, name := range names {
		file := ""
		for _, m := range products[name] {
			shown := ""
			if m.File != file {
				file = m.File
				shown = fmt.Sprintf("[%s](%s)", cell(name), path.Base(file))
			}
			var types, paths []string
			for _, p := range m.Picks {
				if !slices.Contains(types, string(p.Type)) {
					types = append(types, string(p.Type))
				}
				for _, field := range fieldsOf(p) {
					if !slices.Contains(paths, field) {
						paths = append(paths, field)
					}
				}
			}
			fmt.Fprintf(&b, "| %s | `%s`: %s | %s | %s |\n", shown, m.ID, cell(m.Description), cell(strings.Join(types, ", ")), cell(strings.Join(paths, " ")))
		}
	}
	return b.String()
}

// fieldsOf returns where a pick takes values from: its path, or names of members.
func fieldsOf(p engine.MappingPick) []string {
	const shown = 8
	if len(p.Names) == 0 {
		return []string{"`" + p.Path + "`"}
	}
	fields := make([]string, 0, shown+1)
	for i, name := range p.Names {
		if i == shown {
			fields = append(fields, "…")
			break
		}
		fields = append(fields, "`"+name+"`")
	}
	return fields
}

// cell keeps a text from ending its cell of the table.
func cell(s string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(s), " "), "|", `\|`)
}
