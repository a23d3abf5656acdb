// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"p11-kms.invalid/tests/kubernetes/harness"
	"p11-kms.invalid/tests/kubernetes/kms"
)

// tpmRing is a ring on a TPM: how its KEKs come to be is all that differs.
type tpmRing struct {
	name string
	ring string                                // of the configuration
	make func(t *testing.T, d *harness.Daemon) // has the ring's first KEK seal, once init has run
	next func(t *testing.T, d *harness.Daemon) // and another after that
}

var tpmRings = []tpmRing{
	{"external", "  mode: external\n  select: \"label:k8s-kek-*\"\n  waive: [usage]\n  rescanEvery: 5s\n",
		ceremony, ceremony},
	{"managed", "  scheme: rsa-oaep-sign\n  rotateEvery: never\n  activationDelay: 2s\n  rescanEvery: 2s\n",
		func(*testing.T, *harness.Daemon) {}, order},
}

// order has the daemon make a KEK, and waits until it seals.
func order(t *testing.T, d *harness.Daemon) {
	t.Helper()
	ask := keyIDAsker(t, d)
	before := ask()
	said := d.CLI(t, "keys", "rotate")
	harness.Await(t, time.Minute, "the rotation", func() error {
		if ask() == before {
			return fmt.Errorf("Status names the same KEK; keys rotate said: %s", said)
		}
		return nil
	})
}

// How many keys the operator has made.
var made = 0

// ceremony is docs/tokens/tpm2.md: the operator makes a key with tpm2_ptool, which no agent that runs sees,
// and adopts it.
func ceremony(t *testing.T, d *harness.Daemon) {
	t.Helper()
	made++
	id := fmt.Sprint(made)
	d.Token.Command(t, "make-key", id, "k8s-kek-"+id, "hmac")
	if said := d.CLI(t, "keys", "adopt", harness.Ring+"."+hex.EncodeToString([]byte(id))); !strings.Contains(said,
		"seals on this host") {
		t.Fatalf("keys adopt: %s", said)
	}
}

// A kube-apiserver whose KEKs are in a TPM (swtpm, tpm2-abrmd, tpm2-pkcs11).
// Each ring has a TPM of its own: one that loses its power while a key is loaded counts that as a wrong PIN,
// and three of them lock it.
func TestTPM(t *testing.T) {
	for _, ring := range tpmRings {
		t.Run(ring.name, func(t *testing.T) {
			t.Parallel() // the TPM is slow, not the machine
			harness.Beside(t, "tpm", "TestInsideTPM", 20*time.Minute, ringVariable+"="+ring.name)
		})
	}
}

const ringVariable = "P11KMS_TPM_RING"

// A TPM carries a few dozen operations a second: with v1 each write is two, and each Secret one at a start.
func TestInsideTPM(t *testing.T) {
	token := harness.Inside(t)
	token.Settings, token.Timeout = "  sessions: 1\n", 10*time.Second // as docs/tokens/tpm2.md has them
	which := slices.IndexFunc(tpmRings, func(r tpmRing) bool { return r.name == os.Getenv(ringVariable) })
	if which < 0 {
		t.Fatalf("%s names no ring", ringVariable)
	}
	for _, version := range []string{"v2", "v1"} {
		t.Run(version, func(t *testing.T) { lifeOnTPM(t, token, tpmRings[which], version) })
	}
}

