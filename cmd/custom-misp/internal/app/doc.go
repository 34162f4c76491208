// Package app turns a configuration into the chain that an alert passes: mappings with the site's filter, the look-up
// that the policy asks for, and the sink. It is the only place that loads an engine, builds a look-up or opens a sink,
// so that no verb can miss what stops another. Nothing that [Build] returns is changed afterwards.
//
// Start at [Build], which every verb that looks anything up calls, with [Hooks] for what differs: where the log and the
// events go, and what serve adds. Its error is the verdict on a configuration, the same for all verbs. Then:
//
//	build.go     the chain: look-up by policy, batches of serve, spool, outages, sightings
//	lookup.go    what can be asked: the client of MISP, a feed directory, the mirror; and what syncs the mirror
//	mappings.go  mapping files, and what the site ignores: without that nothing is ever asked
//	lock.go      how a call by integratord and serve know of each other
//	state.go     the names in the state directory, which are a promise to administrators
//	meter.go     look-ups that are counted and timed, for the metrics of serve
//	log.go       the log file
//
// All files that an App reads are read by Build. What is asked of MISP, a mirror or a queue is asked by the chain, later.
package app
