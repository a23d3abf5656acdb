// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"p11-kms.invalid/tests/kubernetes/harness"
	"p11-kms.invalid/tests/kubernetes/kms"
)

// The fifteen assertions about a KMS plugin, from what kube-apiserver's sources do. Those that
// disturb the daemon get one of their own.
var assertions = []struct {
	name string
	own  bool
	run  func(t *testing.T, d *harness.Daemon)
}{
	{"01 three services on one socket", false, assertServices},
	{"02 every authority", false, assertAuthorities},
	{"03 v1 version", false, assertV1Version},
	{"04 v1 round trip", false, assertV1RoundTrip},
	{"05 status versions", true, assertStatusVersions},
	{"06 health and token loss", true, assertTokenLoss},
	{"07 stable key_id", true, assertStableKeyID},
	{"08 encrypt agrees with status", true, assertEncryptAgrees},
	{"09 ciphertext size", false, assertCiphertextSize},
	{"10 annotations", false, assertAnnotations},
	{"11 decrypt elsewhere", true, assertDecryptElsewhere},
	{"12 old keys decrypt", true, assertOldKeysDecrypt},
	{"13 altered requests", true, assertAlteredRefused},
	{"14 distinct ciphertexts", false, assertDistinct},
	{"15 under load", true, assertLoad},
}

func TestAssertions(t *testing.T) {
	shared := harness.Serve(t)
	for _, a := range assertions {
		t.Run(a.name, func(t *testing.T) {
			daemon := shared
			if a.own {
				daemon = harness.Serve(t)
			}
			a.run(t, daemon)
		})
	}
}

// peer is a client of one API that fails its test when a call does.
type peer struct {
	*kms.Client
	api kms.API
}

// each runs a test for the rows of the API table, over one connection each.
func each(t *testing.T, d *harness.Daemon, run func(t *testing.T, p peer)) {
	for _, api := range kms.APIs {
		t.Run(api.Package, func(t *testing.T) { run(t, peer{d.Dial(t, ""), api}) })
	}
}

// call is the context of one call: kube-apiserver's default timeout.
func call() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), 3*time.Second)
}

func (p peer) status(t testing.TB) kms.Status {
	t.Helper()
	ctx, cancel := call()
	defer cancel()
	ret, err := p.Status(ctx, p.api)
	if err != nil {
		t.Fatalf("%s: %v", p.api.Method(p.api.Health()), err)
	}
	return ret
}

func (p peer) seal(t testing.TB, plaintext []byte, uid string) kms.Sealed {
	t.Helper()
	ctx, cancel := call()
	defer cancel()
	ret, err := p.Encrypt(ctx, p.api, plaintext, uid)
	if err != nil {
		t.Fatalf("%s: %v", p.api.Method("Encrypt"), err)
	}
	return ret
}

