// Package engine is the mapping language: it turns the bytes of a Wazuh alert into the observables that are
// worth asking MISP about.
//
// Mapping files (YAML) declare when they apply, as an expr-lang expression over the alert, and what to pick, as
// gjson paths and regular expressions. [Load] checks and compiles them into an [Engine], which is immutable and
// safe for concurrent use; [Engine.Pick] runs it over one alert. The package does no I/O: it is given bytes and
// returns values.
//
// A reader may start with mapping.go (what authors write), pick.go (what happens to an alert) and normal.go
// (what becomes of a value). index.go explains why an alert only meets the mappings that its groups can satisfy.
package engine
