package doctor

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"time"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/cmd/custom-misp/internal/config"
	"custom-misp/cmd/custom-misp/internal/manager"
	"custom-misp/cmd/custom-misp/internal/serve"
	"custom-misp/engine/atomicfile"
)

// A bundle is what someone who helps has to know of an installation: findings, versions, configuration, state and the last
// lines of logs. It has no secret, and no value of an alert: of log lines, all that looks like an indicator is masked, and
// lines at level debug, which may have more, are left out.

const (
	bundleLines = 500 // of each log
	masked      = "********"
)

// Bundle examines an installation as [Examine] does, and returns a gzipped tar archive with what was found.
func Bundle(ctx context.Context, in *manager.Installation, configFile string) ([]byte, error) {
	x := newExamination(in)
	x.config, x.configErr = in.Config(configFile, config.Flags{})
	return x.bundle(ctx)
}

func (i *examination) bundle(ctx context.Context) ([]byte, error) {
	findings := i.examine(ctx)
	var text bytes.Buffer
	Print(&text, findings)
	now, err := serve.Ask(ctx, i.config)
	status := map[string]any{"status": now}
	if err != nil {
		status["error"] = err.Error()
	}
	files := []struct {
		name    string
		content []byte
	}{
		{"doctor.txt", text.Bytes()},
		{"doctor.json", jsonOf(findings)},
		{"versions.json", jsonOf(i.versions())},
		{"configuration.json", jsonOf(i.settings())},
		{"status.json", jsonOf(status)},
		{"state.txt", i.stateFiles()},
		{"integration.txt", i.blocks()},
		{"integrations.log", i.lastLines(i.config.Log.File, "custom-misp")},
		{"ossec.log", i.lastLines(i.config.FromHome("logs/ossec.log"), "integrat", "analysisd: ERROR", "analysisd: WARNING", "custom-misp")},
	}
	var out bytes.Buffer
	zipped := gzip.NewWriter(&out)
	archive := tar.NewWriter(zipped)
	for _, f := range files {
		content := []byte(i.withoutSecrets(i.withoutUserinfo(string(f.content))))
		head := &tar.Header{Name: "custom-misp-bundle/" + f.name, Mode: 0o600, Size: int64(len(content)), ModTime: i.now().Truncate(time.Second), Typeflag: tar.TypeReg}
		if err := archive.WriteHeader(head); err != nil {
			return nil, err
		}
		if _, err := archive.Write(content); err != nil {
			return nil, err
		}
	}
	if err := errors.Join(archive.Close(), zipped.Close()); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func jsonOf(v any) []byte {
	var out bytes.Buffer
	if err := cli.WriteJSON(&out, v); err != nil {
		return []byte(err.Error())
	}
	return out.Bytes()
}

// versions of all that plays a part.
func (i *examination) versions() map[string]string {
	all := map[string]string{
		"custom-misp": cli.Version(), "go": runtime.Version(), "machine": runtime.GOOS + "/" + runtime.GOARCH, "wazuh": i.Version,
		"time": i.now().UTC().Format(time.RFC3339), "systemd": fmt.Sprint(i.systemd),
	}
	for name, file := range map[string]string{"kernel": "/proc/sys/kernel/osrelease", "system": "/etc/os-release", "dgram_qlen": "/proc/sys/net/unix/max_dgram_qlen"} {
		if data, err := atomicfile.ReadRegular(file, 4096); err == nil {
			all[name] = strings.TrimSpace(string(data))
		}
	}
	return all
}

// settings returns the configuration. What a site never asks for is its own business: only its number is shown.
func (i *examination) settings() any {
	values := i.config.Values()
	for n, v := range values {
		if list, ok := v.Value.([]string); ok && v.Key == "ignore.values" {
			values[n].Value = cli.Plural(len(list), "value")
		}
	}
	out := map[string]any{"values": values}
	if i.configErr != nil {
		out["faults"] = cli.Lines(i.configErr)
	}
	return out
}

// stateFiles lists what is in the state directory: names, sizes, times and owners.
func (i *examination) stateFiles() []byte {
	const most = 2000
	var out bytes.Buffer
	n := 0
	_ = filepath.WalkDir(i.config.StateDir, func(name string, d fs.DirEntry, err error) error {
		if n++; n > most {
			fmt.Fprintf(&out, "and more\n")
			return fs.SkipAll
		}
		if err != nil {
			fmt.Fprintf(&out, "%v\n", err)
			return nil
		}
		if st, err := d.Info(); err == nil {
			fmt.Fprintf(&out, "%s %s %10d %s %s\n", st.Mode(), manager.ShownOwner(st), st.Size(), st.ModTime().UTC().Format(time.RFC3339), name)
		}
		return nil
	})
	depth, err := app.NewSpool(i.config).Depth()
	fmt.Fprintf(&out, "spool: %s, %v\n", bytes.TrimSpace(jsonOf(depth)), err)
	return out.Bytes()
}

// blocks shows the <integration> blocks for this program, without the key.
func (i *examination) blocks() []byte {
	var out bytes.Buffer
	for _, b := range i.Blocks {
		fmt.Fprintf(&out, "line %d to %d\n", b.Line, b.End)
		for _, e := range b.Elements {
			text := e.Text
			switch {
			case e.Name == "api_key" && text != "":
				text = masked
			case e.Name == "options":
				text = maskedOptions(text)
			}
			fmt.Fprintf(&out, "  <%s>%s</%s>\n", e.Name, text, e.Name)
		}
	}
	return out.Bytes()
}

// maskedOptions returns the text of <options> without a key that it has.
func maskedOptions(text string) string {
	var tree map[string]any
	if json.Unmarshal([]byte(text), &tree) != nil {
		return masked
	}
	mask(tree)
	return string(bytes.TrimSpace(jsonOf(tree)))
}

func mask(tree map[string]any) {
	for name, v := range tree {
		if section, ok := v.(map[string]any); ok {
			mask(section)
		} else if name == "key" || strings.HasSuffix(name, ".key") {
			tree[name] = masked
		}
	}
}

// lastLines returns the last lines of a log that have one of some texts, without what could be a value of an alert.
func (i *examination) lastLines(file string, texts ...string) []byte {
	var kept []string
	for _, line := range tailOf(file, maxLogTail) {
		text := string(line)
		if strings.Contains(text, "DEBUG") || !containsAny(text, texts) {
			continue
		}
		kept = append(kept, maskValues(cli.Clean(text), i.Home))
	}
	return []byte(strings.Join(kept[max(0, len(kept)-bundleLines):], "\n"))
}

func containsAny(text string, parts []string) bool {
	for _, part := range parts {
		if strings.Contains(text, part) {
			return true
		}
	}
	return false
}

// withoutUserinfo masks user and password in addresses.
func (i *examination) withoutUserinfo(text string) string {
	for _, v := range append([]string{i.config.MISP.URL}, os.Getenv("HTTPS_PROXY"), os.Getenv("https_proxy")) {
		if u, err := url.Parse(v); err == nil && u.User != nil {
			text = strings.ReplaceAll(text, u.User.String()+"@", masked+"@")
		}
	}
	return text
}

// valueForms are the forms of indicators, the longer ones first.
var valueForms = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(strings.Join([]string{
		`\\"[^"\\]*\\"`,                                                  // what an error quotes
		`(?i)[a-z][a-z0-9+.-]*://[^\s"']+`,                               // URLs
		`[\w.+-]+@[\w.-]+`,                                               // addresses of mail
		`[A-Za-z]:\\[^\s"']+`, `\\\\[^\s"']+`, `(?i)\bHK[A-Z_]+\\[^"']+`, // paths and registry keys of Windows
		`(?:^|[\s"'=(])(?:/[\w.@%+-]+){2,}`,            // paths, with what is before them
		`(?i)\b[0-9a-f]{32,128}\b`,                     // hashes
		`(?i)\b[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){3,7}\b`, // IPv6
		`\b\d{1,3}(?:\.\d{1,3}){3}\b`,                  // IPv4
		`(?i)\b(?:[a-z0-9_-]+\.)+[a-z][a-z0-9-]+\b`,    // names
	}, "|"))
})

