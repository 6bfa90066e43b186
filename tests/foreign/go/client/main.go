// Command client talks to a fresh Coordinator as a Go program does, and checks every answer with Go's own rules.
//
//	client -rest localhost:4433 -mesh localhost:2001 -manifest FILE -update FILE -user FILE -key FILE
//
// It prints one JSON object per check: {"check": ..., "problem": ...}, where an empty problem is a pass.
package main

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
)

// journey is what one check leaves for the next.
type journey struct {
	rest, mesh       string
	manifest, update []byte
	user             tls.Certificate
	trust            *deployment // from the first quote on
	marble           *marble     // from the first activation on
}

func main() {
	trip, err := prepare()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	out := json.NewEncoder(os.Stdout)
	for _, one := range []struct {
		name string
		run  func(*journey) error
	}{
		{"handshakes", checkHandshakes},
		{"quote and pinned root", checkQuote},
		{"names of the root", checkNames},
		{"unknown paths", checkUnknownPaths},
		{"manifest", checkManifest},
		{"users", checkUsers},
		{"secrets", checkSecrets},
		{"activation refused", checkRefusals},
		{"activation", checkActivation},
		{"certificate chains", checkChains},
		{"mutual TLS between marbles", checkMutualTLS},
		{"monotonic counter", checkCounter},
		{"package update", checkPackageUpdate},
	} {
		problem := ""
		if err := one.run(trip); err != nil {
			problem = err.Error()
		}
		_ = out.Encode(map[string]string{"check": one.name, "problem": problem})
	}
}

func prepare() (*journey, error) {
	trip := &journey{}
	flag.StringVar(&trip.rest, "rest", "", "host:port of the client API")
	flag.StringVar(&trip.mesh, "mesh", "", "host:port of the marble API")
	manifest := flag.String("manifest", "", "file: the first manifest")
	update := flag.String("update", "", "file: a package update")
	user := flag.String("user", "", "file: the user's certificate")
	key := flag.String("key", "", "file: the user's key")
	flag.Parse()
	var problems [3]error
	trip.manifest, problems[0] = os.ReadFile(*manifest)
	trip.update, problems[1] = os.ReadFile(*update)
	trip.user, problems[2] = tls.LoadX509KeyPair(*user, *key)
	return trip, errors.Join(problems[:]...)
}

// want describes what differs, or nothing.
func want(good bool, format string, found ...any) error {
	if good {
		return nil
	}
	return fmt.Errorf(format, found...)
}
