// Package source reads threat intelligence in the forms in which it is published: lists, tables, JSON, exports and feeds
// of MISP, STIX, block lists of DNS, and files of Zeek and Suricata. A source is declared in YAML; nothing about it is
// guessed without saying so.
//
// [Load] checks and compiles declarations into values of [Source]. [Source.Measure] reads a file and reports what becomes
// of each entry; [Measure.Each] reads it again and yields the indicators. [Recognise] tells the form of a file from its
// content where that is certain, and [Suggest] writes the declaration to start from.
//
// # Outcomes
//
// An entry is a line, a row or an object that could hold an indicator: no comment, no header, no blank line. It yields
// indicators, or it is counted under a reason. A file that yields no indicator at all is an error, unless the declaration says
// may_be_empty: then it is most likely an error page, or read in the wrong form.
//
// # Limits
//
// The constants are in bounds.go. Memory does not depend on the size of a file, but for 16 bytes for each different
// indicator.
//
//   - A file has at most 1 GiB, also unpacked, and 10,000,000 entries, 2,000,000 of them different indicators.
//     One whose first 131,072 entries hold no indicator is refused at once.
//   - A line has at most 1 MiB and 1,000 columns; a longer one is reported and passed over. A quoted cell ends within
//     10,000 lines and 64 KiB, or its quote is a part of the text.
//   - A JSON object that is read as a whole has at most 32 MiB, an event of MISP 128 MiB. Objects and lists are nested at
//     most 100 levels deep.
//   - An entry yields at most 1,000 indicators. Of a value that comes more than once, tags are joined for the first 200,000
//     such values.
//   - A pattern of STIX has at most 64 KiB and 1,000 comparisons.
//   - A walk over pages of TAXII or OTX ends with an error at a page that was asked for before, and after 100 pages in a row
//     with nothing that is new. A server has at most 20 API roots, of which at most 100 collections are read. An object of
//     STIX of more than 1 MiB is reported; a pulse has at most 16 MiB. See package mirror for the bounds on pages.
//   - Expressions have the bounds of the mapping language, see package engine.
package source
