package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"time"
)

const uuid = "02030400-0000-4000-8000-0000000000ab"

// marble is what an activation gave.
type marble struct {
	certificate tls.Certificate // the leaf and the intermediate, with the leaf's key
	root        *x509.Certificate
	coordinator *x509.Certificate
	own         []byte
	files, env  map[string][]byte
	argv        []string
}

// identity makes what a premain makes: a key, a self-signed certificate for TLS, and a certificate request.
func identity() (tls.Certificate, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "MarbleRun Marble"},
		NotBefore:    time.Now(),
		NotAfter:     time.Now().Add(time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature | x509.KeyUsageKeyAgreement,
		DNSNames:     []string{"localhost", "backend.example"},
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	names := &x509.CertificateRequest{DNSNames: template.DNSNames, IPAddresses: []net.IP{{127, 0, 0, 1}}}
	request, err := x509.CreateCertificateRequest(rand.Reader, names, key)
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}, request, err
}

// activate makes the unary gRPC call by hand: HTTP/2 with trailers, and two bytes of protocol buffers per field.
func activate(address, kind string) (code, message string, parameters []byte, err error) {
	own, request, err := identity()
	if err != nil {
		return "", "", nil, err
	}
	body := bytes.Join([][]byte{field(2, request), field(3, []byte(kind)), field(4, []byte(uuid))}, nil)
	framed := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(body)))
	call, err := http.NewRequest("POST", "https://"+address+"/rpc.Marble/Activate", bytes.NewReader(append(framed, body...)))
	if err != nil {
		return "", "", nil, err
	}
	call.Header.Set("Content-Type", "application/grpc")
	call.Header.Set("TE", "trailers")
	config := &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{own}}
	transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true, DisableKeepAlives: true}
	client := http.Client{Transport: transport, Timeout: 20 * time.Second}
	response, err := client.Do(call)
	if err != nil {
		return "", "", nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil || response.ProtoMajor != 2 {
		return "", "", nil, fmt.Errorf("HTTP/%d: %v", response.ProtoMajor, err)
	}
	trailers := response.Trailer
	if response.Header.Get("Grpc-Status") != "" { // an answer of trailers alone
		trailers = response.Header
	}
	message, err = url.PathUnescape(trailers.Get("Grpc-Message"))
	if len(answer) > 5 {
		parameters = answer[5:]
	}
	return trailers.Get("Grpc-Status"), message, parameters, err
}

// field writes a length-delimited field.
func field(number int, value []byte) []byte {
	tag := binary.AppendUvarint(nil, uint64(number)<<3|2)
	return append(binary.AppendUvarint(tag, uint64(len(value))), value...)
}

// fields calls back for each field; every field of our messages is length-delimited.
func fields(message []byte, each func(number uint64, value []byte) error) error {
	for len(message) > 0 {
		tag, read := binary.Uvarint(message)
		length, more := binary.Uvarint(message[max(read, 0):])
		start := read + more
		if read <= 0 || more <= 0 || tag&7 != 2 || uint64(len(message)-start) < length {
			return errors.New("not a message of length-delimited fields")
		}
		if err := each(tag>>3, message[start:start+int(length)]); err != nil {
			return err
		}
		message = message[start+int(length):]
	}
	return nil
}

// read reads an ActivationResp.
func read(answer []byte) (*marble, error) {
	made := &marble{files: map[string][]byte{}, env: map[string][]byte{}}
	entry := func(into map[string][]byte, pair []byte) error {
		var name string
		var content []byte
		err := fields(pair, func(number uint64, value []byte) error {
			if number == 1 {
				name = string(value)
			} else {
				content = value
			}
			return nil
		})
		into[name] = content
		return err
	}
	err := fields(answer, func(_ uint64, parameters []byte) error {
		return fields(parameters, func(number uint64, value []byte) error {
			switch number {
			case 1:
				return entry(made.files, value)
			case 2:
				return entry(made.env, value)
			}
			made.argv = append(made.argv, string(value))
			return nil
		})
	})
	return made, err
}

func checkRefusals(trip *journey) error {
	code, message, _, err := activate(trip.mesh, "database")
	if err != nil {
		return err
	}
	return want(code == "7" && message == "marble verification failed: unknown marble type requested", "%s %s", code, message)
}

