// Package examples has the files that administrators copy, so that the program can print them where the source is not at
// hand.
package examples

import "embed"

// Files are the examples that an installation needs, by their paths below this directory.
//
//go:embed custom-misp.yaml ossec.conf rules/*.xml systemd/custom-misp.service monitoring/alerts.yml monitoring/prometheus.yml monitoring/grafana-dashboard.json
var Files embed.FS
