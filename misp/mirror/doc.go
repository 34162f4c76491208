// Package mirror keeps a local mirror of what MISP servers, feeds and plain lists know, for looking values up without
// the network: hundreds of thousands of values a second, also while MISP is unreachable.
//
// An [Origin] is a source of attributes: a [Server], a [Feed] or a [List]. A [Syncer] brings the set of a source up to
// date; a [Mirror] looks values up in the sets of several sources. Both may run in different processes: a sync writes
// new files beside the old ones and then replaces the one that names them, so that readers always find a whole set,
// also when the syncing process is killed or the power fails, and never wait. The files are described in README.md.
//
// # Limits
//
//   - Each table of a segment has at most 2^31 entries: one for each indicator of an attribute (a composite type has
//     two), and one for each attribute. Files are mapped into memory as a whole and need address space of that size,
//     not memory. 32-bit systems can map files up to 2 GiB.
//   - During a walk or a merge, the old files and the new ones are on the disk together.
//   - Writing a base takes 16 bytes of memory for each entry of a table. Changes since the base are collected in memory
//     as a whole.
//   - Changes become part of a new base when there are more than 20,000 of them, and more than a tenth of the base.
//   - Networks wider than /8 (IPv4) or /16 (IPv6) are not matched with the addresses in them.
//   - A feed's manifest has at most 64 MiB, each of its events 256 MiB; a list has 1 GiB, and each of its rows 1 MiB.
//     A larger file fails the sync; a larger event is left out.
//   - One file is fetched in at most 5 minutes, with up to 3 further tries, and at most 10 redirects, none of them from
//     https to http. A server that asks for a wait of more than a minute is not tried again by the same sync.
//   - One process at a time syncs a set; another gets [ErrBusy] at once.
package mirror
