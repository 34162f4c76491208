package manager

import (
	"fmt"
	"os"
	"slices"
	"syscall"
)

// Become makes root the user that integratord runs as, if home is a Wazuh of that user: a file of root's in the state or
// the log is one that the next call cannot write.
func Become(home string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	a := WazuhAccount()
	st, err := os.Stat(home)
	if err != nil || !a.IsWazuh || a.UID == 0 || len(a.Groups) == 0 {
		return nil //nolint:nilerr // there is no Wazuh
	}
	if _, gid := Owner(st); !slices.Contains(a.Groups, gid) {
		return nil
	}
	return a.become()
}

// become gives up all rights of this process but those of the account. The order matters: once the user is another, the
// groups cannot be changed, and root's groups would stay.
func (a Account) become() error {
	groups := make([]int, len(a.Groups))
	for i, g := range a.Groups {
		groups[i] = int(g)
	}
	for _, step := range []func() error{
		func() error { return testOnlySetgroups(groups) },
		func() error { return testOnlySetgid(groups[0]) },
		func() error { return testOnlySetuid(int(a.UID)) },
	} {
		if err := step(); err != nil {
			return fmt.Errorf("become the user %s: %w; run it as that user", a.Name, err)
		}
	}
	return nil
}

// The system calls, which tests record.
var (
	testOnlySetgroups = syscall.Setgroups
	testOnlySetgid    = syscall.Setgid
	testOnlySetuid    = syscall.Setuid
)