func checkActivation(trip *journey) error {
	code, message, answer, err := activate(trip.mesh, "backend")
	if err != nil || code != "0" {
		return fmt.Errorf("%s %s: %v", code, message, err)
	}
	made, err := read(answer)
	if err != nil {
		return err
	}
	chain, key := made.env["MARBLE_PREDEFINED_MARBLE_CERTIFICATE_CHAIN"], made.env["MARBLE_PREDEFINED_PRIVATE_KEY"]
	if made.certificate, err = tls.X509KeyPair(chain, key); err != nil { // the key must fit the leaf
		return err
	}
	roots, err := certificates(append(made.env["MARBLE_PREDEFINED_ROOT_CA"], made.env["MARBLE_PREDEFINED_COORDINATOR_ROOT_CA"]...))
	if err != nil || len(roots) != 2 {
		return fmt.Errorf("%d roots: %v", len(roots), err)
	}
	made.root, made.coordinator = roots[0], roots[1]
	if made.own, err = hex.DecodeString(string(made.env["OWN"])); err != nil {
		return err
	}
	trip.marble = made
	good := len(made.own) == 16 && string(made.env["TOKEN"]) == "from Go" && len(made.files["/tmp/shared"]) == 16
	return want(good && fmt.Sprint(made.argv) == "[backend --serve]", "%q %q %q", made.argv, made.env, made.files)
}

func checkChains(trip *journey) error {
	if trip.marble == nil || trip.trust == nil {
		return errors.New("no marble")
	}
	made, usages := trip.marble, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	leaf, err := x509.ParseCertificate(made.certificate.Certificate[0])
	if err != nil {
		return err
	}
	intermediate, err := x509.ParseCertificate(made.certificate.Certificate[1])
	if err != nil {
		return err
	}
	pool := func(one *x509.Certificate) *x509.CertPool {
		made := x509.NewCertPool()
		made.AddCert(one)
		return made
	}
	for _, name := range []string{"localhost", "backend.example", "127.0.0.1"} {
		for kind, options := range map[string]x509.VerifyOptions{
			"under the marble root":            {Roots: pool(made.root)},
			"under the root, by intermediate":  {Roots: pool(made.coordinator), Intermediates: pool(intermediate)},
			"under the intermediate as a root": {Roots: pool(intermediate)},
		} {
			options.DNSName, options.KeyUsages = name, usages
			if _, err := leaf.Verify(options); err != nil {
				return fmt.Errorf("%s for %s: %w", kind, name, err)
			}
		}
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: pool(made.coordinator), KeyUsages: usages}); err == nil {
		return errors.New("the leaf verifies under the root without the intermediate")
	}
	for _, extension := range leaf.Extensions {
		if extension.Id.String() == "1.3.9903.2.1" && string(extension.Value) == "backend" {
			same := bytes.Equal(made.coordinator.Raw, trip.trust.root.Raw) && leaf.Subject.CommonName == uuid
			return want(same, "another root or name: %s", leaf.Subject)
		}
	}
	return errors.New("the marble type is not in the leaf")
}

func checkMutualTLS(trip *journey) error {
	if trip.marble == nil {
		return errors.New("no marble")
	}
	pool := x509.NewCertPool()
	pool.AddCert(trip.marble.root)
	certificates := []tls.Certificate{trip.marble.certificate}
	server := &tls.Config{Certificates: certificates, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		return err
	}
	defer listener.Close()
	done := make(chan error, 1)
	go func() {
		connection, err := listener.Accept()
		if err == nil {
			_, err = connection.Write([]byte("hello"))
			connection.Close()
		}
		done <- err
	}()
	client := &tls.Config{Certificates: certificates, RootCAs: pool, ServerName: "backend.example"}
	connection, err := tls.Dial("tcp", listener.Addr().String(), client)
	if err != nil {
		return err
	}
	defer connection.Close()
	heard, err := io.ReadAll(connection)
	if err := errors.Join(err, <-done); err != nil {
		return err
	}
	return want(string(heard) == "hello", "heard %q", heard)
}
