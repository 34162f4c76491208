package app

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"go.yaml.in/yaml/v4"

	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/cmd/custom-misp/internal/config"
	"custom-misp/engine/atomicfile"
	"custom-misp/engine/enrich"
	"custom-misp/engine/yamlfile"
)

// This file reads and changes the file of mutes (mutes.file). People edit it too, so that its comments stay.

type (
	declaredMutes struct {
		_       struct{}        `what:"a file of mutes"`
		Version yamlfile.Scalar `key:"version" need:"true" doc:"of this format; 1"`
		Mutes   []declaredMute  `key:"mutes" empty:"ok" doc:"hits that are not reported"`
	}
	declaredMute struct {
		_       struct{}        `what:"a mute"`
		Value   yamlfile.Scalar `key:"value" doc:"a value of alerts, in any form, or of an attribute"`
		Network yamlfile.Scalar `key:"network" doc:"addresses in this network"`
		Domain  yamlfile.Scalar `key:"domain" doc:"this domain and all names below it"`
		Event   yamlfile.Scalar `key:"event" doc:"UUID of a MISP event"`
		Source  yamlfile.Scalar `key:"source" doc:"name of a source, as in misp.origin"`
		Reason  yamlfile.Scalar `key:"reason" need:"true" doc:"why, for those who come after you"`
		Author  yamlfile.Scalar `key:"author" doc:"who"`
		Since   yamlfile.Scalar `key:"since" doc:"date"`
		Until   yamlfile.Scalar `key:"until" doc:"last day on which it has effect; without it, it never ends"`
		Told    *bool           `key:"told_misp" doc:"MISP has a false-positive sighting of it"`
	}
)

// maxMutes bounds the file, in bytes.
const maxMutes = 4 << 20

// Mutes reads the file of mutes; none if it does not exist. Errors are [cli.WrongUse].
func Mutes(c *config.Config) (*enrich.Mutes, error) {
	data, err := readMutes(c.MutesFile)
	if err != nil {
		return nil, err
	}
	list, err := parseMutes(c.MutesFile, data)
	if err != nil {
		return nil, cli.WrongUsef("mutes.file: %w", err)
	}
	return enrich.NewMutes(list)
}

func readMutes(name string) ([]byte, error) {
	if name == "" {
		return nil, nil
	}
	data, err := atomicfile.ReadRegular(name, maxMutes)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case errors.Is(err, atomicfile.ErrTooLong):
		return nil, cli.WrongUsef("mutes.file: %s is longer than %d MiB; mute networks, domains or events instead of values", name, maxMutes>>20)
	case err != nil:
		return nil, cli.WrongUsef("mutes.file: %w", err)
	}
	return data, nil
}

func parseMutes(name string, data []byte) ([]enrich.Mute, error) {
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, nil
	}
	r := yamlfile.NewReader(name, data)
	var d declaredMutes
	if top := r.Document(); top != nil {
		r.Decode(top, &d)
	}
	if d.Version.Given() && d.Version.Value != "1" {
		r.Fault(d.Version.Node, "use version: 1, or a later custom-misp", "version %q of a file of mutes is not known", d.Version.Value)
	}
	var list []enrich.Mute
	for _, m := range d.Mutes {
		list = append(list, m.read(r))
	}
	if faults := r.Faults(); len(faults) > 0 {
		return nil, faults
	}
	return list, nil
}

// read returns a mute, and notes what is wrong with it.
func (d declaredMute) read(r *yamlfile.Reader) enrich.Mute {
	m := enrich.Mute{
		Value: d.Value.Value, Network: d.Network.Value, Domain: d.Domain.Value, Event: d.Event.Value, Source: d.Source.Value,
		Reason: d.Reason.Value, Author: d.Author.Value, Since: readDate(r, d.Since), Until: readDate(r, d.Until), Told: d.Told != nil && *d.Told,
	}
	if !d.Reason.Given() { // that was noted
		return m
	}
	if err := m.Check(); err != nil {
		at := d.Reason.Node
		for _, s := range []yamlfile.Scalar{d.Source, d.Event, d.Domain, d.Network, d.Value} {
			if s.Given() {
				at = s.Node
			}
		}
		r.Fault(at, "", "%v", err)
	}
	return m
}

// readDate reads a date, or a time with one; zero if there is none.
func readDate(r *yamlfile.Reader, s yamlfile.Scalar) time.Time {
	if !s.Given() {
		return time.Time{}
	}
	t, err := ParseDate(s.Value)
	if err != nil {
		r.Fault(s.Node, "", "%v", err)
	}
	return t
}

// ParseDate reads a date like 2026-12-31, which is its end in UTC, or a time like 2026-12-31T12:00:00Z.
func ParseDate(s string) (time.Time, error) {
	if t, err := time.Parse(time.DateOnly, s); err == nil {
		return t.AddDate(0, 0, 1), nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is not a date like 2026-12-31", s)
	}
	return t, nil
}

