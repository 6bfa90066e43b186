package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// deployment is what a client trusts after it has seen the quote.
type deployment struct {
	root, intermediate *x509.Certificate
}

// answer is one answer, its envelope read with Go's rules.
type answer struct {
	code    int
	kind    string
	Status  string          `json:"status"`
	Data    json.RawMessage `json:"data"`
	Message string          `json:"message"`
}

// call sends one request on a connection of its own.
func call(config *tls.Config, method, url string, body any) (*answer, error) {
	var sent io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		sent = bytes.NewReader(raw)
	}
	request, err := http.NewRequest(method, url, sent)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true, DisableKeepAlives: true}
	client := http.Client{Transport: transport, Timeout: 20 * time.Second}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	found := &answer{code: response.StatusCode, kind: response.Header.Get("Content-Type")}
	return found, json.NewDecoder(response.Body).Decode(found)
}

// trusting returns a configuration that trusts the pinned root alone, and verifies the name.
func (trip *journey) trusting(certificates ...tls.Certificate) *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(trip.trust.root)
	return &tls.Config{RootCAs: pool, Certificates: certificates}
}

// ask calls version 2 of the API with the pinned root, and reads the data of a success into *data*.
func (trip *journey) ask(method, path string, body, data any, certificates ...tls.Certificate) (*answer, error) {
	if trip.trust == nil {
		return nil, errors.New("no root is pinned")
	}
	found, err := call(trip.trusting(certificates...), method, "https://"+trip.rest+"/api/v2/"+path, body)
	if err != nil || data == nil {
		return found, err
	}
	if found.code != 200 || found.Status != "success" || found.kind != "application/json" {
		return found, fmt.Errorf("%s %s: %d %s %q %s", method, path, found.code, found.Status, found.kind, found.Message)
	}
	reader := json.NewDecoder(bytes.NewReader(found.Data))
	reader.DisallowUnknownFields()
	return found, reader.Decode(data)
}

// refused checks that an answer is a refusal with these properties.
func refused(found *answer, err error, code int, status, words string) error {
	if err != nil {
		return err
	}
	good := found.code == code && found.Status == status && strings.Contains(found.Message, words)
	plain := strings.HasPrefix(found.kind, "text/plain") == (status == "error")
	return want(good && plain, "%d %s %q: %s", found.code, found.Status, found.kind, found.Message)
}

func checkHandshakes(trip *journey) error {
	blind := func(change func(*tls.Config)) (tls.ConnectionState, error) {
		config := &tls.Config{InsecureSkipVerify: true}
		change(config)
		connection, err := tls.Dial("tcp", trip.rest, config)
		if err != nil {
			return tls.ConnectionState{}, err
		}
		defer connection.Close()
		return connection.ConnectionState(), nil
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, offer := range [][]string{nil, {"http/1.1"}, {"h2", "http/1.1"}} {
			state, err := blind(func(config *tls.Config) {
				config.MinVersion, config.MaxVersion, config.NextProtos = version, version, offer
			})
			if err != nil {
				return fmt.Errorf("TLS %x with %v: %w", version, offer, err)
			}
			if offer != nil && state.NegotiatedProtocol != "http/1.1" && state.NegotiatedProtocol != "h2" {
				return fmt.Errorf("of %v the server took %q", offer, state.NegotiatedProtocol)
			}
			if len(state.PeerCertificates) != 1 {
				return fmt.Errorf("%d certificates instead of the root alone", len(state.PeerCertificates))
			}
		}
	}
	_, err := blind(func(config *tls.Config) { config.MinVersion, config.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 })
	if err == nil {
		return errors.New("TLS 1.1 was accepted")
	}
	var asked *tls.CertificateRequestInfo
	_, err = blind(func(config *tls.Config) {
		config.GetClientCertificate = func(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
			asked = info
			return &trip.user, nil
		}
	})
	if err != nil || asked == nil {
		return fmt.Errorf("a client certificate was not asked for: %v", err)
	}
	return want(len(asked.AcceptableCAs) == 0, "Go would withhold its certificate: CAs are named")
}

