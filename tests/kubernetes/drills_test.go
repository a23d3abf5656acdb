// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"p11-kms.invalid/tests/kubernetes/harness"
)

// An agent is killed, then another stopped, while Secrets are written and read all the time. The
// provider is v1, because there each write needs the agent; v2 would hide it behind its seed.
func TestAgentLossDuringWrites(t *testing.T) {
	daemon := harness.Serve(t)
	cluster := harness.NewCluster(t)
	cluster.StartAPI(t, harness.Provider{Version: "v1", Name: "p11-kms", Socket: daemon.Socket})
	cluster.MakeNamespace(t)
	frontEnd := daemon.FrontEnd(t)
	for _, drill := range []struct {
		name   string
		signal syscall.Signal
		within time.Duration
	}{
		{"killed", syscall.SIGKILL, harness.Patience(3 * time.Second)},
		{"stopped", syscall.SIGSTOP, harness.TokenTimeout + harness.Patience(3*time.Second)},
	} {
		t.Run(drill.name, func(t *testing.T) {
			var since time.Time
			var lost []int
			load := harness.During(4, 10*time.Millisecond, writeAndRead(cluster, drill.name), func() {
				time.Sleep(time.Second) // the load before
				since = time.Now()
				lost = daemon.SignalAgents(t, drill.signal)
				time.Sleep(drill.within + time.Second) // the load after
			})
			load.CheckRecovery(t, since, drill.within)
			for _, pid := range daemon.Agents() {
				if slices.Contains(lost, pid) {
					t.Errorf("agent %d was %s and is still in service", pid, drill.name)
				}
			}
		})
	}
	if now := daemon.FrontEnd(t); now != frontEnd {
		t.Errorf("the front end was replaced (%d, now %d): its connections are lost", frontEnd, now)
	}
}

func writeAndRead(c *harness.Cluster, prefix string) func(n int) error {
	return func(n int) error {
		name, value := fmt.Sprintf("%s-%d", prefix, n), fmt.Sprint("value ", n)
		if err := c.Create(name, value); err != nil {
			return err
		}
		got, err := c.Get(name)
		if err == nil && got != value {
			err = fmt.Errorf("Secret %s is not what was written", name)
		}
		return err
	}
}
