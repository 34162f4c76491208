// Package app turns a configuration into the chain that an alert passes: mappings with the site's filter, the look-up
// that the policy asks for, and the sink. It is the only place that loads an engine, builds a look-up or opens a sink,
// so that no verb can miss what stops another. Nothing that [Build] returns is changed afterwards.
package app
