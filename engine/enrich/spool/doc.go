// Package spool is a queue in a directory. It keeps alerts and events on disk that cannot be processed now: alerts while
// MISP is unreachable, events while Wazuh's queue takes none.
//
//	DIR/lock             locked by the one process that takes entries out
//	DIR/alerts/          alerts that are not yet looked up, as Wazuh wrote them
//	DIR/alerts.claimed/  those that a process is working on
//	DIR/delayed/         alerts that the mirror, or some of several servers, answered alone; the others are to be asked
//	DIR/delayed.claimed/
//	DIR/events/          events that are not yet sent
//	DIR/events.claimed/
//	DIR/aside/alerts/    dead letters: entries that failed too often and are not tried any more,
//	DIR/aside/delayed/
//	DIR/aside/events/    each with its reason in a second file, whose name ends in .reason
//
// An entry is a file of its own. Its name holds the time since which it is queued in nanoseconds since 1970, a random
// word, how often it was tried, its size in bytes, the version of this format, and the CRC-32C of the content in hex, so that
// a list of names says all that is needed to choose, and the content is nothing but the alert or event:
//
//	01791187801120000000-JBSWY3DP.0.1834.v1.1a2b3c4d.json
//
// Of several MISP servers, those that did not answer are named by an entry of version 2, with + between them. Its content is
// a JSON object with the alert and what the others have reported of it already:
//
//	01791187801120000000-JBSWY3DP.0.1901.v2.5e6f7a8b.cert+partner.json
//	{"alert": {…}, "reported": ["9c5f2a0d41b7e386", …]}
//
// Earlier programs wrote names without version and checksum; these entries are taken out too. They leave untouched what
// has a version, as this program does with a later one: after a downgrade, entries wait for the next upgrade and do not block
// those behind them. An entry that is not what was put in becomes a dead letter.
//
// A file is complete or absent, also after a power cut: it is written under another name (.new-*), synced, and renamed,
// and then the directory is synced. Files with other names are left untouched.
//
// Any number of processes may put entries in at the same time, with [Dir.Put]. One at a time takes entries out, as the
// [Consumer] that [Dir.Open] returns. It claims an entry by renaming it into the directory of claims, so that the next
// consumer finds the entries of a process that was killed; these count as tried once more. An entry may therefore be
// processed twice, and never not at all.
//
// Limits: a Dir drops its oldest entries beyond MaxEntries or MaxBytes, to within 2 % on average, and Put says how many. An entry becomes a dead
// letter after [MaxTries] tries. 1,000 dead letters of each kind are kept; the oldest ones are removed.
package spool