func (p peer) open(t testing.TB, s kms.Sealed, uid string, want []byte) {
	t.Helper()
	ctx, cancel := call()
	defer cancel()
	got, err := p.Decrypt(ctx, p.api, s, uid)
	if err != nil {
		t.Fatalf("%s: %v", p.api.Method("Decrypt"), err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("%s answered other bytes", p.api.Method("Decrypt"))
	}
}

// refuses checks that a Decrypt is answered with an error of the request's own fault.
func (p peer) refuses(t testing.TB, what string, s kms.Sealed) {
	t.Helper()
	ctx, cancel := call()
	defer cancel()
	got, err := p.Decrypt(ctx, p.api, s, "u")
	code := status.Code(err)
	if code != codes.InvalidArgument && code != codes.NotFound {
		t.Errorf("%s: code %v (%v), %d bytes", what, code, err, len(got))
	}
}

// randomKey is a plaintext as kube-apiserver's are: an AES key or a seed.
func randomKey() []byte {
	ret := make([]byte, 32)
	rand.Read(ret)
	return ret
}

func assertServices(t *testing.T, d *harness.Daemon) {
	client := d.Dial(t, "")
	for _, api := range kms.APIs {
		for _, method := range []string{api.Health(), "Encrypt", "Decrypt"} {
			if code := probe(client, api.Method(method)); code == codes.Unimplemented {
				t.Errorf("%s is not served", api.Method(method))
			}
		}
	}
	for _, method := range []string{
		"/v1beta1.KeyManagementService/Status", "/v2.KeyManagementService/Version",
		"/v2.KeyManagementService/status", "/v2beta1.KeyManagementService/Status",
		"/v2.KeyManagement/Status", "/p11kms.admin.v1.Admin/Status", "/x/y",
	} {
		if code := probe(client, method); code != codes.Unimplemented {
			t.Errorf("%s answers %v", method, code)
		}
	}
}

func probe(client *kms.Client, method string) codes.Code {
	ctx, cancel := call()
	defer cancel()
	return status.Code(client.Probe(ctx, method))
}

// The forms that API servers of several releases send, and what a socket in systemd's or an abstract
// name would give.
func assertAuthorities(t *testing.T, d *harness.Daemon) {
	for _, authority := range []string{
		"localhost", d.Socket, url.PathEscape(d.Socket), strings.ToLower(url.PathEscape(d.Socket)), "@p11-kms", "",
	} {
		t.Run(authority, func(t *testing.T) {
			client := d.Dial(t, authority)
			for _, api := range kms.APIs {
				p := peer{client, api}
				key := randomKey()
				p.status(t)
				p.open(t, p.seal(t, key, "u"), "u", key)
			}
		})
	}
}

var semver = regexp.MustCompile(`^v?\d+\.\d+\.\d+([-+].+)?$`)

func assertV1Version(t *testing.T, d *harness.Daemon) {
	got := peer{d.Dial(t, ""), kms.APIs[0]}.status(t)
	if got.Version != "v1beta1" || got.RuntimeName == "" || !semver.MatchString(got.RuntimeVersion) {
		t.Errorf("Version answers %+v", got)
	}
}

func assertV1RoundTrip(t *testing.T, d *harness.Daemon) {
	p := peer{d.Dial(t, ""), kms.APIs[0]}
	for _, plaintext := range [][]byte{[]byte("ping"), randomKey()} {
		sealed := p.seal(t, plaintext, "")
		if n := len(sealed.Ciphertext); n < 1 || n > 65535 {
			t.Errorf("the cipher of %d bytes is %d bytes long", len(plaintext), n)
		}
		p.open(t, sealed, "", plaintext)
	}
}

func assertCiphertextSize(t *testing.T, d *harness.Daemon) {
	each(t, d, func(t *testing.T, p peer) {
		key := randomKey()
		sealed := p.seal(t, key, "u")
		if n := len(sealed.Ciphertext); n < 1 || n > 1024 {
			t.Errorf("the ciphertext of 32 bytes is %d bytes long", n)
		}
		if bytes.Contains(sealed.Ciphertext, key) {
			t.Error("the ciphertext holds the plaintext")
		}
		p.open(t, sealed, "u", key)
	})
}

var domainName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)+$`)

func assertAnnotations(t *testing.T, d *harness.Daemon) {
	each(t, d, func(t *testing.T, p peer) {
		size := 0
		for key, value := range p.seal(t, randomKey(), "u").Annotations {
			size += len(key) + len(value)
			if len(key) > 253 || !domainName.MatchString(key) {
				t.Errorf("annotation %q is no domain name of two labels", key)
			}
		}
		if size > 32768 {
			t.Errorf("%d bytes of annotations", size)
		}
	})
}

func assertDistinct(t *testing.T, d *harness.Daemon) {
	each(t, d, func(t *testing.T, p peer) {
		key, seen := randomKey(), map[string]bool{}
		uids := []string{"", "u", "u", strings.Repeat("long", 64), "ünï-\U0001f511", "../../etc"}
		for n := range 60 {
			sealed := p.seal(t, key, uids[n%len(uids)])
			if seen[string(sealed.Ciphertext)] {
				t.Fatal("one ciphertext came twice")
			}
			seen[string(sealed.Ciphertext)] = true
			p.open(t, sealed, uids[(n+1)%len(uids)], key)
		}
	})
}

// healthz answers what v2's Status says, as an error unless it is ok.
func healthz(p peer) (kms.Status, error) {
	ctx, cancel := call()
	defer cancel()
	got, err := p.Status(ctx, kms.V2)
	if err == nil && got.Healthz != "ok" {
		err = errors.New(got.Healthz)
	}
	return got, err
}
