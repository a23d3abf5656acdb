// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"p11-kms.invalid/tests/kubernetes/harness"
	"p11-kms.invalid/tests/kubernetes/kms"
)

const (
	rotations = 10
	loads     = 100 // Secrets that are written over and over
)

// kube-apiserver asks Status every 60 seconds. Its health check asks too, but keeps an "ok" for 20: a
// KEK has to last longer, or kube-apiserver would miss it.
const (
	statusKept  = 20 * time.Second
	rotateEvery = "21s"
)

func ring(rotateEvery string) string {
	return fmt.Sprintf("  rotateEvery: %s\n  activationDelay: 1s\n  rescanEvery: 1s\n", rotateEvery)
}

// rotatingCluster is a kube-apiserver on a daemon whose KEKs last so long, with Secrets to begin with.
func rotatingCluster(t *testing.T, version, rotateEvery string) (*harness.Daemon, *harness.Cluster, map[string]string) {
	t.Helper()
	daemon := harness.NewDaemon(t, harness.NewToken(t), kms.V2.Version)
	daemon.SetRing(t, ring(rotateEvery))
	daemon.Init(t)
	daemon.Start(t)
	cluster := harness.NewCluster(t)
	cluster.StartAPI(t, provider(version, daemon))
	cluster.MakeNamespace(t)
	secrets := makeSecrets("old", "", 50)
	cluster.CreateAll(t, secrets)
	cluster.CreateAll(t, makeSecrets("load", "", loads))
	return daemon, cluster, secrets
}

func provider(version string, d *harness.Daemon) harness.Provider {
	return harness.Provider{Version: version, Name: "p11-kms", Socket: d.Socket}
}

// restart takes away every DEK that kube-apiserver has in memory.
func restart(t *testing.T, c *harness.Cluster, d *harness.Daemon, version string) {
	t.Helper()
	c.StopAPI(t)
	c.StartAPI(t, provider(version, d))
}

// putAndRead writes the same Secrets over and over, and reads what it wrote.
func putAndRead(c *harness.Cluster) func(n int) error {
	return func(n int) error {
		name, value := fmt.Sprintf("load-%d", n%loads), fmt.Sprint("value ", n)
		if err := c.Put(name, value); err != nil {
			return err
		}
		got, err := c.Get(name)
		if err == nil && got != value {
			err = fmt.Errorf("Secret %s is not what was written", name)
		}
		return err
	}
}

func checkNoFailure(t *testing.T, load harness.Load) {
	t.Helper()
	failures := load.Failures()
	t.Logf("%d writes and reads, %d failed", len(load), len(failures))
	if len(failures) > 0 {
		t.Errorf("the first failure: %v", failures[0].Err)
	}
}

// stopRotating lets the last KEK stay, once whatever is under way has ended.
func stopRotating(t *testing.T, d *harness.Daemon) string {
	t.Helper()
	d.SetRing(t, ring("never"))
	d.Rescan()
	ask := keyIDAsker(t, d)
	last, since := ask(), time.Now()
	harness.Await(t, 20*time.Second, "an end of the rotations", func() error {
		if now := ask(); now != last {
			last, since = now, time.Now()
		}
		if time.Since(since) < 4*time.Second {
			return errors.New("there was one a moment ago")
		}
		return nil
	})
	return last
}

func hash(keyID string) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(keyID))) }

var hashLabel = regexp.MustCompile(`key_id_hash="([^"]+)"`)

// statusHash is the key_id that kube-apiserver was told last, as its metrics show it.
func statusHash(t *testing.T, c *harness.Cluster) string {
	t.Helper()
	c.Request("GET", "/readyz/kms-providers", nil) // asks Status where the last "ok" is old enough
	var newest string
	var when float64
	for series, at := range c.Samples(t, "apiserver_envelope_encryption_key_id_hash_status_last_timestamp_seconds") {
		if found := hashLabel.FindStringSubmatch(series); at > when && found != nil {
			newest, when = found[1], at
		}
	}
	return newest
}

