// SPDX-License-Identifier: Apache-2.0

// Package kubernetes runs a real kube-apiserver on a real etcd against the built daemon, and the
// fifteen assertions about a KMS plugin over grpc-go. docs/kubernetes-tests.md says how to run it.
package kubernetes

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"p11-kms.invalid/tests/kubernetes/harness"
	"p11-kms.invalid/tests/kubernetes/kms"
)

func TestMain(m *testing.M) { harness.Main(m) }

// makeSecrets makes n names and values; each value holds the common marker and a random part of its own.
func makeSecrets(prefix, marker string, n int) map[string]string {
	ret := map[string]string{}
	for i := range n {
		ret[fmt.Sprintf("%s-%d", prefix, i)] = marker + rand.Text()
	}
	return ret
}

// checkReadable reads every Secret one by one from etcd and all of them from the watch cache.
func checkReadable(t *testing.T, c *harness.Cluster, want map[string]string) {
	t.Helper()
	list, err := c.List()
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range want {
		got, err := c.Get(name)
		if err != nil {
			t.Error(err)
		} else if got != value {
			t.Errorf("Secret %s is not what was written", name)
		}
		if list[name] != value {
			t.Errorf("Secret %s is not in the list as it was written", name)
		}
	}
}

// checkStored looks at every value in etcd, and for the marker wherever etcd may have put it.
func checkStored(t *testing.T, c *harness.Cluster, prefix, marker string, n int) {
	t.Helper()
	values := c.Etcd.Values(t, harness.SecretsPrefix)
	if len(values) != n {
		t.Errorf("etcd holds %d Secrets, not %d", len(values), n)
	}
	for key, value := range values {
		if !bytes.HasPrefix(value, []byte(prefix)) {
			t.Errorf("%s begins %.40q, not %q", key, value, prefix)
		}
	}
	if found := c.Etcd.Find(t, marker); len(found) > 0 {
		t.Errorf("a marker is readable in etcd: %v", found)
	}
	control := rand.Text()
	c.CreateOpen(t, "control", control)
	if found := strings.Join(c.Etcd.Find(t, control), " "); !strings.Contains(found, "key /registry/configmaps/") ||
		!strings.Contains(found, "file ") {
		t.Errorf("the search does not find what is not encrypted: %q", found)
	}
}

// testProvider is the whole life of one provider: write, look into etcd, restart everything, read.
func testProvider(t *testing.T, version, health string) {
	daemon := harness.Serve(t)
	cluster := harness.NewCluster(t)
	provider := harness.Provider{Version: version, Name: "p11-kms", Socket: daemon.Socket}
	cluster.StartAPI(t, provider)
	cluster.MakeNamespace(t)
	if _, err := cluster.Request("GET", health, nil); err != nil {
		t.Error(err)
	}
	marker := rand.Text()
	secrets := makeSecrets("secret", marker, 200)
	cluster.CreateAll(t, secrets)
	checkStored(t, cluster, provider.Prefix(), marker, len(secrets))

	cluster.StopAPI(t)
	daemon.Stop(t)
	daemon.Start(t)
	cluster.StartAPI(t, provider)
	checkReadable(t, cluster, secrets)
	if decrypts := cluster.Metric(t, "apiserver_envelope_encryption_kms_operations_latency_seconds_count",
		`provider_name="p11-kms"`, `Decrypt"`); version == "v2" && decrypts == 0 {
		t.Error("the restarted API server has read everything without one Decrypt")
	}
	current := keyID(t, daemon)
	for key, value := range cluster.Etcd.Values(t, harness.SecretsPrefix) {
		if version == "v2" && !bytes.Contains(value, []byte(current)) {
			t.Errorf("%s does not name the key_id that Status names", key)
			break
		}
	}
	cluster.StopAPI(t)
	daemon.Stop(t)
}

func keyID(t *testing.T, daemon *harness.Daemon) string { return keyIDAsker(t, daemon)() }

// keyIDAsker asks again and again over one connection.
func keyIDAsker(t *testing.T, daemon *harness.Daemon) func() string {
	t.Helper()
	client := daemon.Dial(t, "")
	return func() string {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		status, err := client.Status(ctx, kms.V2)
		if err != nil {
			t.Fatal(err)
		}
		return status.KeyID
	}
}

func TestSecretsThroughV2(t *testing.T) { testProvider(t, "v2", "/readyz/kms-providers") }

func TestSecretsThroughV1(t *testing.T) { testProvider(t, "v1", "/readyz/kms-provider-0") }

// Both providers on one socket, one writing and the other reading, and changed places twice: how an
// operator goes from v1 to v2.
func TestBothProvidersOnOneSocket(t *testing.T) {
	daemon := harness.Serve(t)
	cluster := harness.NewCluster(t)
	v2 := harness.Provider{Version: "v2", Name: "new", Socket: daemon.Socket}
	v1 := harness.Provider{Version: "v1", Name: "old", Socket: daemon.Socket}
	all := map[string]string{}
	for turn, providers := range [][]harness.Provider{{v2, v1}, {v1, v2}, {v2, v1}} {
		cluster.StartAPI(t, providers...)
		if turn == 0 {
			cluster.MakeNamespace(t)
		}
		checkReadable(t, cluster, all)
		secrets := makeSecrets(fmt.Sprintf("turn-%d", turn), "", 20)
		cluster.CreateAll(t, secrets)
		maps.Copy(all, secrets)
		checkReadable(t, cluster, all)
		checkPrefix(t, cluster, fmt.Sprintf("turn-%d-", turn), providers[0].Prefix())
		cluster.StopAPI(t)
	}
}

func checkPrefix(t *testing.T, c *harness.Cluster, names, prefix string) {
	t.Helper()
	for key, value := range c.Etcd.Values(t, harness.SecretsPrefix+names) {
		if !bytes.HasPrefix(value, []byte(prefix)) {
			t.Errorf("%s begins %.40q, not %q", key, value, prefix)
		}
	}
}
