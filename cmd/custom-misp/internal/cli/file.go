package cli

import (
	"os"

	"custom-misp/engine/yamlfile"
)

// MaxFile is the longest file that is read as a whole, in bytes: a key, a certificate, an ignore file, ossec.conf.
const MaxFile = yamlfile.MaxSize

// OpenNamed opens a file that a person names on the command line. A pipe is a file as well: shells make one for <(command). To
// open it may wait for its other end; a signal ends that. Everything else is opened by package atomicfile.
func OpenNamed(name string) (*os.File, error) {
	return os.Open(name) //nolint:forbidigo // see above
}

// ReadNamed reads a YAML file that a person names on the command line. Of one that is longer than any such file may be it
// returns so much that its reader refuses it.
func ReadNamed(name string) ([]byte, error) {
	f, err := OpenNamed(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	return yamlfile.ReadAll(f)
}
