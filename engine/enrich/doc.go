// Package enrich takes an alert through the program: pick its observables, look them up, make one enrichment event for
// each that is known, send them.
//
// [Pipeline] is these four steps for one alert. Two types add to it:
//
//   - [QueueingPipeline] loses nothing: what cannot be looked up or sent now is queued on disk, and processed by a later
//     call. It is what a call by integratord uses.
//   - [Stream] processes the alerts of the daemon: many at a time, in their order.
//
// Everything outside is behind two interfaces. [Lookup] knows indicators: a MISP server, a directory in MISP feed format,
// a mirror. [Sink] takes events: Wazuh's queue, standard output. The other types here are put around one of them:
// [Batch] joins the questions of many alerts, [Circuit] asks briefly while MISP is unreachable, [MirrorFirst] asks MISP
// for what a mirror does not know, [Dedup] sends an event once, [Repeats] a kind of hit once in a window, [Rate] so many hits in a
// second, [Throttle] bounds error events. [Suppression] decides which alerts and matches are not reported at all.
//
// The zero values of all types can be used; a field that is nil or 0 says what it stands for.
//
// # Limits
//
//   - An alert has at most 1,048,576 bytes ([MaxAlert]) and 1,000 levels of nesting; it is looked up by at most 2,000
//     values ([engine.MaxValues]).
//   - An event has at most 60,000 bytes ([MaxEvent]), a text in it 8,000 ([MaxText]); in its context 4,000; what is longer is shortened.
//   - A Repeats counts at most 1,000,000 windows and 64 MiB of events; beyond that, hits are sent. A summary names at most 50
//     agents.
//   - A round of work on the spool puts at most 100 alerts or 1,000 values into one question, and ends after DrainTime.
//     An alert becomes a dead letter after 5 tries. One that fills a question by itself is looked up alone, in turn with
//     others.
//   - While MISP is unreachable, a question may take 300 ms, and one every 30 s as long as usual. Retry-After is honoured
//     for at most 60 s.
//   - The same kind of outage is reported again after 5 minutes at the earliest.
//   - A question of a Batch that fails is split into at most 40 further questions.
//   - Sightings are reported for at most 10 attributes of an alert, for each once a day, within 2 s of a call.
//   - A Dedup remembers the last 65,536 to 131,072 events, in at most 1 MiB on disk.
package enrich
