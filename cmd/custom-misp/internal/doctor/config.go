package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/cmd/custom-misp/internal/config"
	"custom-misp/cmd/custom-misp/internal/manager"
	"custom-misp/engine"
	"custom-misp/engine/atomicfile"
	"custom-misp/engine/yamlfile"
)

// checkConfiguration reports the faults of the configuration, and whether integratord's user can read it too.
func (i *examination) checkConfiguration(context.Context) []Finding {
	if errors.Is(i.configErr, fs.ErrPermission) {
		return []Finding{problem(i.asRoot("doctor"), "%v", i.configErr)}
	}
	if i.configErr != nil {
		var findings []Finding
		for _, line := range cli.Lines(i.configErr) {
			f := problemOf(errors.New(strings.TrimPrefix(line, "custom-misp: ")), i.command("config"))
			f.Remedy = meant(f)
			findings = append(findings, f)
		}
		return findings
	}
	file := i.config.FromHome("etc/custom-misp.yaml")
	_, err := os.Stat(file)
	if err == nil {
		if err := i.May(file, manager.MayRead); err != nil {
			return []Finding{problem(i.allow(file, i.readable(file)), "%v", err)}
		}
	}
	files := i.config.TLSFiles()
	for _, s := range i.servers() {
		if s.Declared() {
			files = append(files, s.TLSFiles()...)
		}
	}
	for _, f := range files {
		if err := i.May(f.Path, manager.MayRead); err != nil {
			return []Finding{problem(i.allow(f.Path, i.readable(f.Path)), "%s: %v", f.Key, err)}
		}
	}
	if i.config.AsksMISP() && i.servers()[0].URL == "" {
		return []Finding{problem("write into "+file+": misp: {url: https://misp.example.org}, with your own address", "misp.url is not set")}
	}
	if err != nil {
		return []Finding{good("no %s; all settings come from elsewhere", file)}
	}
	return []Finding{good("%s", file)}
}

// meant returns the command that writes the word that was meant in the place of a wrong one, else the remedy of a finding
// about a line of a file.
func meant(f Finding) string {
	word, ok := strings.CutPrefix(f.Remedy, "did you mean ")
	_, wrong, quoted := strings.Cut(f.Found, `"`)
	wrong, _, _ = strings.Cut(wrong, `"`)
	parts := strings.SplitN(f.Found, ":", 4)
	if !ok || !quoted || len(parts) < 4 || wrong == "" {
		return f.Remedy
	}
	line, err := strconv.Atoi(parts[1])
	data, readErr := atomicfile.ReadRegular(parts[0], cli.MaxFile)
	lines := strings.Split(string(data), "\n")
	if err != nil || readErr != nil || line < 1 || line > len(lines) || strings.Count(lines[line-1], wrong) != 1 {
		return f.Remedy
	}
	expression, ok := substitution(wrong, strings.Trim(word, `"?`))
	if !ok {
		return f.Remedy
	}
	return fmt.Sprintf("sed -i '%d%s' %s", line, expression, parts[0])
}

// checkKey looks for the key, and who can read it. The key itself is shown nowhere.
func (i *examination) checkKey(context.Context) []Finding {
	if dir := i.config.FeedDir; dir != "" {
		return []Finding{skipped("the feed in %s is looked up in, which needs no key", dir)}
	}
	if !i.config.AsksMISP() {
		return []Finding{skipped("only copies of feeds and lists are looked up in, which needs no key")}
	}
	servers := i.servers()
	if len(servers) == 1 && !servers[0].Declared() {
		return i.keyOf(servers[0])
	}
	var findings []Finding
	for _, of := range servers {
		for _, f := range i.keyOf(of) {
			f.Server, f.Found = of.Name, of.Name+": "+f.Found
			findings = append(findings, f)
		}
	}
	return findings
}