func checkQuote(trip *journey) error {
	nonce := []byte{0xfb, 0xff, 1, 2, 3}
	blind := &tls.Config{InsecureSkipVerify: true}
	url := "https://" + trip.rest + "/api/v2/quote?nonce=" + base64.URLEncoding.EncodeToString(nonce)
	found, err := call(blind, "GET", url, nil)
	if err != nil {
		return err
	}
	var data struct {
		Cert  string `json:"cert"`
		Quote []byte `json:"quote"`
	}
	if err := json.Unmarshal(found.Data, &data); err != nil {
		return err
	}
	chain, err := certificates([]byte(data.Cert))
	if err != nil || len(chain) != 2 {
		return fmt.Errorf("%d certificates: %v", len(chain), err)
	}
	trip.trust = &deployment{intermediate: chain[0], root: chain[1]}
	if err := chain[0].CheckSignatureFrom(chain[1]); err != nil {
		return err
	}
	const header, reportData = 16, 16 + 48 + 320
	if len(data.Quote) < reportData+32 || binary.LittleEndian.Uint64(data.Quote[8:]) != uint64(len(data.Quote)-header) {
		return fmt.Errorf("%d bytes are no remote report", len(data.Quote))
	}
	bound := sha256.Sum256(append(bytes.Clone(chain[1].Raw), nonce...))
	return want(bytes.Equal(data.Quote[reportData:reportData+32], bound[:]), "the quote binds something else")
}

func checkNames(trip *journey) error {
	_, port, _ := strings.Cut(trip.rest, ":")
	for _, host := range []string{"localhost", "127.0.0.1"} { // a DNS name and an IP name
		found, err := call(trip.trusting(), "GET", "https://"+host+":"+port+"/api/v2/status", nil)
		if err != nil || found.code != 200 {
			return fmt.Errorf("%s: %v", host, err)
		}
	}
	other := trip.trusting()
	other.ServerName = "other.example"
	_, err := call(other, "GET", "https://"+trip.rest+"/api/v2/status", nil)
	var name x509.HostnameError
	return want(errors.As(err, &name), "a name that the root does not have was accepted: %v", err)
}

func checkUnknownPaths(trip *journey) error {
	for _, path := range []string{"none", "manifest/", "status/x"} {
		found, err := trip.ask("GET", path, nil, nil)
		if err := refused(found, err, 405, "error", ""); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	found, err := trip.ask("DELETE", "status", nil, nil)
	return refused(found, err, 405, "error", "")
}

func checkManifest(trip *journey) error {
	var status struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}
	found, err := trip.ask("GET", "status", nil, nil)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(found.Data, &status); err != nil || status.Code != 2 {
		return fmt.Errorf("status %d: %v", status.Code, err)
	}
	body := map[string][]byte{"manifest": trip.manifest}
	var set struct{ RecoverySecrets map[string][]byte }
	if _, err := trip.ask("POST", "manifest", body, &set); err != nil {
		return err
	}
	if set.RecoverySecrets == nil || len(set.RecoverySecrets) != 0 {
		return fmt.Errorf("no recovery keys, but %v", set.RecoverySecrets)
	}
	found, err = trip.ask("POST", "manifest", body, nil)
	if err := refused(found, err, 500, "error", "server is not in expected state"); err != nil {
		return err
	}
	var kept struct {
		ManifestSignatureRootECDSA []byte
		ManifestFingerprint        string
		Manifest                   []byte
	}
	if _, err := trip.ask("GET", "manifest", nil, &kept); err != nil {
		return err
	}
	digest := sha256.Sum256(trip.manifest)
	key, isECDSA := trip.trust.root.PublicKey.(*ecdsa.PublicKey)
	good := isECDSA && bytes.Equal(kept.Manifest, trip.manifest) && kept.ManifestFingerprint == hex.EncodeToString(digest[:])
	return want(good && ecdsa.VerifyASN1(key, digest[:], kept.ManifestSignatureRootECDSA), "another manifest or signature")
}

