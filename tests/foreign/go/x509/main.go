// Command x509 looks at certificates with Go's eyes: it verifies chains, and makes the certificate of a
// manifest's template as MarbleRun does, so that ours can be compared with it. One JSON request on stdin, one
// answer on stdout. Standard library only.
package main

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"time"
)

type request struct {
	// Verify: every certificate in PEM. Roots and Intermediates may hold several.
	Verify []struct {
		Leaf, Roots, Intermediates, Name string
		Client                           bool
		At                               time.Time
	}
	// Make: one template as it stands in a manifest, an object or a finished certificate in DER; the key in
	// Public (PKIX) gets the certificate.
	Make []struct {
		Template            x509.Certificate
		DER                 []byte
		Public              []byte
		IssuerPEM           string
		IssuerKey           []byte
		NotBefore, NotAfter time.Time
	}
}

type made struct {
	Subject    []byte
	Issuer     []byte
	Signature  int
	NotAfter   string
	Extensions []extension
	Error      string
}

type extension struct {
	ID       string
	Critical bool
	Value    []byte
}

type answer struct {
	Verified []string
	Made     []made
}

func main() {
	var asked request
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	given := answer{Verified: []string{}, Made: []made{}}
	for _, one := range asked.Verify {
		usage := x509.ExtKeyUsageServerAuth
		if one.Client {
			usage = x509.ExtKeyUsageClientAuth
		}
		options := x509.VerifyOptions{
			Roots: pool(one.Roots), Intermediates: pool(one.Intermediates), DNSName: one.Name,
			CurrentTime: one.At, KeyUsages: []x509.ExtKeyUsage{usage},
		}
		words := "ok"
		if leaf, err := parse(one.Leaf); err != nil {
			words = err.Error()
		} else if _, err := leaf.Verify(options); err != nil {
			words = err.Error()
		}
		given.Verified = append(given.Verified, words)
	}
	for _, one := range asked.Make {
		if len(one.DER) > 0 {
			finished, err := x509.ParseCertificate(one.DER)
			if err != nil {
				given.Made = append(given.Made, made{Error: err.Error()})
				continue
			}
			one.Template = *finished
		}
		given.Made = append(given.Made, produce(one.Template, one.Public, one.IssuerPEM, one.IssuerKey, one.NotBefore, one.NotAfter))
	}
	if err := json.NewEncoder(os.Stdout).Encode(given); err != nil {
		os.Exit(2)
	}
}

func produce(template x509.Certificate, public []byte, issuerPEM string, issuerKey []byte, begin, end time.Time) made {
	der, err := create(template, public, issuerPEM, issuerKey, begin, end)
	if err != nil {
		return made{Error: err.Error()}
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return made{Error: err.Error()}
	}
	result := made{
		Subject: certificate.RawSubject, Issuer: certificate.RawIssuer,
		Signature: int(certificate.SignatureAlgorithm), NotAfter: certificate.NotAfter.Format(time.RFC3339),
	}
	for _, one := range certificate.Extensions {
		result.Extensions = append(result.Extensions, extension{one.Id.String(), one.Critical, one.Value})
	}
	return result
}

// create fills in the defaults of a certificate secret (marblerun-core 5.4) and signs.
func create(template x509.Certificate, public []byte, issuerPEM string, issuerKey []byte, begin, end time.Time) ([]byte, error) {
	if template.DNSNames == nil {
		template.DNSNames = []string{"localhost"}
	}
	if template.IPAddresses == nil {
		template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	}
	if template.KeyUsage == 0 {
		template.KeyUsage = x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign
	}
	if template.ExtKeyUsage == nil {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	}
	if template.Subject.CommonName == "" {
		template.Subject.CommonName = "MarbleRun Generated Certificate"
		if len(template.DNSNames) == 1 {
			template.Subject.CommonName = template.DNSNames[0]
		}
	}
	template.SerialNumber = big.NewInt(7)
	template.BasicConstraintsValid = true
	template.NotBefore = begin
	if template.NotAfter.IsZero() {
		template.NotAfter = end
	}
	issuer, err := parse(issuerPEM)
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(issuerKey)
	if err != nil {
		return nil, err
	}
	holder, err := x509.ParsePKIXPublicKey(public)
	if err != nil {
		return nil, err
	}
	return x509.CreateCertificate(rand.Reader, &template, issuer, holder, key.(*ecdsa.PrivateKey))
}

func parse(text string) (*x509.Certificate, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, fmt.Errorf("no PEM")
	}
	return x509.ParseCertificate(block.Bytes)
}

func pool(text string) *x509.CertPool {
	certificates := x509.NewCertPool()
	certificates.AppendCertsFromPEM([]byte(text))
	return certificates
}
