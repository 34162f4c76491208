package manager

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// becomeChild is the variable that has the binary of the tests be the child of TestBecomeForReal.
const becomeChild = "CUSTOM_MISP_TEST_BECOME"

// nobody is an account that has no right to anything.
var nobody = Account{Name: "nobody", UID: 65534, Groups: []uint32{65534, 65533}}

func TestMain(m *testing.M) {
	if os.Getenv(becomeChild) == "" {
		os.Exit(m.Run())
	}
	if err := nobody.become(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(who())
}

// who describes the rights of this process, and whether it can take back those of root.
func who() string {
	groups, err := os.Getgroups()
	slices.Sort(groups)
	back := syscall.Setuid(0) == nil || syscall.Setgid(0) == nil || syscall.Setgroups([]int{0}) == nil
	return fmt.Sprint("uid ", os.Getuid(), os.Geteuid(), " gid ", os.Getgid(), os.Getegid(), " groups ", groups, err, " back ", back)
}

// TestBecome records the system calls: groups first, the user last, and none after one that fails.
func TestBecome(t *testing.T) {
	refused := errors.New("refused")
	all := []string{"setgroups [65534 65533]", "setgid 65534", "setuid 65534"}
	for fails := range len(all) + 1 {
		var calls []string
		record := func(call string) error {
			calls = append(calls, call)
			if len(calls) == fails+1 {
				return refused
			}
			return nil
		}
		t.Run(fmt.Sprint("call ", fails, " fails"), func(t *testing.T) {
			replaceCalls(t, record)
			err := nobody.become()
			if diff := cmp.Diff(all[:min(fails+1, len(all))], calls); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
			if wants := fails < len(all); errors.Is(err, refused) != wants || wants && !strings.Contains(err.Error(), "become the user nobody") {
				t.Errorf("error %v", err)
			}
		})
	}
}

// replaceCalls has the system calls be recorded instead of made.
func replaceCalls(t *testing.T, record func(string) error) {
	t.Helper()
	groups, gid, uid := testOnlySetgroups, testOnlySetgid, testOnlySetuid
	t.Cleanup(func() { testOnlySetgroups, testOnlySetgid, testOnlySetuid = groups, gid, uid })
	testOnlySetgroups = func(ids []int) error { return record(fmt.Sprint("setgroups ", ids)) }
	testOnlySetgid = func(id int) error { return record(fmt.Sprint("setgid ", id)) }
	testOnlySetuid = func(id int) error { return record(fmt.Sprint("setuid ", id)) }
}

// TestBecomeForReal has a child process with the groups of root lose them all. Only root can try.
func TestBecomeForReal(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		return // TestBecome has checked the calls
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Env = append(os.Environ(), becomeChild+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Groups: []uint32{0, 4, 27}}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	const want = "uid 65534 65534 gid 65534 65534 groups [65533 65534] <nil> back false"
	if got := strings.TrimSpace(string(out)); got != want {
		t.Errorf("the child is %s, want %s", got, want)
	}
}

// TestBecomeNobodyElse changes nothing where there is no Wazuh of the account's.
func TestBecomeNobodyElse(t *testing.T) {
	replaceCalls(t, func(call string) error { t.Errorf("%s", call); return nil })
	for _, home := range []string{t.TempDir(), t.TempDir() + "/gone"} { // of the group of this user, and absent
		if err := Become(home); err != nil {
			t.Errorf("%s: %v", home, err)
		}
	}
}
