// Package mirror keeps a local mirror of what MISP servers, feeds and plain lists know, for looking values up without
// the network: hundreds of thousands of values a second, also while MISP is unreachable.
//
// An [Origin] is a source of attributes: a [Server], a [Feed] or a [List]. A [Syncer] brings the set of a source up to
// date; a [Mirror] looks values up in the sets of several sources. Both may run in different processes: a sync writes
// new files beside the old ones and then replaces the one that names them, so that readers always find a whole set,
// also when the syncing process is killed or the power fails, and never wait. The files are described in README.md.
//
// # Damage
//
// What cannot be read as it was written is an error ([DamagedError]); it is never a value that is not known, and never the
// end of the process. Each block of 64 KiB has a checksum, which is verified when a process first reads the block, and by
// [Mirror.Verify] later. A look-up that needs a damaged block fails, and others do not. The next sync fetches the source
// again. [LeaveOut] bounds how long alerts wait for that.
//
// Files are mapped into memory. Where a mapped file became shorter, the kernel sends SIGBUS, so each function that reads a
// mapping has that become an error (runtime/debug.SetPanicOnFault, 4 % of a look-up together with the check that the
// block is verified). The two other ways were measured with BenchmarkLookup and a million attributes: reading by pread
// takes 4.4 µs instead of 2.7 µs for a hit and 2.6 µs instead of 1.2 µs for a miss; reading the file into memory takes
// 69 ms for each process, where a call by integratord maps it and looks a value up in 0.1 ms, and its memory is not
// shared.
//
// # MISP
//
// A [Server] is followed by its events: polls, reconciliations and walks, see there and in README.md, which has a table of
// what is seen when. A walk that is interrupted, by MISP, its rate limit or the end of the process, goes on with the next
// sync where it stopped.
//
// # Limits
//
// What is more than a source may have is refused: the sync fails, its error names the bound, and the set stays as it was.
// Nothing else is left out, but for what says so here.
//
//   - Each table of a segment has at most 2^31 entries: one for each indicator of an attribute (a composite type has
//     two), and one for each attribute. Files are mapped into memory as a whole and need address space of that size,
//     not memory. 32-bit systems can map files up to 2 GiB.
//   - During a walk or a merge, the old files and the new ones are on the disk together. During a walk over MISP there is a
//     third file, of what was read, of 16 GiB at most.
//   - MISP is asked for groups of at most 500 events and 5,000 attributes, fewer where an answer would be longer than 8 MiB.
//     A page is asked for again up to 3 times, after 1, 3 and 10 seconds, if MISP fails in the middle of a sync.
//   - A walk is gone on with for a week, and if its last page is not older than a day. The versions of 10,000 events are
//     remembered between polls; what changed in others is read again while polls go back behind it (Overlap).
//   - Writing a base takes 16 bytes of memory for each entry of a table. Changes since the base are collected in memory
//     as a whole.
//   - Changes become part of a new base when there are more than 20,000 of them, and more than a tenth of the base or
//     250,000. When there are more than 500,000, attributes and events together, the source is read as a whole instead.
//   - A segment has at most 16 GiB (ten million attributes take about 3 GB), 1,000,000 different networks, a trailer of
//     128 MiB, and records of 8 MiB. Longer lists of tags and warninglists are read up to 1,000 texts.
//   - Of one observable the 5,000 strongest matches are returned ([enrich.MaxMatches]). Of one value, at most 100,000
//     attributes are read of each set; more are passed over. A look-up returns at most 20,000 matches ([enrich.MaxAnswer])
//     and reads about 128 MiB of records; of more, each value has a share.
//   - Networks wider than /8 (IPv4) or /16 (IPv6) are not matched with the addresses in them.
//   - A feed's manifest has at most 64 MiB and 500,000 events; the events that one sync reads have 8 GiB, and a feed has
//     5,000,000 attributes. An event of more than 256 MiB, or with more than 500,000 attributes or objects, is left
//     out, and reported in the state. Limits of what is decoded are those of package api.
//   - A list has at most 1 GiB, decompressed, and 2,000,000 values; each of its rows has 1 MiB and 1,000 columns.
//   - Files of a mirror, and those that are read from a directory, have to be regular: a pipe, a directory or a device
//     is an error at once. state.json has at most 1 MiB.
//   - A sync ends when its context does, but for the time that it takes to sort the tables of a segment, about a second
//     for ten million attributes; a look-up within half a second.
//   - One file is asked for with up to 3 further tries, and at most 10 redirects, none of them from https to http. An answer
//     takes at most 5 minutes; the rest of a file that breaks off is asked for up to 10 times, if 64 KiB came in between.
//     A server that asks for a wait of more than a minute is not tried again by the same sync, nor by a later one before the
//     time that it gave, 24 hours at most.
//   - A source that is collected page by page is asked for at most 10,000 pages by one sync, each of 32 MiB at most and
//     within 2 minutes. What is kept of it has 1 GiB at most. It is collected anew once a week.
//   - One process at a time syncs a set; another gets [ErrBusy] at once.
package mirror
