package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/engine/yamlfile"
)

// linted is what lint looked at.
type linted struct {
	files, mappings int
	trial           *lintTrial // nil without alerts
}

// writeFaults writes what lint found in the form asked for.
func writeFaults(s cli.Streams, output string, faults yamlfile.Faults, of linted) error {
	switch output {
	case "json":
		return cli.WriteJSON(s.Out, append(yamlfile.Faults{}, faults...))
	case "sarif":
		return writeSARIF(s.Out, faults)
	case "github":
		for _, f := range faults {
			fmt.Fprintf(s.Out, "::%s file=%s,line=%d,col=%d::%s\n", level(f), escapeProperty(cli.Clean(f.File)), f.Line, f.Column, escapeData(cli.Clean(f.Sentence())))
		}
		return nil
	}
	cli.PrintFaults(s.Out, faults)
	wrong := map[string]bool{}
	count := map[bool]int{}
	for _, f := range faults {
		wrong[f.File] = true
		count[f.Warning]++
	}
	summary := "no faults"
	switch {
	case count[false] > 0 && count[true] > 0:
		summary = cli.Plural(count[false], "fault") + " and " + cli.Plural(count[true], "warning")
	case count[false] > 0:
		summary = cli.Plural(count[false], "fault")
	case count[true] > 0:
		summary = "no faults, " + cli.Plural(count[true], "warning")
	}
	if len(faults) > 0 {
		fmt.Fprintf(s.Out, "%s in %s\n", summary, cli.Plural(len(wrong), "file"))
	} else {
		fmt.Fprintf(s.Out, "%s with %s, no faults\n", cli.Plural(of.files, "file"), cli.Plural(of.mappings, "mapping"))
	}
	if of.trial != nil {
		fmt.Fprintln(s.Out, of.trial.summary())
	}
	return nil
}

func level(f yamlfile.Fault) string {
	if f.Warning {
		return "warning"
	}
	return "error"
}

// escapeData and escapeProperty write texts into GitHub's workflow commands.
func escapeData(s string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(s)
}

func escapeProperty(s string) string {
	return strings.NewReplacer(":", "%3A", ",", "%2C").Replace(escapeData(s))
}

// writeSARIF writes SARIF 2.1.0, which code scanning services read.
func writeSARIF(w io.Writer, faults yamlfile.Faults) error {
	type object = map[string]any
	results := []object{}
	for _, f := range faults {
		results = append(results, object{
			"ruleId": "mapping-" + level(f), "level": level(f), "message": object{"text": f.Sentence()},
			"locations": []object{{"physicalLocation": object{
				"artifactLocation": object{"uri": filepath.ToSlash(f.File)},
				"region":           object{"startLine": max(1, f.Line), "startColumn": max(1, f.Column)},
			}}},
		})
	}
	return cli.WriteJSON(w, object{
		"version": "2.1.0", "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
		"runs": []object{{
			"tool": object{"driver": object{"name": "custom-misp", "version": cli.Version(), "rules": []object{
				{"id": "mapping-error", "shortDescription": object{"text": "A fault in a mapping file"}},
				{"id": "mapping-warning", "shortDescription": object{"text": "A mapping that compiles, but probably not as intended"}},
			}}},
			"results": results,
		}},
	})
}
