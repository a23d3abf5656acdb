// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"p11-kms.invalid/tests/kubernetes/harness"
	"p11-kms.invalid/tests/kubernetes/kms"
)

func assertAlteredRefused(t *testing.T, d *harness.Daemon) {
	other := peer{d.Dial(t, ""), kms.V2}.status(t).KeyID
	active := rotate(t, d, 2)
	each(t, d, func(t *testing.T, p peer) {
		key := randomKey()
		good := p.seal(t, key, "u")
		for at := range good.Ciphertext {
			altered := slices.Clone(good.Ciphertext)
			altered[at] ^= 1 << (at % 8)
			p.refuses(t, fmt.Sprintf("byte %d altered", at), with(good, altered))
			p.refuses(t, fmt.Sprintf("cut to %d bytes", at), with(good, good.Ciphertext[:at]))
		}
		p.refuses(t, "a byte more", with(good, append(slices.Clone(good.Ciphertext), 0)))
		p.refuses(t, "the other key in the header",
			with(good, bytes.Replace(good.Ciphertext, []byte(active), []byte(other), 1)))
		p.open(t, good, "u", key)
		for _, sibling := range kms.APIs {
			if sibling.V1 != p.api.V1 {
				foreign := peer{p.Client, sibling}.seal(t, key, "u")
				foreign.KeyID = active
				p.refuses(t, "sealed by "+sibling.Package, foreign)
			}
		}
		if !p.api.V1 {
			refusesMetadata(t, p, good, other)
		}
		p.open(t, good, "u", key)
	})
	if now := (peer{d.Dial(t, ""), kms.V2}).status(t); now.KeyID != active {
		t.Errorf("key_id was %q and is %q after the altered requests", active, now.KeyID)
	}
}

func with(s kms.Sealed, ciphertext []byte) kms.Sealed {
	s.Ciphertext = ciphertext
	return s
}

// refusesMetadata alters what only v2 sends beside the ciphertext.
func refusesMetadata(t *testing.T, p peer, good kms.Sealed, other string) {
	t.Helper()
	altered := []byte(good.KeyID)
	for at := range altered {
		altered[at] ^= 1
		s := good
		s.KeyID = string(altered)
		p.refuses(t, fmt.Sprintf("key_id altered at %d", at), s)
		altered[at] ^= 1
	}
	for _, id := range []string{"", "unknown", other, good.KeyID + "0", good.KeyID[1:]} {
		s := good
		s.KeyID = id
		p.refuses(t, fmt.Sprintf("key_id %q", id), s)
	}
	s := good
	s.Annotations = map[string][]byte{"added.p11-kms.invalid": []byte("x")}
	p.refuses(t, "an annotation added", s)
}

func assertLoad(t *testing.T, d *harness.Daemon) {
	t.Run("p99 of 1000 serial decrypts", func(t *testing.T) { each(t, d, decryptsAreQuick) })
	t.Run("status during a flood", func(t *testing.T) { statusDuringFlood(t, d) })
	t.Run("cancelled calls leak nothing", func(t *testing.T) { cancelledLeakNothing(t, d) })
	t.Run("a restart takes a stale socket", func(t *testing.T) {
		p, key := peer{d.Dial(t, ""), kms.V2}, randomKey()
		sealed := p.seal(t, key, "u")
		d.Kill()
		d.Start(t)
		p.open(t, sealed, "u", key)
	})
}

// wide is a limit of some milliseconds, wider than by harness.Patience where scripts/check runs something
// beside this suite: the assertions in C and Python judge the same, alone.
func wide(t *testing.T, limit time.Duration) time.Duration {
	if !harness.BesideOthers() {
		return limit
	}
	t.Logf("OTHER CHECKS RUN BESIDE THIS ONE: the limit is %v, not %v", 10*limit, limit)
	return 10 * limit
}

// decryptsAreQuick tries up to three times: on a busy machine the client itself may be kept waiting.
func decryptsAreQuick(t *testing.T, p peer) {
	var sealed []kms.Sealed
	key, limit := randomKey(), wide(t, 10*time.Millisecond)
	for range 50 {
		sealed = append(sealed, p.seal(t, key, "u"))
	}
	for range 3 {
		var took []time.Duration
		for n := range 1000 {
			begin := time.Now()
			p.open(t, sealed[n%len(sealed)], "u", key)
			took = append(took, time.Since(begin))
		}
		slices.Sort(took)
		t.Logf("p50 %v, p99 %v, longest %v", took[499], took[989], took[999])
		if took[989] < limit {
			return
		}
	}
	t.Errorf("p99 is not below %v", limit)
}

func statusDuringFlood(t *testing.T, d *harness.Daemon) {
	p := peer{d.Dial(t, ""), kms.V2}
	clients := []*kms.Client{d.Dial(t, ""), d.Dial(t, ""), d.Dial(t, ""), d.Dial(t, "")}
	sealed := p.seal(t, randomKey(), "u")
	var took []time.Duration
	load := harness.During(32, 0, func(n int) error {
		ctx, cancel := call()
		defer cancel()
		_, err := clients[n%len(clients)].Decrypt(ctx, kms.V2, sealed, "u")
		return err
	}, func() {
		for range 200 {
			begin := time.Now()
			if got := p.status(t); got.Healthz != "ok" {
				t.Errorf("healthz is %q", got.Healthz)
			}
			took = append(took, time.Since(begin))
			time.Sleep(10 * time.Millisecond)
		}
	})
	slices.Sort(took)
	t.Logf("%d decrypts, %d refused; Status p50 %v, p99 %v, longest %v",
		len(load), len(load.Failures()), took[99], took[197], took[199])
	if took[197] > wide(t, 100*time.Millisecond) {
		t.Error("Status does not keep answering within 100 ms")
	}
}

// cancelledLeakNothing counts the front end's open files when all is quiet before and after.
func cancelledLeakNothing(t *testing.T, d *harness.Daemon) {
	frontEnd := d.FrontEnd(t)
	p := peer{d.Dial(t, ""), kms.V2}
	key := randomKey()
	sealed := p.seal(t, key, "u")
	before := harness.Descriptors(t, frontEnd)
	for n := range 50 {
		cancelSome(t, d, sealed, time.Duration(n)*20*time.Microsecond)
	}
	harness.Await(t, 10*time.Second, "the open files of before", func() error {
		if now := harness.Descriptors(t, frontEnd); now > before {
			return fmt.Errorf("%d open files, before %d", now, before)
		}
		return nil
	})
	p.open(t, sealed, "u", key)
	if now := d.FrontEnd(t); now != frontEnd {
		t.Errorf("the front end was replaced (%d, now %d)", frontEnd, now)
	}
}

// cancelSome sends calls on a connection of its own, cancels them after a while and hangs up.
func cancelSome(t *testing.T, d *harness.Daemon, sealed kms.Sealed, after time.Duration) {
	client := d.Dial(t, "")
	defer client.Close()
	(peer{client, kms.V2}).status(t)
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(after, cancel)
	harness.During(8, 0, func(n int) error {
		if n%2 == 0 {
			_, err := client.Encrypt(ctx, kms.V2, randomKey(), "u")
			return err
		}
		_, err := client.Decrypt(ctx, kms.V2, sealed, "u")
		return err
	}, func() { <-ctx.Done() })
}