// dateOf writes a time so that ParseDate reads it.
func dateOf(t time.Time) string {
	if last := t.UTC().AddDate(0, 0, -1); last.Equal(last.Truncate(24 * time.Hour)) {
		return last.Format(time.DateOnly)
	}
	return t.UTC().Format(time.RFC3339)
}

// mutesLockWait is how long a change waits for another one.
const mutesLockWait = 5 * time.Second

// ChangeMutes changes the file of mutes. change gets what is there, and returns the mutes to add and the places of those to remove;
// comments stay. Two changes at a time wait for each other. Errors say what to do.
func ChangeMutes(c *config.Config, change func([]enrich.Mute) (add []enrich.Mute, remove []int, err error)) error {
	name := c.MutesFile
	if name == "" {
		return cli.WrongUsef("mutes.file is empty; name a file")
	}
	dir := filepath.Dir(name)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("mutes.file: %w", err)
	}
	unlock, err := lockMutes(dir)
	if err != nil {
		return err
	}
	defer unlock()
	data, err := readMutes(name)
	if err != nil {
		return err
	}
	list, err := parseMutes(name, data)
	if err != nil {
		return cli.WrongUsef("mutes.file: %w", err)
	}
	add, remove, err := change(list)
	if err != nil || len(add)+len(remove) == 0 {
		return err
	}
	if data, err = editMutes(data, add, remove); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if _, err := parseMutes(name, data); err != nil {
		return fmt.Errorf("the change is not written, since it could not be read again: %w", err)
	}
	f, err := atomicfile.Create(name)
	if err != nil {
		return fmt.Errorf("mutes.file: %w; run this as root", err)
	}
	defer f.Discard()
	_, _ = f.Write(data) // Commit returns the error
	if st, err := os.Stat(dir); err == nil {
		if sys, ok := st.Sys().(*syscall.Stat_t); ok {
			f.SetGroup(int(sys.Gid)) // Wazuh's user reads it
		}
	}
	if err := f.Commit(atomicfile.Durable); err != nil {
		return fmt.Errorf("mutes.file: %w", err)
	}
	return nil
}

// lockMutes locks the directory of the file.
func lockMutes(dir string) (unlock func(), err error) {
	d, err := atomicfile.OpenDir(dir)
	if err != nil {
		return nil, fmt.Errorf("mutes.file: %w", err)
	}
	for until := time.Now().Add(mutesLockWait); ; time.Sleep(lockWait) {
		err = syscall.Flock(int(d.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = d.Close() }, nil
		}
		if time.Now().After(until) {
			_ = d.Close()
			return nil, fmt.Errorf("another custom-misp mute or unmute holds the lock of %s for more than %s; wait for it to end, see fuser %s", dir, mutesLockWait, dir)
		}
	}
}

const mutesHead = `# Hits that custom-misp does not report. Written by custom-misp mute and unmute; you may edit it, and keep it under version control.
version: 1
mutes:
`

// editMutes removes and adds entries in the text of a file.
func editMutes(data []byte, add []enrich.Mute, remove []int) ([]byte, error) {
	if len(bytes.TrimSpace(data)) == 0 {
		data = []byte(mutesHead + "  []\n")
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, err
	}
	top := doc.Content[0]
	var list *yaml.Node
	for i := 0; i+1 < len(top.Content); i += 2 {
		if top.Content[i].Value == "mutes" {
			list = top.Content[i+1]
		}
	}
	if list == nil || list.Kind != yaml.SequenceNode {
		list = &yaml.Node{Kind: yaml.SequenceNode}
		top.Content = append(top.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: "mutes"}, list)
	}
	slices.Sort(remove)
	for _, i := range slices.Backward(remove) {
		list.Content = slices.Delete(list.Content, i, i+1)
	}
	for _, m := range add {
		list.Content = append(list.Content, muteNode(m))
	}
	list.Style &^= yaml.FlowStyle
	if len(list.Content) == 0 {
		list.Style |= yaml.FlowStyle
	}
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := enc.Encode(&doc); err != nil {
		return nil, err
	}
	return out.Bytes(), enc.Close()
}

// muteNode is an entry of the file.
func muteNode(m enrich.Mute) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	put := func(key, value string) {
		if value != "" {
			n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: key}, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: value})
		}
	}
	put("value", m.Value)
	put("network", m.Network)
	put("domain", m.Domain)
	put("event", m.Event)
	put("source", m.Source)
	put("reason", strings.TrimSpace(m.Reason))
	put("author", m.Author)
	if !m.Since.IsZero() {
		put("since", m.Since.UTC().Format(time.RFC3339))
	}
	if !m.Until.IsZero() {
		put("until", dateOf(m.Until))
	}
	if m.Told {
		n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: "told_misp"}, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: "true"})
	}
	return n
}
