// Package wazuh is what the program knows of a Wazuh manager of version 4: how integratord calls an integration and
// what it passes, the queue on which analysisd takes events, and ossec.conf. Its package alertlog follows the alerts.
//
// Wazuh 5 has neither integratord nor this queue.
package wazuh
