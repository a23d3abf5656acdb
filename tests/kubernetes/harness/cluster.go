// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Provider is an entry of the EncryptionConfiguration.
type Provider struct {
	Version string // v1 or v2
	Name    string
	Socket  string
}

// Prefix is how etcd values of this provider begin.
func (p Provider) Prefix() string { return fmt.Sprintf("k8s:enc:kms:%s:%s:", p.Version, p.Name) }

// Cluster is etcd and a kube-apiserver that may be stopped and started with other providers.
type Cluster struct {
	Etcd   *Etcd
	dir    string
	token  string
	base   string
	client *http.Client
	api    *Process
}

// NewCluster starts etcd and makes the keys; StartAPI comes next.
func NewCluster(t testing.TB) *Cluster {
	t.Helper()
	c := &Cluster{Etcd: NewEtcd(t), dir: Dir(t), token: rand.Text()}
	pool := x509.NewCertPool()
	pool.AddCert(c.makeKeys(t))
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, MaxIdleConnsPerHost: 32}
	t.Cleanup(transport.CloseIdleConnections)
	c.client = &http.Client{Transport: transport, Timeout: 10 * time.Second}
	write(t, c.path("tokens.csv"), c.token+",admin,admin,system:masters\n")
	return c
}

func (c *Cluster) path(name string) string { return filepath.Join(c.dir, name) }

// makeKeys writes a key and a certificate for 127.0.0.1 by itself, and a key for service accounts.
func (c *Cluster) makeKeys(t testing.TB) *x509.Certificate {
	t.Helper()
	key := makeKey(t, c.path("tls.key"))
	makeKey(t, c.path("accounts.key"))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, c.path("tls.crt"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

func makeKey(t testing.TB, path string) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})))
	return key
}

// encryptionConfiguration encrypts Secrets with the first provider and reads with all of them.
func encryptionConfiguration(providers []Provider) string {
	var b strings.Builder
	b.WriteString("apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\n" +
		"resources:\n- resources: [secrets]\n  providers:\n")
	for _, p := range providers {
		fmt.Fprintf(&b, "  - kms: {apiVersion: %s, name: %s, endpoint: \"unix://%s\", timeout: 3s}\n",
			p.Version, p.Name, p.Socket)
	}
	return b.String()
}

// StartAPI starts kube-apiserver with these providers and waits until it is ready.
func (c *Cluster) StartAPI(t testing.TB, providers ...Provider) {
	t.Helper()
	write(t, c.path("encryption.yaml"), encryptionConfiguration(providers))
	address := freeAddress(t)
	_, port, _ := net.SplitHostPort(address)
	args := []string{
		"--etcd-servers=" + c.Etcd.URL, "--bind-address=127.0.0.1", "--secure-port=" + port,
		"--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none",
		"--tls-cert-file=" + c.path("tls.crt"), "--tls-private-key-file=" + c.path("tls.key"),
		"--service-account-issuer=https://p11-kms.invalid", "--service-cluster-ip-range=10.0.0.0/24",
		"--service-account-key-file=" + c.path("accounts.key"),
		"--service-account-signing-key-file=" + c.path("accounts.key"),
		"--token-auth-file=" + c.path("tokens.csv"), "--authorization-mode=RBAC",
		"--disable-admission-plugins=ServiceAccount", "--watch-cache=true",
		"--encryption-provider-config=" + c.path("encryption.yaml"),
	}
	for _, p := range providers {
		if p.Version == "v1" {
			args = append(args, "--feature-gates=KMSv1=true")
			break
		}
	}
	begin := time.Now()
	c.base = "https://" + address
	c.api = Start(t, c.dir, nil, Program(t, "kube-apiserver"), args...)
	Await(t, time.Minute, "a ready kube-apiserver", func() error {
		if c.api.Exited() {
			t.Fatal("kube-apiserver ended by itself")
		}
		_, err := c.Request("GET", "/readyz", nil)
		return err
	})
	t.Logf("kube-apiserver was ready after %v", time.Since(begin).Round(100*time.Millisecond))
}

// StopAPI ends kube-apiserver; etcd stays.
func (c *Cluster) StopAPI(t testing.TB) {
	t.Helper()
	c.client.CloseIdleConnections()
	c.api.Stop(t, 30*time.Second)
}

// Request does one API call as the administrator; an answer other than 2xx is an error.
func (c *Cluster) Request(method, path string, body []byte) ([]byte, error) {
	request, err := http.NewRequest(method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+c.token)
	request.Header.Set("Content-Type", "application/json")
	answer, err := c.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode/100 != 2 {
		err = fmt.Errorf("%s %s: %s: %.500s", method, path, answer.Status, raw)
	}
	return raw, err
}
