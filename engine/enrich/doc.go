// Package enrich is the way of an alert through the program: pick its observables, look them up, make one
// enrichment event for each that is known, send them.
//
// It owns the two interfaces behind which everything outside sits: [Lookup], implemented over a MISP server and
// over a directory in MISP feed format, and [Sink], implemented over Wazuh's queue and over standard output.
package enrich
