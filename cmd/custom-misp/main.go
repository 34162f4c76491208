// Command custom-misp brings an organisation's own threat intelligence into Wazuh alerts. Wazuh's integratord starts it
// for an alert; people use its verbs, each of which is a file of this package.
package main

import (
	"context"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"custom-misp/cmd/custom-misp/internal/cli"
)

func main() {
	log.SetOutput(io.Discard) // net/http writes to it about servers that break the protocol; our own errors say that
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	ended := make(chan int, 1)
	go func() { ended <- run(ctx, os.Args, os.Stdin, os.Stdout, os.Stderr) }()
	os.Exit(wait(ctx, ended, os.Args))
}

const (
	// interruptGrace is how long a verb may take to end after a signal. One that reads standard input cannot.
	interruptGrace = 500 * time.Millisecond
	// finishGrace is the same for what finishes what it has begun. That takes five seconds, unless something hangs: a
	// configuration file that is a pipe, a disk that does not answer.
	finishGrace = 10 * time.Second
)

// wait returns the exit code of the program. After a signal a verb ends within one second, with [cli.ExitInterrupted];
// but serve and a call by integratord finish what they have begun, and have an exit code of their own.
func wait(ctx context.Context, ended <-chan int, argv []string) int {
	select {
	case code := <-ended:
		return code
	case <-ctx.Done():
	}
	finish := finishes(argv)
	grace := interruptGrace
	if finish {
		grace = finishGrace
	}
	select {
	case code := <-ended:
		if finish {
			return code
		}
	case <-time.After(grace):
	}
	return cli.ExitInterrupted
}

// finishes reports whether a command line is one that ends by itself in good order after a signal.
func finishes(argv []string) bool {
	_, rest := splitGlobal(argv[1:])
	return isCall(argv[0], rest) || len(rest) > 0 && rest[0] == "serve"
}

// run is the whole program but for the process around it. argv includes the program name.
func run(ctx context.Context, argv []string, stdin io.Reader, stdout, stderr io.Writer) int {
	global, rest := splitGlobal(argv[1:])
	if isCall(argv[0], rest) {
		return cli.Report(stderr, call(ctx, global, rest, stderr))
	}
	root := newRoot(cli.Streams{In: stdin, Out: stdout, Err: stderr})
	root.SetArgs(argv[1:])
	return cli.Report(stderr, root.ExecuteContext(ctx))
}