// keyOf looks for the key of a server.
func (i *examination) keyOf(of app.Server) []Finding {
	key, err := of.MISP.Key.Read()
	file, from := of.MISP.Key.File, of.MISP.Key.From
	fill := i.fillKey(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return []Finding{problem(fill, "%v", err)}
	case errors.Is(err, fs.ErrPermission):
		return []Finding{problem(i.asRoot("doctor"), "%v", err)}
	case err != nil:
		return []Finding{problemOf(err, "")}
	case key == "" && file == "":
		return []Finding{problem("name a file with misp.key_file in "+i.config.FromHome("etc/custom-misp.yaml"), "there is no key for MISP")}
	case key == "":
		return []Finding{problem(fill, "%s: %s is empty", of.MISP.Key.Option(), file)}
	case of.MISP.Key.InOssecConf():
		own := i.config.FromHome("etc/custom-misp.key")
		return []Finding{warning("put the key into "+own+", name that with misp.key_file in "+i.config.FromHome("etc/custom-misp.yaml")+" and take <api_key> out of the block",
			"the key is in <api_key>: integratord puts it on command lines, which every user of this machine can read")}
	case file == "":
		return []Finding{good("from %s", from)}
	}
	if err := i.May(file, manager.MayRead); err != nil {
		return []Finding{problem(i.allow(file, i.readable(file)), "%v", err)}
	}
	return []Finding{good("from %s", file)}
}

// checkMappings loads all mappings as a call does.
func (i *examination) checkMappings(context.Context) []Finding {
	sources, err := app.Mappings(i.config)
	if err != nil {
		return []Finding{problem("set mappings.dirs to directories that are there, and that user "+i.User.Name+" can read", "%v", err)}
	}
	e, err := app.Compile(sources)
	found := fmt.Sprintf("%s from %s", cli.Plural(e.Len(), "mapping"), cli.Plural(len(sources), "file"))
	if faults, ok := errors.AsType[yamlfile.Faults](err); ok {
		return []Finding{problem(i.command("lint"), "%s; %s, files with faults are left out; the first: %s", found, cli.Plural(len(faults), "fault"), faults[0].Error())}
	}
	if e.Len() == 0 {
		return []Finding{problem("set mappings.builtin to true, or mappings.dirs", "no mappings; nothing is ever looked up")}
	}
	for _, src := range sources {
		if src.Builtin {
			continue
		}
		if err := i.May(src.Name, manager.MayRead); err != nil {
			return []Finding{problem(i.allow(src.Name, i.readable(src.Name)), "%v", err)}
		}
	}
	if i.asksForOwn(e) {
		return []Finding{warning("write into "+i.config.File+": ignore: {values: [DOMAIN, NETWORK]}, with your own domains and public networks",
			"%s; ignore.values is empty, so MISP is asked for public names and addresses of this site too", found)}
	}
	return []Finding{good("%s", found)}
}

// asksForOwn reports whether MISP may be asked live for names and addresses of the site: a fallback picks them, and nothing
// is ignored.
func (i *examination) asksForOwn(e *engine.Engine) bool {
	c := i.config
	if c.Lookup.Policy == config.PolicyMirror || c.FeedDir != "" || c.Fallback.MaxValues == 0 || len(c.Ignore.Values)+len(c.Ignore.Files) > 0 {
		return false
	}
	return slices.ContainsFunc(e.Mappings(), func(m engine.Mapping) bool { return m.Fallback && !slices.Contains(c.Mappings.Disable, m.ID) })
}

// checkLog looks whether a call could write its log. It writes nothing.
func (i *examination) checkLog(context.Context) []Finding {
	file := i.config.Log.File
	if file == "" {
		return []Finding{skipped("log.file is empty, so there is none")}
	}
	st, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		f := i.writableDir(filepath.Dir(file))
		if _, err := os.Stat(filepath.Dir(file)); err != nil && f.Status == StatusOK {
			return []Finding{problem(fmt.Sprintf("install -d -o %s -g %s -m 0770 %s", i.User.Name, i.User.Group, filepath.Dir(file)), "the directory of %s is not there", file)}
		}
		if f.Status == StatusOK {
			f.Found = file + " is not there yet, and can be made"
		}
		return []Finding{f}
	}
	if err != nil {
		return []Finding{problem(i.asRoot("doctor"), "%v", err)}
	}
	if !st.Mode().IsRegular() {
		return []Finding{problem("set log.file to a file", "%s is not a file", file)}
	}
	if err := i.May(file, manager.MayWrite); err != nil {
		return []Finding{problem(i.allow(file, fmt.Sprintf("chown %s:%s %s && chmod 0660 %s", i.User.Name, i.User.Group, file, file)), "%v", err)}
	}
	return []Finding{good("%s can be written to", file)}
}