func checkUsers(trip *journey) error {
	found, err := trip.ask("GET", "secrets?s=token", nil, nil)
	words := "unauthorized user: client certificate did not match any MarbleRun users"
	if err := refused(found, err, 401, "fail", words); err != nil {
		return err
	}
	found, err = trip.ask("GET", "secrets", nil, nil, trip.user)
	return refused(found, err, 400, "fail", "invalid query: endpoint requires at least one query parameter")
}

func checkSecrets(trip *journey) error {
	type upload struct{ Cert, Private, Key []byte }
	body := map[string]map[string]upload{"secrets": {"token": {Key: []byte("from Go")}}}
	found, err := trip.ask("POST", "secrets", body, nil, trip.user)
	if err != nil || found.code != 200 || string(found.Data) != "null" {
		return fmt.Errorf("%+v: %v", found, err)
	}
	type secret struct {
		Type                string
		Size                uint
		Shared, UserDefined bool
		Cert                []byte
		ValidFor            uint
		Private, Public     []byte
	}
	var read struct {
		Secrets map[string]secret `json:"secrets"`
	}
	if _, err := trip.ask("GET", "secrets?s=token&s=shared", nil, &read, trip.user); err != nil {
		return err
	}
	token, shared := read.Secrets["token"], read.Secrets["shared"]
	good := string(token.Private) == "from Go" && token.Type == "plain" && token.UserDefined && token.Cert == nil
	return want(good && len(shared.Private) == 16 && shared.Shared, "other secrets: %+v", read.Secrets)
}

func checkCounter(trip *journey) error {
	if trip.marble == nil {
		return errors.New("no marble")
	}
	for _, step := range []struct{ value, previous uint64 }{{1 << 63, 0}, {7, 1 << 63}} {
		var data struct {
			Value uint64 `json:"value"`
		}
		body := map[string]any{"name": "used", "value": step.value}
		if _, err := trip.ask("POST", "monotonic-counter", body, &data, trip.marble.certificate); err != nil {
			return err
		}
		if data.Value != step.previous {
			return fmt.Errorf("previous value %d instead of %d", data.Value, step.previous)
		}
	}
	found, err := trip.ask("POST", "monotonic-counter", map[string]any{"name": "used", "value": 1}, nil, trip.user)
	return refused(found, err, 401, "fail", "unauthorized marble")
}

func checkPackageUpdate(trip *journey) error {
	if trip.marble == nil {
		return errors.New("no marble")
	}
	var data struct {
		MissingUsers           []string `json:"missingUsers"`
		MissingAcknowledgments int      `json:"missingAcknowledgments"`
	}
	if _, err := trip.ask("POST", "update", map[string][]byte{"manifest": trip.update}, &data, trip.user); err != nil {
		return err
	}
	var log struct {
		Lines []string `json:"updateLog"`
	}
	if _, err := trip.ask("GET", "update", nil, &log); err != nil {
		return err
	}
	last := log.Lines[len(log.Lines)-1]
	if !strings.Contains(last, `"package":"backend","new version":2`) {
		return fmt.Errorf("the log ends with %s", last)
	}
	old := trip.marble
	if err := checkActivation(trip); err != nil {
		return err
	}
	if bytes.Equal(old.root.Raw, trip.marble.root.Raw) || !bytes.Equal(old.own, trip.marble.own) {
		return errors.New("the marble root must be new, the marble's own key the same")
	}
	body := map[string]any{"name": "used", "value": 9}
	found, err := trip.ask("POST", "monotonic-counter", body, nil, old.certificate)
	return refused(found, err, 401, "fail", "unauthorized marble")
}

// certificates reads a PEM text of certificates.
func certificates(text []byte) ([]*x509.Certificate, error) {
	var chain []*x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		one, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		chain = append(chain, one)
	}
	return chain, nil
}
