package main

import (
	"fmt"
	"os"
	"slices"
	"syscall"
)

// becomeWazuh makes root the user that integratord runs as, if home is a Wazuh of that user: a file of root's in
// the state or the log would be one that the next call cannot write.
func becomeWazuh(home string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	a := wazuhAccount()
	st, err := os.Stat(home)
	if err != nil || !a.wazuh || a.uid == 0 || len(a.groups) == 0 {
		return nil //nolint:nilerr // no Wazuh, nobody to become
	}
	if owner, ok := st.Sys().(*syscall.Stat_t); !ok || !slices.Contains(a.groups, owner.Gid) {
		return nil
	}
	groups := make([]int, len(a.groups))
	for i, g := range a.groups {
		groups[i] = int(g)
	}
	for _, step := range []func() error{
		func() error { return syscall.Setgroups(groups) },
		func() error { return syscall.Setgid(groups[0]) },
		func() error { return syscall.Setuid(int(a.uid)) },
	} {
		if err := step(); err != nil {
			return fmt.Errorf("become the user %s: %w; run it as that user", a.name, err)
		}
	}
	return nil
}
