// Package history keeps what was seen in alerts: which value, on which day, how often, on which agents, and in which alert
// last. It answers the question of every analyst about a new indicator (was this seen here?), for a value, a network, or a
// domain with the names below it.
//
// A [Store] records. It keeps what came since its last segment in memory and in a journal, and everything else in segments: files
// that never change, one or more for each day, sorted by keys of which a network is a range and a domain is a prefix. A [View]
// reads all of them, in this process and in any other, also while a store records. README.md describes the files, and says why
// they are not those of a database.
//
// What cannot be read is an error beside what was found; a history that is missing or damaged stops nothing else.
package history
