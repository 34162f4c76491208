package api

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// tls returns how connections to MISP are secured: TLS 1.2 or later, with the authorities, the certificate and the
// pins of the configuration.
func (c Config) tls() (*tls.Config, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: c.InsecureSkipVerify} //nolint:gosec // as configured
	if len(c.CA) > 0 {
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(c.CA) {
			return nil, errors.New("the CA file holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)")
		}
	}
	if c.Certificate != nil {
		t.Certificates = []tls.Certificate{*c.Certificate}
	}
	if len(c.Pins) > 0 {
		t.VerifyConnection = func(state tls.ConnectionState) error { return checkPins(c.Pins, state) }
	}
	return t, nil
}

// errPin is a server whose certificate has none of the pinned keys.
type errPin struct{ got string }

// Error implements error.
func (e errPin) Error() string {
	return "its certificate has the key " + e.got + ", which is not pinned"
}

// checkPins accepts a server whose certificate, or one above it in a chain that was verified, has a pinned key.
// Where nothing is verified, only its own counts: anyone can send the others.
func checkPins(pins [][sha256.Size]byte, state tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 {
		return errors.New("it sends no certificate")
	}
	chains := append([][]*x509.Certificate{state.PeerCertificates[:1]}, state.VerifiedChains...)
	for _, chain := range chains {
		for _, certificate := range chain {
			if slices.Contains(pins, sha256.Sum256(certificate.RawSubjectPublicKeyInfo)) {
				return nil
			}
		}
	}
	return errPin{Pin(state.PeerCertificates[0])}
}

// Pin returns the pin of a certificate, as ParsePin reads it.
func Pin(c *x509.Certificate) string {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return pinPrefix + base64.StdEncoding.EncodeToString(sum[:])
}

const pinPrefix = "sha256/"

// ParsePin reads the SHA-256 sum of a public key in base64, with or without "sha256/" before it.
func ParsePin(s string) (pin [sha256.Size]byte, err error) {
	data, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(s, pinPrefix))
	if err != nil || len(data) != sha256.Size {
		return pin, fmt.Errorf("%q is not a pin like %sbase64, of a SHA-256 sum", s, pinPrefix)
	}
	return [sha256.Size]byte(data), nil
}