func lifeOnTPM(t *testing.T, token *harness.Token, ring tpmRing, version string) {
	daemon := harness.NewDaemon(t, token, kms.V2.Version)
	daemon.SetRing(t, ring.ring)
	daemon.CLI(t, "init")
	daemon.Launch(t)
	ring.make(t, daemon)
	daemon.AwaitHealthy(t, 30*time.Second)
	cluster := harness.NewCluster(t)
	cluster.StartAPI(t, provider(version, daemon))
	cluster.MakeNamespace(t)
	all := makeSecrets("before", "", secretsOnTPM(t))
	cluster.CreateAll(t, all)
	before := keyID(t, daemon)

	load := harness.During(1, 100*time.Millisecond, readOld(cluster, all), func() {
		ring.next(t, daemon)
		awaitNoticed(t, cluster, daemon, version)
	})
	checkNoFailure(t, load)
	now := keyID(t, daemon)
	if now == before {
		t.Fatalf("Status names %s before and after the rotation", now)
	}
	after := makeSecrets("after", "", 20)
	cluster.CreateAll(t, after)
	maps.Copy(all, after)
	checkPrefix(t, cluster, "", provider(version, daemon).Prefix())
	checkUnder(t, cluster, version, before, now)

	token.Command(t, "down")
	harness.Await(t, noticed, "a Status that tells of the TPM's end", func() error {
		if statusText(t, daemon) == "ok" {
			return errors.New("it says ok")
		}
		return nil
	})
	token.Command(t, "up")
	since := time.Now()
	daemon.AwaitHealthy(t, 30*time.Second)
	t.Logf("well %v after the TPM's return", time.Since(since).Round(100*time.Millisecond))
	cluster.StopAPI(t)
	daemon.Stop(t)
	daemon.Start(t)
	startUpStorm(t, cluster, daemon, version)
	checkReadable(t, cluster, all)
	cluster.StopAPI(t)
}

// secretsOnTPM is how many there are to begin with; P11KMS_TPM_SECRETS says otherwise.
func secretsOnTPM(t *testing.T) int {
	t.Helper()
	text := os.Getenv("P11KMS_TPM_SECRETS")
	if text == "" {
		return 40
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("P11KMS_TPM_SECRETS: %v", err)
	}
	return n
}

// startUpStorm starts kube-apiserver, which asks for every DEK with v1: beside that Status and Encrypt are
// answered.
func startUpStorm(t *testing.T, c *harness.Cluster, d *harness.Daemon, version string) {
	t.Helper()
	p := peer{d.Dial(t, ""), kms.APIs[0]}
	client := d.Dial(t, "")
	var asked harness.Load
	encrypts := harness.During(1, 100*time.Millisecond, func(int) error {
		ctx, cancel := call()
		defer cancel()
		_, err := p.Encrypt(ctx, p.api, randomKey(), "u")
		return err
	}, func() {
		asked = harness.During(1, 5*time.Millisecond, func(int) error {
			ctx, cancel := call()
			defer cancel()
			_, err := client.Status(ctx, kms.V2)
			return err
		}, func() { c.StartAPI(t, provider(version, d)) })
	})
	t.Logf("meanwhile %d Encrypts, the slowest %v; %d Statuses, the slowest %v", len(encrypts), slowest(encrypts),
		len(asked), slowest(asked))
	for _, failure := range append(encrypts.Failures(), asked.Failures()...) {
		t.Errorf("while kube-apiserver starts: %v", failure.Err)
	}
}

func slowest(load harness.Load) time.Duration {
	var ret time.Duration
	for _, a := range load {
		ret = max(ret, a.End.Sub(a.Begin))
	}
	return ret.Round(100 * time.Microsecond)
}

// awaitNoticed waits until kube-apiserver seals under the new KEK: v1 does at once.
func awaitNoticed(t *testing.T, c *harness.Cluster, d *harness.Daemon, version string) {
	t.Helper()
	if version == "v1" {
		return
	}
	now := hash(keyID(t, d))
	harness.Await(t, 3*time.Minute, "kube-apiserver's notice of the rotation", func() error {
		if statusHash(t, c) != now {
			return errors.New("it shows another key_id")
		}
		return nil
	})
}

// checkUnder looks for Secrets under each of these KEKs, and under no other. Both versions have the key_id in
// clear in what is stored.
func checkUnder(t *testing.T, c *harness.Cluster, version string, keyIDs ...string) {
	t.Helper()
	counts := map[string]int{}
	values := c.Etcd.Values(t, harness.SecretsPrefix)
	for _, value := range values {
		for _, id := range keyIDs {
			if strings.Contains(string(value), id) {
				counts[id]++
			}
		}
	}
	t.Logf("%s: %d Secrets, by KEK %v", version, len(values), counts)
	total := 0
	for _, id := range keyIDs {
		total += counts[id]
		if counts[id] == 0 {
			t.Errorf("nothing is stored under %s", id)
		}
	}
	if total != len(values) {
		t.Errorf("%d Secrets are stored under other KEKs", len(values)-total)
	}
}
