// Package engine is the mapping language: it turns the bytes of a Wazuh alert into the observables that are worth asking
// MISP for.
//
// Mapping files (YAML) declare when they apply, as an expr-lang expression over the alert, and what to pick, as gjson
// paths and regular expressions. [Load] checks and compiles them into an [Engine], which is immutable and safe for
// concurrent use; [Engine.Pick] runs it over one alert. The package does no I/O: it takes bytes and returns values.
//
// # Limits
//
// A file beyond a limit has a fault. What is beyond a limit of an alert is left out: [Engine.PickWithCuts] reports it as a
// [Cut], of the kind named here, or as an error of the mapping. No input makes the work more than proportional to its
// length. The limits are constants in bounds.go.
//
// Of a mapping file:
//
//	32 MiB           size
//	100,000          nodes that a file may repeat through aliases
//	10,000           levels of YAML
//	100              characters in the id of a mapping
//	2,000            nodes of an expression
//
// Of an alert:
//
//	2 GiB            size
//	5,000            groups (groups)
//	1,000            observables ([MaxObservables]); an error beyond (observables)
//	2,000            values that MISP is asked for ([MaxValues]), see [Limit]
//	67,108,864       steps of all expressions: bytes of texts and items of lists that they read and make; a mapping or a pick
//	                 takes at most half of those that are left (work)
//
// Of a pick in an alert:
//
//	5,000            candidates; with scan, texts (candidates)
//	4                levels of arrays in arrays below the path (levels)
//	4,096 bytes      length of a value ([MaxValue]) (long)
//	64 KiB           length of a text that scan reads; of a longer one it reads the first and the last 32 KiB (text)
//	64               values that scan keeps from one text; those that are dropped do not count (found)
//	4 to 253 bytes   length of a word that scan takes for an address, a name, a hash, a CVE id or an e-mail address
//	20,000,000       bytes of a text times instructions of regex; of a longer text the first and the last part are read (text)
//
// Of an evaluation of an expression; an error of the mapping beyond:
//
//	100,000          values that it may hold
//	1 MiB            length of a text that repeat, replace or join makes, or steps of uniq and trim
//
// # Where to start
//
// mappingfile.go has what authors write, pick.go what happens to an alert, normalform.go what becomes of a value.
// scan.go finds values in free text. index.go explains why only those mappings are evaluated that the groups and fields of an alert can match.
package engine
