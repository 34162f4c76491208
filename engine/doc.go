// Package engine is the mapping language: it turns the bytes of a Wazuh alert into the observables that are worth asking
// MISP for.
//
// Mapping files (YAML) declare when they apply, as an expr-lang expression over the alert, and what to pick, as gjson
// paths and regular expressions. [Load] checks and compiles them into an [Engine], which is immutable and safe for
// concurrent use; [Engine.Pick] runs it over one alert. The package does no I/O: it takes bytes and returns values.
//
// # Limits
//
// A file beyond a limit has a fault. What is beyond a limit of an alert is left out.
//
//	32 MiB           size of a mapping file
//	100,000          nodes that a file may repeat through aliases
//	10,000           levels of YAML
//	100              characters in the id of a mapping
//	2,000            nodes of an expression
//	100,000          values that one evaluation of an expression may hold; Pick returns an error beyond
//	1,000            observables of an alert ([MaxObservables]); Pick returns an error beyond
//	5,000            candidates of one pick in one alert, and groups of an alert
//	4                levels of arrays in arrays below the path of a pick
//	4,096 bytes      length of a value ([MaxValue])
//	64 KiB           length of a text that scan reads
//	64               values that scan takes from one text
//	4 to 253 bytes   length of a word that scan takes for an address, a name, a hash, a CVE id or an e-mail address
//	2 GiB            size of an alert
//
// # Where to start
//
// mappingfile.go has what authors write, pick.go what happens to an alert, normalform.go what becomes of a value.
// index.go explains why only those mappings are evaluated that the groups and fields of an alert can match.
package engine
