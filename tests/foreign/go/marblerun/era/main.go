// Command era is MarbleRun's command line, for a build in which EGo's verifier reads simulated quotes.
package main

import (
	"os"

	"github.com/edgelesssys/marblerun/cli/cmd"
)

func main() {
	if err := cmd.Execute(); err != nil {
		os.Exit(1)
	}
}
