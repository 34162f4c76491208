// Package wazuh is what the program knows of a Wazuh manager of version 4: how integratord calls an integration and what
// it passes ([ParseCall]), files of alerts ([EachText]), the queue on which analysisd receives events ([Queue]), and
// ossec.conf ([ParseConf]). The package alertlog follows the alerts while they are written.
//
// Limits:
//   - An alert may have up to [enrich.MaxAlert] bytes (1 MiB), an array in a file of alerts, or an alert in several lines,
//     up to 64 MiB. EachText has that much in memory.
//   - An event with its header may have up to 65,535 bytes: analysisd reads no more of a datagram. Of an agent's name 128
//     bytes are sent.
//   - A full queue is waited for, by default up to 2 seconds.
//
// Wazuh 5 has neither integratord nor this queue.
package wazuh
