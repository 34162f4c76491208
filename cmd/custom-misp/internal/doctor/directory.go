package doctor

import (
	"fmt"
	"os"
	"path/filepath"

	"custom-misp/cmd/custom-misp/internal/manager"
)

// writableDir checks a directory that the program writes to, and makes if it is not there.
func (i *examination) writableDir(dir string) Finding {
	remedy := fmt.Sprintf("install -d -o %s -g %s -m 0770 %s", i.User.Name, i.User.Group, dir)
	st, err := os.Stat(dir)
	if err == nil && !st.IsDir() {
		return problem(remedy, "%s is not a directory", dir)
	}
	if err == nil {
		if err := i.May(dir, manager.MayWrite|manager.MayRun); err != nil {
			return problem(remedy, "%v", err)
		}
		return good("%s can be written to", dir)
	}
	above := filepath.Dir(dir)
	for above != filepath.Dir(above) {
		if _, err := os.Stat(above); err == nil {
			break
		}
		above = filepath.Dir(above)
	}
	if err := i.May(above, manager.MayWrite|manager.MayRun); err != nil {
		return problem(remedy, "%s is not there and cannot be made: %v", dir, err)
	}
	return good("%s is not there yet, and can be made", dir)
}
