package doctor

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/cmd/custom-misp/internal/config"
	"custom-misp/engine/atomicfile"
)

// checkDaemons looks for the processes of Wazuh that an alert meets. Each has a file with its number in var/run.
func (i *examination) checkDaemons(context.Context) []Finding {
	dir := i.config.FromHome("var/run")
	if _, err := atomicfile.ReadDir(dir); err != nil {
		return []Finding{skipped("%v", err)}
	}
	analysisd := i.daemon(dir, "analysisd", "no alert is raised, and none of our events is read")
	var integratord Finding
	switch {
	case len(i.Blocks) == 0 && i.serveFollows():
		integratord = skipped("not needed: serve follows the alerts by itself")
	case len(i.Blocks) == 0:
		integratord = skipped("there is no <integration> block for it, see integration")
	default:
		integratord = i.daemon(dir, "integratord", "no alert is looked up")
	}
	analysisd.Check, integratord.Check = "analysisd", "integratord"
	return []Finding{analysisd, integratord}
}

// serveFollows reports whether a serve runs that follows a file of alerts.
func (i *examination) serveFollows() bool {
	return len(i.config.Serve.Files()) > 0 && app.ServeRuns(app.StateOf(i.config))
}

// daemon looks for one process of Wazuh.
func (i *examination) daemon(dir, name, without string) Finding {
	var left string
	for _, prefix := range []string{"wazuh-", "ossec-"} { // ossec-: before 4.2
		files, _ := filepath.Glob(filepath.Join(dir, prefix+name+"-*.pid"))
		for _, file := range files {
			pid, err := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(filepath.Base(file), prefix+name+"-"), ".pid"))
			if err != nil {
				continue
			}
			if comm := i.comm(pid); comm != "" && strings.HasPrefix(prefix+name, comm) {
				return good("%s%s runs, pid %d", prefix, name, pid)
			}
			left = file
		}
	}
	found := fmt.Sprintf("%s is not running: %s", name, without)
	if left != "" {
		found = fmt.Sprintf("%s has ended and left %s: %s", name, left, without)
	}
	if last := i.lastError("-" + name); last != "" {
		found += "; its last error: " + last
	}
	return problem(i.restart(), "%s", found)
}

// commOf returns the name of a process, cut to 15 characters by the kernel; empty if there is none.
func commOf(pid int) string {
	data, err := atomicfile.ReadRegular(fmt.Sprintf("/proc/%d/comm", pid), 4096)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// maxLogTail is how much of the end of a log is read, in bytes.
const maxLogTail = 4 << 20

// tailOf returns the end of a file in whole lines, none if it cannot be read.
func tailOf(name string, most int64) [][]byte {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) //nolint:gosec // a log of Wazuh or of ours
	if err != nil {
		return nil
	}
	defer f.Close() //nolint:errcheck // only read
	st, err := f.Stat()
	if err != nil || !st.Mode().IsRegular() {
		return nil
	}
	from := max(0, st.Size()-most)
	data, err := io.ReadAll(io.NewSectionReader(f, from, most))
	if err != nil {
		return nil
	}
	if from > 0 {
		_, data, _ = bytes.Cut(data, []byte("\n"))
	}
	return bytes.Split(bytes.TrimSuffix(data, []byte("\n")), []byte("\n"))
}

// lastError returns the last error of one of Wazuh's programs in ossec.log, cut and without secrets; empty if there is none.
func (i *examination) lastError(program string) string {
	last := ""
	for _, line := range tailOf(i.config.FromHome("logs/ossec.log"), maxLogTail) {
		_, rest, ok := strings.Cut(string(line), program)
		if !ok {
			continue
		}
		for _, level := range []string{": ERROR: ", ": CRITICAL: "} {
			if _, text, ok := strings.Cut(rest, level); ok {
				last = text
			}
		}
	}
	return i.withoutSecrets(cut(last, 200))
}

