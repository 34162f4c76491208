// Package alertlog follows the file that Wazuh writes its alerts to, logs/alerts/alerts.json, from a [Checkpoint] on:
// over the rotation of midnight into dated files, rotation by size, compression, logrotate and copytruncate, and after
// days of absence. Lines come in the order in which they were written, each once.
//
// A line longer than [enrich.MaxAlert] is counted and passed over. About 256 KiB are read at a time.
package alertlog
