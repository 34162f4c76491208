package alertlog

import (
	"bytes"
)

// Last returns the last complete line of the plain file that Wazuh writes alerts to now, and the number of its inode. The
// line is empty if the file has none of at most [enrich.MaxAlert] bytes.
func Last(path string) (line []byte, inode uint64, err error) {
	s, err := openSource(path, 0)
	if err != nil {
		return nil, 0, readTrouble(err)
	}
	defer s.close() //nolint:errcheck // only read
	end, err := s.lastLine()
	if err != nil {
		return nil, 0, readTrouble(err)
	}
	line = make([]byte, min(end, maxLine+1))
	if _, err := s.file.ReadAt(line, end-int64(len(line))); err != nil {
		return nil, 0, readTrouble(err)
	}
	line = bytes.TrimSuffix(line, []byte{'\n'})
	at := bytes.LastIndexByte(line, '\n') + 1
	if at == 0 && end > int64(len(line))+1 {
		return nil, s.inode(), nil // too long
	}
	return line[at:], s.inode(), nil
}
