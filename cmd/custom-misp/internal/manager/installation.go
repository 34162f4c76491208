// Package manager is a Wazuh manager as it is installed: its directory and version, the program and its block in
// ossec.conf, the account that integratord runs as, and the configuration that a call by integratord would have there.
//
// Start at [Open], which reads what there is and notes what cannot be read, and [Installation.Config]. A verb that writes
// into the state directory calls [Become] first: what root writes there, the next call cannot change. [Account] answers by
// owners and modes what integratord's user may do to a file, since doctor mostly runs as root.
package manager

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/cmd/custom-misp/internal/config"
	"custom-misp/engine/atomicfile"
	"custom-misp/engine/wazuh"
)

// An Installation is what there is of Wazuh in a directory, and of this program in it.
type Installation struct {
	Home    string
	HomeErr error  // why the directory cannot be read; nil if it can
	Version string // of Wazuh, like 4.14.7; empty if no file says so
	Program string // the file that integratord starts, there or not
	Self    string // the file of this program; empty if not known

	Conf    wazuh.Conf
	ConfErr error
	Blocks  []wazuh.Integration // those of Conf that are for this program

	User Account // integratord's
}

// FindHome returns Wazuh's directory: as told, else the one whose integrations/ has the program.
func FindHome(told string) string {
	if told != "" {
		if abs, err := filepath.Abs(told); err == nil {
			return abs
		}
		return told
	}
	if exe, err := os.Executable(); err == nil {
		if dir := filepath.Dir(exe); filepath.Base(dir) == wazuh.ProgramName {
			return filepath.Dir(dir)
		}
	}
	return config.DefaultHome
}

// Open reads what there is in Wazuh's directory. What fails is noted in the result.
func Open(home string) *Installation {
	i := &Installation{Home: home, User: WazuhAccount()}
	i.Self, _ = os.Executable()
	i.Program = i.path(filepath.Join(wazuh.ProgramName, "custom-misp"))
	if in, err := os.Stat(filepath.Dir(i.Self)); err == nil {
		if ours, err := os.Stat(filepath.Dir(i.Program)); err == nil && os.SameFile(in, ours) {
			i.Program = filepath.Join(filepath.Dir(i.Program), filepath.Base(i.Self))
		}
	}
	_, i.HomeErr = atomicfile.ReadDir(home)
	for _, name := range []string{"VERSION.json", "bin/wazuh-control", "etc/ossec-init.conf"} {
		if data, err := atomicfile.ReadRegular(i.path(name), cli.MaxFile); err == nil && i.Version == "" {
			i.Version = wazuh.ParseVersion(data)
		}
	}
	data, err := atomicfile.ReadRegular(i.ConfFile(), cli.MaxFile)
	if err != nil {
		i.ConfErr = err
	} else {
		i.Conf, i.ConfErr = wazuh.ParseConf(data)
	}
	for _, b := range i.Conf.Integrations {
		if name := b.Text("name"); name == "custom-misp" || name == filepath.Base(i.Program) {
			i.Blocks = append(i.Blocks, b)
		}
	}
	return i
}

func (i *Installation) path(name string) string { return filepath.Join(i.Home, name) }

// ConfFile returns the path of ossec.conf.
func (i *Installation) ConfFile() string { return i.path("etc/ossec.conf") }

// Config loads the configuration that a call by integratord would have: with what it would pass from the program's
// block. file is the configuration file, empty for the usual one; flags count over all. The configuration is good for
// what the error does not concern; see [config.Load].
func (i *Installation) Config(file string, flags config.Flags) (*config.Config, error) {
	r := config.Request{Home: i.Home, File: file, Flags: flags}
	if len(i.Blocks) > 0 {
		b := i.Blocks[0]
		call := wazuh.Call{APIKey: b.Text("api_key"), HookURL: b.Text("hook_url"), Retries: -1}
		if i.Since(4, 8) {
			call.Timeout, call.Retries = 10*time.Second, 3 // passed even if they are not set
			if n, err := strconv.Atoi(b.Text("timeout")); err == nil {
				call.Timeout = time.Duration(n) * time.Second
			}
			if n, err := strconv.Atoi(b.Text("retries")); err == nil {
				call.Retries = n
			}
		}
		r.Options, r.Call = []byte(b.Text("options")), &call
	}
	return config.Load(r)
}

// Since reports whether Wazuh is of that version or a later one, which it is taken to be if nothing says so.
func (i *Installation) Since(major, minor int) bool {
	var gotMajor, gotMinor int
	if _, err := fmt.Sscanf(i.Version, "%d.%d", &gotMajor, &gotMinor); err != nil {
		return true
	}
	return gotMajor > major || gotMajor == major && gotMinor >= minor
}
