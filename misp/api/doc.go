// Package api asks a MISP server over its REST API which of the values of an alert are known as indicators of
// compromise, and reads from it what a mirror needs. It was written against MISP 2.5.
//
// A [Client] puts all values of an alert into one question to /attributes/restSearch, and compares what is answered
// itself: MISP compares loosely, takes wildcards, and answers some malformed questions with its whole database.
// [Client.Events] lists the events that MISP has, and [Client.Read] reads their attributes; [Client.Sight] reports that a value was seen.
// [DecodeEvent] reads an event from a file. Every error of a Client is an [enrich.Trouble] with a remedy, unless the
// caller's own function returned it. None contains the key.
//
// # Limits
//
//   - A question has at most 1,000 values (Config.MaxValues); more become several questions. MISP is asked for pages of
//     5,000 attributes, and for 20 of them at most; a question with more matches fails.
//   - An answer has at most 32 MiB (Config.MaxAnswer) and is nested at most 1,000 deep. A longer one fails; a reading
//     then continues in shorter pages, down to 40 attributes.
//   - Of one observable the 5,000 strongest matches ([enrich.MaxMatches]) are returned, in the order in which package enrich
//     prefers them. Whoever gets 5,000 has to expect that there are more. Of all together there are at most 20,000, of each
//     the same number ([enrich.MaxAnswer]), and their attributes take about 16 MiB.
//   - Of an attribute, and of an event, the first 500 tags are kept ([misp.MaxTags]), and later labels of TLP; tags of
//     more than 1,024 bytes are left out. An attribute keeps the names of 200 warninglists.
//   - A text of more than 393,210 bytes in JSON counts as absent: MISP stores 65,535 characters.
//   - An answer with more attributes than were asked for, 5,000 at most, or with more events than 10,000 (1,000 in the
//     long list), is refused before anything is made of them.
//   - A reading holds one page in memory. It fails if MISP answers with one page twice. The list of events has at most 2
//     million.
//   - An event of a feed has at most 500,000 attributes, those of its objects included, and as many objects. It is
//     decoded one attribute at a time.
//   - Reading an answer takes time and memory in proportion to its length, and ends when the context does: within 0.5
//     seconds, also for the longest answer.
//   - One try takes at most 5 seconds (Config.Timeout). Up to Config.Retries further tries follow a lost connection, a
//     rate limit (429) and a failing server (500, 502, 503, 504), but not bad certificates or keys. The waits between
//     them begin at 0.1 seconds, double up to 5 seconds, and are shortened at random by up to a half.
//   - A server that asks for a wait (Retry-After, X-Rate-Limit-Reset) is obeyed if it fits the deadline of the
//     context, or lasts at most one minute where there is no deadline. Otherwise the error says how long it asked for.
//   - Texts of MISP in errors are cut after 200 characters.
//   - TLS 1.2 is the oldest version that is spoken. Redirects are not followed.
package api
