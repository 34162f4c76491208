// Package wazuh is both ends of Wazuh that the program touches: how integratord calls an integration and what it
// hands over, and the queue on which analysisd takes events.
//
// All of it is about Wazuh 4.x; Wazuh 5 has neither integratord nor this queue.
package wazuh
