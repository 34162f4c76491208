package wazuh

import (
	"path/filepath"
	"strconv"
	"time"
)

// A Call is what integratord passes when it starts an integration. integratord builds one command line and splits it at
// every blank. So a setting that is missing arrives as an empty argument, and the position says which setting it is.
type Call struct {
	AlertFile   string        // 1: empty if integratord could not write it
	APIKey      string        // 2: api_key
	HookURL     string        // 3: hook_url
	Debug       bool          // 4: the word "debug"; before 4.7, without debug, a redirection that has no effect
	OptionsFile string        // 5, since 4.7: file with the text of <options>
	Timeout     time.Duration // 6, since 4.8: up to 24 hours; 0 if not given
	Retries     int           // 7, since 4.8: up to 100; -1 if not given
}

// ProgramName is the name under which integratord starts every binary, whatever the name of its file.
const ProgramName = "integrations"

// ParseCall reads the arguments after the program name. It accepts what every 4.x version passes: missing and superfluous
// arguments, and the redirection "> /dev/null 2>&1", which arrives as an argument because integratord uses no shell. A
// number out of its bounds counts as not given.
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