// watchHashes collects the hashes that kube-apiserver's metrics show one after the other.
func watchHashes(t *testing.T, c *harness.Cluster, changes int) []string {
	t.Helper()
	hashes := []string{statusHash(t, c)}
	for len(hashes) <= changes {
		harness.Await(t, 3*statusKept, fmt.Sprintf("key_id number %d", len(hashes)+1), func() error {
			if now := statusHash(t, c); now != hashes[len(hashes)-1] {
				hashes = append(hashes, now)
				return nil
			}
			return errors.New("kube-apiserver shows the same as before")
		})
	}
	return hashes
}

// watchKeyIDs collects the key_ids that Status names one after the other, until stopped.
func watchKeyIDs(t *testing.T, d *harness.Daemon) (stop func() []string) {
	t.Helper()
	client := d.Dial(t, "")
	done, answer := make(chan struct{}), make(chan []string)
	go func() {
		var ids []string
		for {
			ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
			status, err := client.Status(ctx, kms.V2)
			cancel()
			if err == nil && (len(ids) == 0 || status.KeyID != ids[len(ids)-1]) {
				ids = append(ids, status.KeyID)
			}
			select {
			case <-done:
				answer <- ids
				return
			case <-time.After(100 * time.Millisecond):
			}
		}
	}()
	return func() []string { close(done); return <-answer }
}

// Ten rotations under continuous writes and reads, each of which kube-apiserver notices.
func TestRotationsThroughV2(t *testing.T) {
	t.Parallel() // it waits most of its time
	daemon, cluster, secrets := rotatingCluster(t, "v2", rotateEvery)
	stop := watchKeyIDs(t, daemon)
	var hashes []string
	load := harness.During(2, 50*time.Millisecond, putAndRead(cluster), func() {
		hashes = watchHashes(t, cluster, rotations)
	})
	checkNoFailure(t, load)
	newest := stopRotating(t, daemon)
	harness.Await(t, 2*statusKept, "kube-apiserver's notice of the last KEK", func() error {
		if statusHash(t, cluster) != hash(newest) {
			return errors.New("it shows another one")
		}
		return nil
	})
	checkHashes(t, hashes, stop())
	for _, each := range hashes[:rotations] {
		if cluster.Metric(t, "apiserver_envelope_encryption_key_id_hash_total", `"to_storage"`, each) == 0 {
			t.Errorf("nothing was written under %s", each)
		}
	}
	restart(t, cluster, daemon, "v2")
	checkReadable(t, cluster, secrets)
	cluster.Rewrite(t, false)
	checkAllUnder(t, cluster, newest)
	checkReadable(t, cluster, secrets)
}

// checkHashes compares what kube-apiserver has shown with what the daemon has said: all of it, in order.
func checkHashes(t *testing.T, hashes, ids []string) {
	t.Helper()
	var want []string
	for _, id := range ids {
		want = append(want, hash(id))
	}
	if first := slices.Index(want, hashes[0]); first < 0 || len(want) < first+len(hashes) ||
		!slices.Equal(want[first:first+len(hashes)], hashes) {
		t.Errorf("kube-apiserver has shown\n%s\nbut the daemon has said\n%s", strings.Join(hashes, "\n"),
			strings.Join(want, "\n"))
	}
	unique := map[string]bool{}
	for _, id := range ids {
		unique[id] = true
	}
	if len(unique) != len(ids) {
		t.Errorf("a key_id came back: %q", ids)
	}
}

// checkAllUnder looks for the key_id, which stands in clear, in every Secret in etcd.
func checkAllUnder(t *testing.T, c *harness.Cluster, keyID string) {
	t.Helper()
	values := c.Etcd.Values(t, harness.SecretsPrefix)
	for key, value := range values {
		if !bytes.Contains(value, []byte(keyID)) {
			t.Errorf("%s is not stored under %s", key, keyID)
		}
	}
	t.Logf("%d Secrets are stored under the newest KEK", len(values))
}

