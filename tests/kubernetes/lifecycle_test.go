// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"p11-kms.invalid/tests/kubernetes/harness"
	"p11-kms.invalid/tests/kubernetes/kms"
)

// replica is a second daemon on the same token that shares nothing else with the first.
func replica(t *testing.T, d *harness.Daemon, statusVersion string) *harness.Daemon {
	t.Helper()
	ret := harness.NewDaemon(t, d.Token, statusVersion)
	ret.Start(t)
	return ret
}

// rotate puts a newer active KEK on the token and waits until the daemon seals with it.
func rotate(t *testing.T, d *harness.Daemon, generation int) string {
	t.Helper()
	fresh := d.Token.MakeKEK(t, d.StateDir, generation, "active")
	d.Rescan()
	p := peer{d.Dial(t, ""), kms.V2}
	harness.Await(t, 10*time.Second, "a rotation", func() error {
		if got, err := healthz(p); err != nil || got.KeyID != fresh {
			return fmt.Errorf("Status says %q (%v), not %q", got.KeyID, err, fresh)
		}
		return nil
	})
	return fresh
}

func assertStatusVersions(t *testing.T, d *harness.Daemon) {
	check := func(d *harness.Daemon, v2 string) {
		t.Helper()
		for _, api := range kms.APIs {
			want := api.Version
			if api.Package == "v2" {
				want = v2
			}
			if got := (peer{d.Dial(t, ""), api}).status(t).Version; got != want {
				t.Errorf("%s says %q, not %q", api.Method(api.Health()), got, want)
			}
		}
	}
	check(d, "v2beta1")
	d.Stop(t)
	d.Start(t)
	check(d, "v2beta1")
	check(replica(t, d, "v2"), "v2")
}

// The token is lost while the agent dies, so that neither an open session nor a new one can help.
func assertTokenLoss(t *testing.T, d *harness.Daemon) {
	p := peer{d.Dial(t, ""), kms.V2}
	before, key := p.status(t), randomKey()
	if before.Healthz != "ok" {
		t.Fatalf("healthz is %q", before.Healthz)
	}
	sealed := p.seal(t, key, "u")
	d.Token.Hide(t)
	d.SignalAgents(t, syscall.SIGKILL)
	harness.Await(t, harness.Patience(3*time.Second), "a Status that says the token is lost", func() error {
		now := p.status(t)
		if now.KeyID != before.KeyID {
			t.Fatalf("key_id was %q and is %q without a token", before.KeyID, now.KeyID)
		}
		if now.Healthz == "ok" {
			return fmt.Errorf("healthz is %q", now.Healthz)
		}
		t.Logf("healthz without a token: %s", now.Healthz)
		return nil
	})
	if reason := p.status(t).Healthz; reason == "" || strings.Contains(reason, "\n") {
		t.Errorf("the reason is not one line: %q", reason)
	}
	d.Token.Restore(t)
	d.AwaitHealthy(t, 10*time.Second)
	if now := p.status(t); now.KeyID != before.KeyID {
		t.Errorf("key_id was %q and is %q after the loss", before.KeyID, now.KeyID)
	}
	p.open(t, sealed, "u", key)
}

func assertStableKeyID(t *testing.T, d *harness.Daemon) {
	p := peer{d.Dial(t, ""), kms.V2}
	want := p.status(t).KeyID
	if len(want) < 1 || len(want) > 1024 {
		t.Fatalf("key_id has %d bytes", len(want))
	}
	check := func(d *harness.Daemon) {
		t.Helper()
		for _, api := range kms.APIs[1:] {
			p := peer{d.Dial(t, ""), api}
			for range 20 {
				if got := p.status(t).KeyID; got != want {
					t.Fatalf("%s: key_id %q, before %q", api.Method("Status"), got, want)
				}
			}
		}
	}
	check(d)
	check(replica(t, d, "v2beta1"))
	d.Stop(t)
	d.Start(t)
	check(d)
}

// Encrypt may differ from the Status before it only where the rotation fell between the two, which
// the Status after it shows.
func assertEncryptAgrees(t *testing.T, d *harness.Daemon) {
	for generation, api := range kms.APIs[1:] {
		t.Run(api.Package, func(t *testing.T) {
			p := peer{d.Dial(t, ""), api}
			old := p.status(t).KeyID
			load := harness.During(1, 0, func(int) error { return agree(p) }, func() {
				time.Sleep(200 * time.Millisecond)
				rotate(t, d, generation+2)
				time.Sleep(200 * time.Millisecond)
			})
			t.Logf("%d pairs of Status and Encrypt", len(load))
			for _, failure := range load.Failures() {
				t.Error(failure.Err)
			}
			for range 50 {
				if sealed := p.seal(t, randomKey(), "u"); sealed.KeyID == old {
					t.Fatalf("Encrypt went back to %q", old)
				}
			}
		})
	}
}

func agree(p peer) error {
	ctx, cancel := call()
	defer cancel()
	before, err := p.Status(ctx, p.api)
	if err != nil {
		return err
	}
	sealed, err := p.Encrypt(ctx, p.api, randomKey(), "u")
	if err != nil {
		return err
	}
	after, err := p.Status(ctx, p.api)
	if err == nil && sealed.KeyID != before.KeyID && sealed.KeyID != after.KeyID {
		err = fmt.Errorf("Status says %q, Encrypt %q, Status %q", before.KeyID, sealed.KeyID, after.KeyID)
	}
	return err
}

func assertDecryptElsewhere(t *testing.T, d *harness.Daemon) {
	key, sealed := randomKey(), map[string]kms.Sealed{}
	for _, api := range kms.APIs {
		sealed[api.Package] = peer{d.Dial(t, ""), api}.seal(t, key, "u")
	}
	check := func(d *harness.Daemon) {
		t.Helper()
		for _, api := range kms.APIs {
			peer{d.Dial(t, ""), api}.open(t, sealed[api.Package], "other", key)
		}
		// A cluster that goes from 1.26 to 1.27 asks v2 for what v2alpha1 has sealed.
		peer{d.Dial(t, ""), kms.V2}.open(t, sealed["v2alpha1"], "u", key)
	}
	check(d)
	second := replica(t, d, "v2beta1")
	check(second)
	for _, api := range kms.APIs {
		peer{d.Dial(t, ""), api}.open(t, peer{second.Dial(t, ""), api}.seal(t, key, "u"), "u", key)
	}
	d.Stop(t)
	d.Start(t)
	check(d)
}

func assertOldKeysDecrypt(t *testing.T, d *harness.Daemon) {
	type kept struct {
		p      peer
		sealed kms.Sealed
		key    []byte
	}
	var all []kept
	ids := map[string]bool{}
	for generation := 1; generation <= 3; generation++ {
		if generation > 1 {
			rotate(t, d, generation)
		}
		id := peer{d.Dial(t, ""), kms.V2}.status(t).KeyID
		if ids[id] {
			t.Fatalf("key_id %q came again", id)
		}
		ids[id] = true
		for _, api := range kms.APIs {
			k := kept{peer{d.Dial(t, ""), api}, kms.Sealed{}, randomKey()}
			k.sealed = k.p.seal(t, k.key, "u")
			if !api.V1 && k.sealed.KeyID != id {
				t.Errorf("Encrypt says %q, Status %q", k.sealed.KeyID, id)
			}
			all = append(all, k)
		}
	}
	for range 2 {
		for _, k := range all {
			k.p.open(t, k.sealed, "u", k.key)
		}
		d.Stop(t)
		d.Start(t)
	}
}
