// Renders templates with Go's own text/template, so that our reader can be compared with it.
//
// Reads one JSON array of cases from standard input and writes one JSON array of answers. The functions and the
// data behave as marblerun-core 5.6 describes them; nothing but the standard library is used.
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"log"
	"os"
	"text/template"
)

type (
	privateKey  []byte
	publicKey   []byte
	certificate struct{ Raw []byte }
)

type secret struct {
	Type        string
	Size        uint
	Shared      bool
	UserDefined bool
	Cert        certificate
	ValidFor    uint
	Private     privateKey
	Public      publicKey
}

type data struct {
	Secrets   map[string]secret
	Previous  struct{ Secrets map[string]secret }
	MarbleRun struct{ RootCA, MarbleCert, CoordinatorRoot, CoordinatorIntermediate secret }
}

type testCase struct {
	File bool
	Text []byte
}

type answer struct {
	Written []byte
	Error   string
}

var errEmpty = errors.New("tried to parse secret with empty value")

// content finds the bytes of a value and the label of their PEM form.
func content(value any) ([]byte, string, error) {
	var found []byte
	label := ""
	switch typed := value.(type) {
	case nil:
		return nil, "", errors.New("secret does not exist")
	case []byte:
		found = typed
	case privateKey:
		found, label = typed, "PRIVATE KEY"
	case publicKey:
		found, label = typed, "PUBLIC KEY"
	case certificate:
		found, label = typed.Raw, "CERTIFICATE"
	case secret:
		found = typed.Public
	default:
		return nil, "", errors.New("invalid secret type")
	}
	if len(found) == 0 {
		return nil, "", errEmpty
	}
	return found, label, nil
}

func encoder(encode func([]byte) string) func(any) (string, error) {
	return func(value any) (string, error) {
		found, _, err := content(value)
		if err != nil {
			return "", err
		}
		return encode(found), nil
	}
}

func toPEM(value any) (string, error) {
	found, label, err := content(value)
	if err != nil {
		return "", err
	}
	if label == "" {
		return "", errors.New("invalid secret type for pem encoding")
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: label, Bytes: found})), nil
}

func toString(value any) (string, error) {
	whole, ok := value.(secret)
	if !ok || whole.Type != "plain" {
		return "", errors.New("only plain secrets")
	}
	if bytes.IndexByte(whole.Public, 0) >= 0 {
		return "", errors.New("secret contains null bytes")
	}
	if len(whole.Public) == 0 {
		return "", errEmpty
	}
	return string(whole.Public), nil
}

func functions(file bool) template.FuncMap {
	known := template.FuncMap{
		"hex":    encoder(hex.EncodeToString),
		"base64": encoder(base64.StdEncoding.EncodeToString),
		"pem":    toPEM,
	}
	if file {
		known["raw"] = encoder(func(found []byte) string { return string(found) })
	} else {
		known["string"] = toString
	}
	return known
}

func render(each testCase, values data) answer {
	parsed, err := template.New("").Funcs(functions(each.File)).Parse(string(each.Text))
	if err != nil {
		return answer{Error: err.Error()}
	}
	var written bytes.Buffer
	if err := parsed.Execute(&written, values); err != nil {
		return answer{Error: err.Error()}
	}
	return answer{Written: written.Bytes()}
}

func main() {
	var asked struct {
		Data  data
		Cases []testCase
	}
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		log.Fatal(err)
	}
	answers := make([]answer, 0, len(asked.Cases))
	for _, each := range asked.Cases {
		answers = append(answers, render(each, asked.Data))
	}
	if err := json.NewEncoder(os.Stdout).Encode(answers); err != nil {
		log.Fatal(err)
	}
}
