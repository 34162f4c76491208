package wazuh

import (
	"path/filepath"
	"strconv"
	"time"
)

// A Call is what integratord says when it starts an integration. integratord builds one command line and splits
// it on every blank, so settings that are not made arrive as empty arguments and positions are what counts.
type Call struct {
	AlertFile   string        // 1: empty if integratord could not write it
	APIKey      string        // 2: api_key
	HookURL     string        // 3: hook_url
	Debug       bool          // 4: the word "debug"; before 4.7, without debug, a redirection that nobody acts on
	OptionsFile string        // 5, from 4.7: file with the text of <options>
	Timeout     time.Duration // 6, from 4.8: 0 if not given
	Retries     int           // 7, from 4.8: -1 if not given
}

// ProgramName is the name under which integratord starts a binary, whatever its file is called.
const ProgramName = "integrations"

// ParseCall reads the arguments after the program name. It takes whatever any 4.x version passes: missing and
// superfluous arguments, and the redirection "> /dev/null 2>&1" that stands among them as an argument because
// no shell is there to act on it.
func ParseCall(args []string) Call {
	at := func(i int) string {
		if i-1 < len(args) {
			return args[i-1]
		}
		return ""
	}
	c := Call{AlertFile: at(1), APIKey: at(2), HookURL: at(3), Debug: at(4) == "debug", Retries: -1}
	if o := at(5); filepath.Ext(o) == ".options" || filepath.IsAbs(o) {
		c.OptionsFile = o
	}
	if seconds, err := strconv.Atoi(at(6)); err == nil && seconds > 0 && seconds <= 24*60*60 {
		c.Timeout = time.Duration(seconds) * time.Second
	}
	if n, err := strconv.Atoi(at(7)); err == nil && n >= 0 && n <= 100 {
		c.Retries = n
	}
	return c
}
