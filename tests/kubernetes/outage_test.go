// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"p11-kms.invalid/tests/kubernetes/harness"
	"p11-kms.invalid/tests/kubernetes/kms"
)

// How long the token is away, unless P11KMS_OUTAGE says otherwise. kube-apiserver lets its v2 write state
// expire after three minutes without a valid Status: that must not happen, so it has to be longer.
const usualOutage = 4 * time.Minute

const (
	noticed   = 31 * time.Second // the daemon probes a well token each 10 s, kube-apiserver keeps an ok for 20
	wellSoon  = 5 * time.Second  // a sick one each second
	readySoon = 10 * time.Second // kube-apiserver keeps an error for 3 s
)

// outage is how long the token is to be away.
func outage(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("P11KMS_OUTAGE")
	if text == "" {
		return usualOutage
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("P11KMS_OUTAGE: %v", err)
	}
	return d
}

// written are the Secrets that kube-apiserver says it has stored.
type written struct {
	lock    sync.Mutex
	secrets map[string]string
}

func (w *written) add(name, value string) {
	w.lock.Lock()
	defer w.lock.Unlock()
	w.secrets[name] = value
}

// create makes one Secret after the other.
func (w *written) create(c *harness.Cluster, prefix string) func(n int) error {
	return func(n int) error {
		name, value := fmt.Sprintf("%s-%d", prefix, n), fmt.Sprint("value ", n)
		err := c.Create(name, value)
		if err == nil {
			w.add(name, value)
		}
		return err
	}
}

// readOld reads a Secret that was there before, from etcd one by one and from the watch cache.
func readOld(c *harness.Cluster, old map[string]string) func(n int) error {
	var names []string
	for name := range old {
		names = append(names, name)
	}
	return func(n int) error {
		name := names[n%len(names)]
		got, err := c.Get(name)
		if err != nil {
			return err
		}
		list, err := c.List()
		if err == nil && (got != old[name] || list[name] != old[name]) {
			err = fmt.Errorf("Secret %s is not what was written", name)
		}
		return err
	}
}

// reason is what kube-apiserver says of our health; empty: it is well.
func reason(c *harness.Cluster, check string) string {
	if _, err := c.Request("GET", check, nil); err != nil {
		return err.Error()
	}
	return ""
}

// statusText is what the daemon itself says.
func statusText(t *testing.T, d *harness.Daemon) string {
	t.Helper()
	client := d.Dial(t, "")
	defer client.Close()
	ctx, cancel := call()
	defer cancel()
	status, err := client.Status(ctx, kms.V2)
	if err != nil {
		t.Errorf("Status is an RPC error while the token is away: %v", err)
		return ""
	}
	return status.Healthz
}

// awaitReason waits until kube-apiserver's health check quotes the daemon's Status.
func awaitReason(t *testing.T, c *harness.Cluster, d *harness.Daemon, check string) {
	t.Helper()
	harness.Await(t, noticed, "kube-apiserver's notice of the loss", func() error {
		ours := statusText(t, d)
		theirs := reason(c, check)
		if ours == "ok" || ours == "" || !strings.Contains(theirs, ours) {
			return fmt.Errorf("Status says %q, %s says %q", ours, check, theirs)
		}
		t.Logf("%s: %s", check, theirs)
		return nil
	})
}

// away takes the token, keeps it away so long, and looks all the time that Status stays truthful.
func away(t *testing.T, c *harness.Cluster, d *harness.Daemon, check string) {
	t.Helper()
	until := time.Now().Add(outage(t))
	d.Token.Hide(t)
	awaitReason(t, c, d, check)
	for time.Now().Before(until) {
		if text := statusText(t, d); text == "ok" {
			t.Error("Status says ok while the token is away")
			break
		}
		if reason(c, check) == "" {
			t.Errorf("%s says ok while the token is away", check)
			break
		}
		time.Sleep(2 * time.Second)
	}
}

// back returns the token, after which nobody does anything.
func back(t *testing.T, c *harness.Cluster, d *harness.Daemon, check string) {
	t.Helper()
	d.Token.Restore(t)
	since := time.Now()
	d.AwaitHealthy(t, harness.Patience(wellSoon))
	t.Logf("the daemon was well %v after the token came back", time.Since(since).Round(time.Millisecond))
	harness.Await(t, readySoon, "a ready kube-apiserver", func() error {
		if text := reason(c, check); text != "" {
			return errors.New(text)
		}
		return nil
	})
	t.Logf("kube-apiserver was ready %v after the token came back", time.Since(since).Round(time.Millisecond))
}

// The token goes away under a running cluster for many minutes and comes back: nothing is lost, nothing is
// stored unencrypted, what kube-apiserver has in its cache can be read all the time, and nobody restarts
// anything.
func testOutage(t *testing.T, version, check string, writesGoOn bool) {
	t.Parallel() // it waits most of its time
	daemon := harness.Serve(t)
	cluster := harness.NewCluster(t)
	cluster.StartAPI(t, provider(version, daemon))
	cluster.MakeNamespace(t)
	old := makeSecrets("old", "", 50)
	cluster.CreateAll(t, old)
	checkReadable(t, cluster, old)
	frontEnd, all := daemon.FrontEnd(t), &written{secrets: map[string]string{}}
	for name, value := range old {
		all.add(name, value)
	}

	var during, reads harness.Load
	during = harness.During(1, 500*time.Millisecond, all.create(cluster, "during"), func() {
		reads = harness.During(1, 100*time.Millisecond, readOld(cluster, old), func() {
			away(t, cluster, daemon, check)
		})
		back(t, cluster, daemon, check)
	})
	t.Logf("while it was away: reads %d, failed %d; writes %d, failed %d", len(reads), len(reads.Failures()),
		len(during), len(during.Failures()))
	if failures := reads.Failures(); len(failures) > 0 {
		t.Errorf("a read failed: %v", failures[0].Err)
	}
	if failures := during.Failures(); len(failures) > 0 && writesGoOn {
		t.Errorf("a write failed: %v", failures[0].Err)
	} else if len(failures) == 0 && !writesGoOn {
		t.Error("no write failed while the token was away: was it?")
	}
	after := harness.During(1, 10*time.Millisecond, all.create(cluster, "after"), func() { time.Sleep(2 * time.Second) })
	checkNoFailure(t, after)
	if now := daemon.FrontEnd(t); now != frontEnd {
		t.Errorf("the front end was replaced (%d, now %d)", frontEnd, now)
	}
	values := cluster.Etcd.Values(t, harness.SecretsPrefix)
	if len(values) < len(all.secrets) {
		t.Errorf("%d Secrets are in etcd, %d were acknowledged", len(values), len(all.secrets))
	}
	checkPrefix(t, cluster, "", provider(version, daemon).Prefix())
	restart(t, cluster, daemon, version) // a cold cache
	checkReadable(t, cluster, all.secrets)
}

// With v2 kube-apiserver seals with what it derives from its seed: writes go on as well.
func TestTokenAwayThroughV2(t *testing.T) { testOutage(t, "v2", "/readyz/kms-providers", true) }

// With v1 each write needs the token.
func TestTokenAwayThroughV1(t *testing.T) { testOutage(t, "v1", "/readyz/kms-provider-0", false) }