// cut shortens a text to a number of characters.
func cut(text string, most int) string {
	if r := []rune(text); len(r) > most {
		return string(r[:most]) + "…"
	}
	return text
}

// withoutSecrets masks the keys for MISP, as far as they are known.
func (i *examination) withoutSecrets(text string) string {
	var secrets []string
	for _, of := range i.servers() {
		if keys, err := of.MISP.Key.ReadAll(); err == nil {
			secrets = append(secrets, keys...)
		}
	}
	for _, b := range i.Conf.Integrations {
		secrets = append(secrets, b.Text("api_key"))
	}
	for _, secret := range secrets {
		if len(secret) >= 8 { // shorter ones are none
			text = strings.ReplaceAll(text, secret, "********")
		}
	}
	return text
}

// checkEnabled looks up in ossec.log whether integratord has enabled the integration when it started: it decides that
// once, by whether the program's file is there.
func (i *examination) checkEnabled(context.Context) []Finding {
	if len(i.Blocks) == 0 {
		return []Finding{skipped("there is no <integration> block")}
	}
	name := i.Blocks[0].Text("name")
	said, refused := "", false
	for _, line := range tailOf(i.config.FromHome("logs/ossec.log"), maxLogTail) {
		text := string(line)
		switch {
		case !strings.Contains(text, "integratord: "):
		case strings.Contains(text, "Unable to enable integration for: '"+name+"'"):
			said, refused = text, true
		case strings.Contains(text, "Enabling integration for: '"+name+"'"):
			said, refused = text, false
		case strings.Contains(text, "Remote integrations not configured"):
			said, refused = text, true
		}
	}
	switch {
	case said == "":
		return []Finding{skipped("%s does not say how integratord started: it was rotated or cannot be read", i.config.FromHome("logs/ossec.log"))}
	case refused:
		return []Finding{problem(i.restart(), "integratord has disabled the integration when it started, and keeps to that: %s", cut(said, 200))}
	}
	return []Finding{good("integratord has enabled %s when it started", name)}
}

// checkOutput looks whether analysisd writes the file that integratord and serve read.
func (i *examination) checkOutput(context.Context) []Finding {
	c := i.Conf
	switch {
	case i.ConfErr != nil:
		return []Finding{skipped("ossec.conf cannot be read")}
	case c.JSONOutput == "no":
		sentence := "write <jsonout_output>yes</jsonout_output> into <global> of " + i.ConfFile() + " and restart the manager"
		return []Finding{problem(i.change(c.JSONOutputLine, "<jsonout_output>no<", "<jsonout_output>yes<", sentence),
			"line %d: with <jsonout_output>no analysisd writes no alerts.json, and nothing is ever looked up", c.JSONOutputLine)}
	}
	file := i.config.FromHome("logs/alerts/alerts.json")
	if _, err := os.Stat(file); err != nil {
		return []Finding{problem(i.restart(), "%s does not exist; analysisd makes it when it starts", file)}
	}
	return append([]Finding{good("%s is written", file)}, i.checkArchives()...)
}

// checkArchives looks whether analysisd writes archives.json, if serve is to follow it.
func (i *examination) checkArchives() []Finding {
	file := i.config.FromHome("logs/archives/archives.json")
	followed := func(f config.AlertsFile) bool { return f.Path == file }
	if !slices.ContainsFunc(i.config.Serve.Files(), followed) {
		return nil
	}
	if i.Conf.LogAllJSON != "yes" {
		line := i.Conf.LogAllJSONLine
		sentence := "write <logall_json>yes</logall_json> into <global> of " + i.ConfFile() + " and restart the manager"
		return []Finding{problem(i.change(line, "<logall_json>"+i.Conf.LogAllJSON+"<", "<logall_json>yes<", sentence),
			"serve.alerts names %s, which analysisd does not write without <logall_json>yes", file)}
	}
	return []Finding{good("%s is written", file)}
}
