// Package wazuh is all ends of Wazuh that the program touches: how integratord calls an integration and what it
// hands over, the queue on which analysisd takes events, and the files that it writes alerts to.
//
// All of it is about Wazuh 4.x; Wazuh 5 has neither integratord nor this queue.
package wazuh