// v1KeyIDs are the KEKs that the Secrets in etcd are stored under: a v1 cipher names its own.
func v1KeyIDs(t *testing.T, c *harness.Cluster) map[string]bool {
	t.Helper()
	prefix := provider("v1", &harness.Daemon{}).Prefix()
	ret := map[string]bool{}
	for key, value := range c.Etcd.Values(t, harness.SecretsPrefix) {
		raw, ok := bytes.CutPrefix(value, []byte(prefix))
		if !ok || len(raw) < 6 || len(raw) < 2+int(binary.BigEndian.Uint16(raw)) || len(raw) < 6+int(raw[5]) {
			t.Fatalf("%s is no cipher of v1: %.80q", key, value)
		}
		ret[string(raw[6:6+int(raw[5])])] = true // the length of the DEK, then docs/envelope.md
	}
	return ret
}

// awaitRotations waits until Status has named so many other KEKs, and answers the last.
func awaitRotations(t *testing.T, d *harness.Daemon, n int) string {
	t.Helper()
	ask := keyIDAsker(t, d)
	last := ask()
	for range n {
		harness.Await(t, 20*time.Second, "a rotation", func() error {
			now := ask()
			if now == last {
				return errors.New("Status names the same KEK")
			}
			last = now
			return nil
		})
	}
	return last
}

// rewind restores a backup of the token in which this KEK is not, sees that nothing is made in its place,
// and puts the right token back.
func rewind(t *testing.T, d *harness.Daemon, lost string) {
	t.Helper()
	objects := d.Token.Objects(t)
	d.Token.Rewind(t)
	left := d.Token.Objects(t)
	if left >= objects {
		t.Fatalf("the backup holds %d objects, the token held %d", left, objects)
	}
	harness.Await(t, 15*time.Second, "a status that names the missing KEK", func() error {
		said := d.CLI(t, "status")
		if !regexp.MustCompile(`(?m)^missing: .*` + regexp.QuoteMeta(lost)).MatchString(said) {
			return errors.New(said)
		}
		return nil
	})
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	if status, err := d.Dial(t, "").Status(ctx, kms.V2); err == nil {
		t.Errorf("Status is no error, though the active KEK is gone: %s, %s", status.Healthz, status.KeyID)
	}
	t.Log(d.CLI(t, "status"))
	for since := time.Now(); time.Since(since) < 10*time.Second; time.Sleep(50 * time.Millisecond) {
		if now := d.Token.Objects(t); now != left {
			t.Fatalf("the token holds %d objects now, %d before: something was made", now, left)
		}
	}
	d.Token.Restore(t)
	d.AwaitHealthy(t, 15*time.Second)
	if now := d.Token.Objects(t); now < objects {
		t.Errorf("the token holds %d objects, %d before", now, objects)
	}
}

// Ten rotations with v1, where every write is an Encrypt. In the middle somebody restores a backup of the
// token from before the last rotation.
func TestRotationsThroughV1(t *testing.T) {
	t.Parallel()
	daemon, cluster, secrets := rotatingCluster(t, "v1", "3s")
	load := func(event func()) {
		t.Helper()
		checkNoFailure(t, harness.During(2, 20*time.Millisecond, putAndRead(cluster), event))
	}
	var lost string
	load(func() {
		awaitRotations(t, daemon, rotations/2-1)
		daemon.Token.Backup(t)
		lost = awaitRotations(t, daemon, 1)
		harness.Await(t, 10*time.Second, "a write under the newest KEK", func() error {
			if under := v1KeyIDs(t, cluster); !under[lost] {
				return fmt.Errorf("there are some under %v", under)
			}
			return nil
		})
	})
	written, err := cluster.List()
	if err != nil {
		t.Fatal(err)
	}
	rewind(t, daemon, lost)
	restart(t, cluster, daemon, "v1")
	checkReadable(t, cluster, written)
	load(func() { awaitRotations(t, daemon, rotations-rotations/2) })
	newest := stopRotating(t, daemon)
	restart(t, cluster, daemon, "v1")
	checkReadable(t, cluster, secrets)
	cluster.Rewrite(t, true)
	if under := v1KeyIDs(t, cluster); len(under) != 1 || !under[newest] {
		t.Errorf("after the rewrite Secrets are stored under %v, not %s", under, newest)
	}
	checkReadable(t, cluster, secrets)
}
