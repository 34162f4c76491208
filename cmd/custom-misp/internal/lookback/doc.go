// Package lookback reports what was seen before it was known. When a sync brings an indicator, it is looked up in the history of
// the site (package history), with the kinds of match, filters and mutes of any other look-up. A hit is an event with
// match_mode retrospective.
//
// Two records on disk keep each hit to one event, whatever happens in between:
//
//   - SOURCE.known has a key of each indicator of a source that was looked up: what a sync brought is what is not in it. It is
//     written when all of that is looked up. So a process that is killed does it again, and a source whose set is fetched anew,
//     as after damage, brings nothing.
//   - reported has a key of each hit and agent that an event was sent for. It is written after Wazuh's queue took the event,
//     before the next one is sent. A key ends with the entry of the history.
//
// Keys are 64 bits of a hash.
package lookback
