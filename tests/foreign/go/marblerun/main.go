// Command foreign calls the SDK and the premain of MarbleRun, unmodified, against a Coordinator.
//
//	foreign sign-quote ENDPOINT QUOTE        let the Coordinator sign a quote, and verify the signature
//	foreign marble NAMES...                  run the premain without an enclave; print what the marble got
//	foreign count ENDPOINT NAME VALUE        run the premain, then raise a monotonic counter as that marble
//
// Answers are one JSON document on the standard output; a failure is exit code 1 and its text.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/edgelesssys/marblerun/api"
	"github.com/edgelesssys/marblerun/marble/premain"
)

func main() {
	ctx, stop := context.WithTimeout(context.Background(), 30*time.Second)
	defer stop()
	answer, err := run(ctx, os.Args[1:])
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(answer)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) (map[string]any, error) {
	switch {
	case len(args) == 3 && args[0] == "sign-quote":
		return signQuote(ctx, args[1], args[2])
	case len(args) > 0 && args[0] == "marble":
		return marble()
	case len(args) == 4 && args[0] == "count":
		return count(ctx, args[1], args[2], args[3])
	}
	return nil, errors.New("usage: foreign sign-quote|marble|count ARGUMENTS")
}

func signQuote(ctx context.Context, endpoint, quoteFile string) (map[string]any, error) {
	root, _, _, err := api.VerifyCoordinator(ctx, endpoint, api.VerifyOptions{InsecureSkipVerify: true})
	if err != nil {
		return nil, err
	}
	quote, err := os.ReadFile(quoteFile)
	if err != nil {
		return nil, err
	}
	signature, status, err := api.SignQuote(ctx, endpoint, root, quote)
	if err != nil {
		return nil, err
	}
	valid := api.VerifySignedQuote(root, quote, signature, status)
	return map[string]any{"status": status.String(), "valid": valid}, nil
}

func marble() (map[string]any, error) {
	wanted := os.Args[2:] // the premain replaces them
	if err := premain.PreMainMock(); err != nil {
		return nil, err
	}
	environment := map[string]string{}
	for _, name := range wanted {
		environment[name] = os.Getenv(name)
	}
	return map[string]any{"argv": os.Args, "env": environment}, nil
}

func count(ctx context.Context, endpoint, name, text string) (map[string]any, error) {
	if err := premain.PreMainMock(); err != nil {
		return nil, err
	}
	value, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return nil, err
	}
	previous, err := api.SetMonotonicCounter(ctx, endpoint, name, value)
	return map[string]any{"previous": previous}, err
}
