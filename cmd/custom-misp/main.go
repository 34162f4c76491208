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

	"custom-misp/cmd/custom-misp/internal/cli"
)

func main() {
	log.SetOutput(io.Discard) // net/http writes to it about servers that break the protocol; our own errors say that
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args, os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
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
