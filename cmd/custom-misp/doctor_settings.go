package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"custom-misp/engine"
	"custom-misp/engine/yamlfile"
)

// checkConfiguration tells what loading the settings told, and whether integratord's user can load them too.
func (i *installation) checkConfiguration(context.Context) []finding {
	if faults, ok := errors.AsType[yamlfile.Faults](i.settingsErr); ok {
		var findings []finding
		for _, f := range faults {
			findings = append(findings, problemOf(f, "mend this line"))
		}
		return findings
	}
	if errors.Is(i.settingsErr, fs.ErrPermission) {
		return []finding{problem("sudo "+i.command("doctor"), "%v", i.settingsErr)}
	}
	if i.settingsErr != nil {
		return []finding{problemOf(i.settingsErr, "mend it, and see: custom-misp config --home "+i.s.home)}
	}
	file := i.s.fromHome("etc/custom-misp.yaml")
	_, err := os.Stat(file)
	if err == nil {
		if err := i.may(file, mayRead); err != nil {
			return []finding{problem(i.readable(file), "%v", err)}
		}
	}
	for _, o := range options {
		name := i.s.path(o.key)
		if o.kind != kindPath || !strings.HasPrefix(o.key, "misp.") || o.key == "misp.key_file" || name == "" {
			continue
		}
		if err := i.may(name, mayRead); err != nil {
			return []finding{problem(i.readable(name), "%s: %v", o.key, err)}
		}
	}
	if !i.asksNobody() && i.s.text("misp.url") == "" {
		return []finding{problem("write into "+file+": misp: {url: https://misp.example.org}, with your own address", "misp.url is not set")}
	}
	if err != nil {
		return []finding{good("no %s; all settings come from elsewhere", file)}
	}
	return []finding{good("%s", file)}
}

// readable returns the command that lets integratord's user read a file, and only read it.
func (i *installation) readable(file string) string {
	return fmt.Sprintf("chown root:%s %s && chmod 0640 %s", i.user.group, file, file)
}

// checkKey looks for the key, and who can read it. The key itself is shown nowhere.
func (i *installation) checkKey(context.Context) []finding {
	if dir := i.s.path("feed.dir"); dir != "" {
		return []finding{skipped("the feed in %s is looked up in, which needs no key", dir)}
	}
	if i.asksNobody() {
		return []finding{skipped("only copies of feeds and lists are looked up in, which needs no key")}
	}
	key, err := i.s.key()
	file := i.s.path("misp.key_file")
	fill := fmt.Sprintf("install -o root -g %s -m 0640 /dev/null %s && cat > %s, then paste the key, Enter, Ctrl-D", i.user.group, file, file)
	inConf := i.s.origin["misp.key"] == "ossec.conf"
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return []finding{problem(fill, "%v", err)}
	case errors.Is(err, fs.ErrPermission):
		return []finding{problem("sudo "+i.command("doctor"), "%v", err)}
	case err != nil:
		return []finding{problemOf(err, "")}
	case key == "" && file == "":
		return []finding{problem("name a file with misp.key_file in "+i.s.fromHome("etc/custom-misp.yaml"), "there is no key for MISP")}
	case key == "":
		return []finding{problem(fill, "%s is empty", file)}
	case inConf:
		own := i.s.fromHome("etc/custom-misp.key")
		return []finding{warning("put it into "+own+" instead (root:"+i.user.group+", mode 0640), name that with misp.key_file, and take <api_key> out",
			"the key stands in <api_key>: integratord puts it on command lines, which every user of this machine can read")}
	case file == "" || rank(i.s.origin["misp.key"]) > rank(i.s.origin["misp.key_file"]):
		return []finding{good("from %s", i.s.origin["misp.key"])}
	}
	if err := i.may(file, mayRead); err != nil {
		return []finding{problem(i.readable(file), "%v", err)}
	}
	return []finding{good("from %s", file)}
}

// checkMappings loads all mappings as a call does.
func (i *installation) checkMappings(context.Context) []finding {
	sources, err := mappingSources(i.s, nil)
	if err != nil {
		return []finding{problem("set mappings.dirs to directories that are there, and that user "+i.user.name+" can read", "%v", err)}
	}
	e, err := engine.Load(sources...)
	found := fmt.Sprintf("%s from %s", plural(len(e.Mappings()), "mapping"), plural(len(sources), "file"))
	if faults, ok := errors.AsType[yamlfile.Faults](err); ok {
		return []finding{problem(i.command("lint"), "%s; %s, files with faults are left out; the first: %s", found, plural(len(faults), "fault"), faults[0].Error())}
	}
	if len(e.Mappings()) == 0 {
		return []finding{problem("set mappings.builtin to true, or mappings.dirs", "no mappings; nothing is ever looked up")}
	}
	for _, src := range sources {
		if src.Builtin {
			continue
		}
		if err := i.may(src.Name, mayRead); err != nil {
			return []finding{problem(i.readable(src.Name), "%v", err)}
		}
	}
	return []finding{good("%s", found)}
}

// checkLog looks whether a call could write its log. It writes nothing.
func (i *installation) checkLog(context.Context) []finding {
	file := i.s.path("log.file")
	if file == "" {
		return []finding{skipped("log.file is empty, so there is none")}
	}
	st, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		f := i.writableDir(filepath.Dir(file))
		if _, err := os.Stat(filepath.Dir(file)); err != nil && f.Status == statusOK {
			return []finding{problem(fmt.Sprintf("install -d -o %s -g %s -m 0770 %s", i.user.name, i.user.group, filepath.Dir(file)), "the directory of %s is not there", file)}
		}
		if f.Status == statusOK {
			f.Found = file + " is not there yet, and can be made"
		}
		return []finding{f}
	}
	if err != nil {
		return []finding{problem("sudo "+i.command("doctor"), "%v", err)}
	}
	if !st.Mode().IsRegular() {
		return []finding{problem("set log.file to a file", "%s is not a file", file)}
	}
	if err := i.may(file, mayWrite); err != nil {
		return []finding{problem(fmt.Sprintf("chown %s:%s %s && chmod 0660 %s", i.user.name, i.user.group, file, file), "%v", err)}
	}
	return []finding{good("%s can be written to", file)}
}