// ownNames end the names of files that this program and Wazuh write, which are not hosts.
var ownNames = []string{".json", ".yaml", ".log", ".conf", ".key", ".xml", ".lock", ".sock", ".segment", ".alert", ".options", ".pem", ".txt", ".broken", ".c"}

// ownKeys begin names of the configuration.
var ownKeys = []string{"misp.", "lookup.", "mirror.", "serve.", "ignore.", "mappings.", "wazuh.", "spool.", "log.", "feed.", "sightings."}

// maskValues masks what looks like an indicator, but for files below Wazuh's home.
func maskValues(line, home string) string {
	return valueForms().ReplaceAllStringFunc(line, func(found string) string {
		before, path, isPath := strings.Cut(found, "/")
		if isPath = isPath && len(before) <= 1 && !strings.HasPrefix(path, "/"); isPath && strings.HasPrefix("/"+path, home+"/") {
			return found
		}
		for _, end := range ownNames {
			if strings.HasSuffix(found, end) && !strings.ContainsAny(found, `@\`) && !strings.Contains(found, "://") {
				return found
			}
		}
		for _, start := range ownKeys {
			if strings.HasPrefix(found, start) && !strings.ContainsAny(found, `@:\`) && strings.Count(found, ".") == 1 {
				return found
			}
		}
		if isPath {
			return before + "[masked]"
		}
		return "[masked]"
	})
}
