// Reads request bodies with Go's own encoding/json, so that our reader can be compared with it.
//
// Takes one JSON array of bodies (base64) from standard input and writes one JSON array of answers.
package main

import (
	"bytes"
	"encoding/json"
	"log"
	"os"
)

type entry struct {
	Cert    []byte
	Private []byte
	Key     []byte
}

type body struct {
	Manifest []byte           `json:"manifest"`
	Name     string           `json:"name"`
	Value    uint64           `json:"value"`
	Secrets  map[string]entry `json:"secrets"`
}

// outcome is what one way of reading makes of one body; the fields are absent where it refuses.
type outcome struct {
	Error string `json:"error"`
	Body  *body  `json:"body"`
}

type answer struct {
	First outcome `json:"first"`
	Whole outcome `json:"whole"`
}

func outcomeOf(read *body, err error) outcome {
	if err != nil {
		return outcome{Error: err.Error()}
	}
	return outcome{Body: read}
}

func main() {
	var raws [][]byte
	if err := json.NewDecoder(os.Stdin).Decode(&raws); err != nil {
		log.Fatal(err)
	}
	answers := make([]answer, 0, len(raws))
	for _, raw := range raws {
		var first, whole body
		firstErr := json.NewDecoder(bytes.NewReader(raw)).Decode(&first)
		wholeErr := json.Unmarshal(raw, &whole)
		answers = append(answers, answer{outcomeOf(&first, firstErr), outcomeOf(&whole, wholeErr)})
	}
	if err := json.NewEncoder(os.Stdout).Encode(answers); err != nil {
		log.Fatal(err)
	}
}
