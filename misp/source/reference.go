package source

import (
	"fmt"
	"strings"

	"custom-misp/engine"
	"custom-misp/engine/yamlfile"
)

// Schema returns the JSON Schema (2020-12) of files of sources.
func Schema() yamlfile.Schema {
	s := FileShape().JSONSchema()
	s["$schema"], s["$id"], s["title"] = "https://json-schema.org/draft/2020-12/schema", "source.schema.json", "Files of sources of custom-misp"
	return s
}

// formatDocs says what each format is.
var formatDocs = map[Format]string{
	FormatLines: "a value a line, also with remarks behind it; with `scan`, free text", FormatCSV: "a table, with or without names of its columns",
	FormatJSON: "one JSON document with rows in it", FormatNDJSON: "a JSON object in each line", FormatSTIX: "bundles of STIX 2.0 and 2.1, or objects, one a line",
	FormatMISP:  "events and attributes as MISP exports and publishes them; at an address or a path of a directory, a feed with a manifest",
	FormatHosts: "a hosts file: the names count, the addresses do not", FormatAdblock: "rules of ad blockers: `\\|\\|name^`",
	FormatDnsmasq: "`address=/name/`, `server=/name/`, `local=/name/`", FormatUnbound: "`local-zone:` and `local-data:`", FormatRPZ: "a zone of response policies",
	FormatZeek: "a file of Zeek's intelligence framework", FormatIPRep: "Suricata's reputation of addresses", FormatOTX: "pulses of AlienVault OTX",
	FormatWarninglist: "warninglists in the form of the misp-warninglists repository: a file, a directory with files `list.json` at any depth, a zip archive of it; or a URL of MISP that ends in `/warninglists`, which gives the lists that are enabled there. Their entries are no indicators: what is on one is reported with the name of the list in `misp.warninglists`, whatever source it is from",
}

// Reference returns the reference of files of sources in Markdown.
func Reference() string {
	var b strings.Builder
	b.WriteString("<!-- Written by custom-misp schema --kind sources --output markdown. -->\n\n# Reference of files of sources\n\n")
	b.WriteString(FileShape().Markdown(2))
	b.WriteString("## Formats\n\n| format | content |\n|---|---|\n")
	for _, f := range formats {
		fmt.Fprintf(&b, "| `%s` | %s |\n", f, formatDocs[Format(f)])
	}
	b.WriteString("\n## Names in expressions\n\n| name | meaning |\n|---|---|\n")
	for _, n := range Names() {
		fmt.Fprintf(&b, "| `%s` | %s |\n", n.Name, n.Doc)
	}
	for _, n := range engine.Names() {
		if strings.Contains(n.Name, "(value") {
			fmt.Fprintf(&b, "| `%s` | %s |\n", n.Name, n.Doc)
		}
	}
	b.WriteString("\nAll of [expr-lang](https://expr-lang.org/docs/language-definition) can be used besides.\n\n## Presets\n\n" +
		"Unverified: the form was never compared with a file of the provider.\n\n| preset | format | unverified | content |\n|---|---|---|---|\n")
	for _, p := range Presets() {
		fmt.Fprintf(&b, "| `%s` | `%s` | %s | %s |\n", p.Name, p.Format, map[bool]string{true: "yes"}[p.Unverified], p.Description)
	}
	return b.String()
}
