package alertlog_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"custom-misp/engine/wazuh/alertlog"
)

// A program that was stopped goes on at its checkpoint and misses nothing, although the file was moved meanwhile.
func ExampleFollow() {
	dir, err := os.MkdirTemp("", "alerts")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir) //nolint:errcheck // temporary
	alerts, checkpoint := filepath.Join(dir, "alerts.json"), filepath.Join(dir, "checkpoint.json")

	read := func() {
		var from *alertlog.Checkpoint
		if c, found, err := alertlog.LoadCheckpoint(checkpoint); err != nil {
			fmt.Println(err)
			return
		} else if found {
			from = &c
		}
		f, err := alertlog.Follow(alerts, from, alertlog.FromStart())
		if err != nil {
			fmt.Println(err)
			return
		}
		defer f.Close() //nolint:errcheck // only read
		lines, err := f.Next(context.Background())
		if err != nil {
			fmt.Println(err)
			return
		}
		for _, line := range lines.Text {
			fmt.Printf("%s\n", line)
		}
		if err := lines.End.Save(checkpoint); err != nil { // once the lines are processed
			fmt.Println(err)
		}
	}

	write := func(name, line string) {
		if err := os.WriteFile(name, []byte(line+"\n"), 0o600); err != nil {
			fmt.Println(err)
		}
	}
	write(alerts, `{"id":"1767571200.1","rule":{"level":3}}`)
	read()
	if err := os.Rename(alerts, alerts+".1"); err != nil { // as logrotate does
		fmt.Println(err)
	}
	write(alerts, `{"id":"1767571200.2","rule":{"level":5}}`)
	read()
	// Output:
	// {"id":"1767571200.1","rule":{"level":3}}
	// {"id":"1767571200.2","rule":{"level":5}}
}
