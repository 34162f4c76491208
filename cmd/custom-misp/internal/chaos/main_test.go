// Package chaos runs the built program against random faults and counts independently of it. See README.md.
package chaos

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"time"

	"custom-misp/cmd/custom-misp/internal/wazuhtest"
)

var (
	flagSeed   = flag.Uint64("seed", 1, "seed of the first round, the next ones count up; 0 for a random one")
	flagTime   = flag.Duration("time", 0, "how long there are faults, over all rounds; 0 for 2s, with LONG_TESTS for 20s")
	flagRound  = flag.Duration("round", time.Minute, "longest round; each has its own seed, home, policy and mode")
	flagFaults = flag.String("faults", "default", "what may go wrong, separated by commas: names of faults, -NAME to leave one out, default, all")
)

// namespace is set in the environment of the process that has file systems of its own.
const namespace = "CHAOS_NAMESPACE"

// errNoMounts says why no file system can be mounted; nil if it can.
var errNoMounts = errors.New("the test runs in no namespace of its own")

// TestMain runs the tests in a namespace, in which a small file system can be mounted and is gone with the process, also
// without root.
func TestMain(m *testing.M) {
	flag.Parse()
	if os.Getenv(namespace) == "" {
		code, err := runInNamespace()
		if err == nil {
			os.Exit(code)
		}
		errNoMounts = fmt.Errorf("no namespace of its own: %w", err)
	} else {
		errNoMounts = syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, "")
	}
	code := m.Run()
	wazuhtest.RemoveProgram()
	os.Exit(code)
}

// runInNamespace runs this program again in a namespace and returns its exit code. An error says that it did not start.
func runInNamespace() (int, error) {
	runtime.LockOSThread() // the child ends with the thread that started it
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), namespace+"=yes")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	err := cmd.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() < 0 {
		return 1, nil
	}
	return cmd.ProcessState.ExitCode(), nil
}
