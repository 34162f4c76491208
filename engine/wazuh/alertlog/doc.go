// Package alertlog follows the file that Wazuh writes its alerts to, logs/alerts/alerts.json, starting at a [Checkpoint]:
// across the rotation of midnight into dated files, rotation by size, compression, logrotate and copytruncate, and after
// days of absence. It returns the lines in the order in which Wazuh wrote them, each once. [FollowArchive] does so for
// archives.json, without the events that are in alerts.json as well.
//
// Limits of each file:
//   - A line longer than [enrich.MaxAlert] (1 MiB) is counted and skipped.
//   - Up to 256 KiB are read at a time. One [Lines] contains that much, and the start of its first line, read before. At most
//     two files are open.
//   - A file is recognised by its first 4,096 bytes.
//   - A file without news is looked at again after 5 to 100 milliseconds.
//   - A compressed file that ends too early is read again while it grows. After about 25 seconds without a change it is left
//     with a warning.
package alertlog
