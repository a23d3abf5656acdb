// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"p11-kms.invalid/tests/kubernetes/kms"
)

// Ring is the name of the ring of every daemon here.
const Ring = "k8s"

// TokenTimeout is token.timeout of every daemon on SoftHSM: what condemns an agent that answers nothing.
const TokenTimeout = 2 * time.Second

const configuration = `apiVersion: p11-kms/v1
socket: unix://%s
adminSocket: unix://%s.admin
allowUids: [%d]
statusVersion: %s
stateDir: %s
token:
  module: %s
  uri: "%s"
  pinSource: file:%s
  timeout: %s
  probeEvery: 10s
%sring:
  name: %s
%s`

const usualRing = "  rescanEvery: 60s\n"

// Daemon is one p11-kmsd with a socket and a state directory of its own.
type Daemon struct {
	Token         *Token
	Socket        string
	StateDir      string
	statusVersion string
	config        string
	dir           string
	process       *Process
}

// NewDaemon writes a daemon's configuration; nothing is started yet.
func NewDaemon(t testing.TB, token *Token, statusVersion string) *Daemon {
	t.Helper()
	dir := Dir(t)
	d := &Daemon{
		Token: token, dir: dir, statusVersion: statusVersion,
		Socket:   filepath.Join(dir, "run", "kms.sock"),
		StateDir: filepath.Join(dir, "state"),
		config:   filepath.Join(dir, "config.yaml"),
	}
	for _, sub := range []string{filepath.Dir(d.Socket), d.StateDir} {
		if err := os.Mkdir(sub, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	d.SetRing(t, usualRing)
	return d
}

// SetRing replaces the settings of the ring section, lines of YAML. A daemon that runs takes them on at
// its next Rescan.
func (d *Daemon) SetRing(t testing.TB, lines string) {
	t.Helper()
	write(t, d.config, fmt.Sprintf(configuration, d.Socket, d.Socket, os.Getuid(), d.statusVersion,
		d.StateDir, d.Token.Module, d.Token.URI, d.Token.PINFile, d.Token.Timeout, d.Token.Settings, Ring, lines))
}

// Serve is the usual case: a new token with its first KEK, and a healthy daemon on it.
func Serve(t testing.TB) *Daemon {
	t.Helper()
	d := NewDaemon(t, NewToken(t), kms.V2.Version)
	d.Init(t)
	d.Start(t)
	return d
}

// CLI runs p11-kms with the daemon's configuration and answers what it printed, whatever its exit code.
func (d *Daemon) CLI(t testing.TB, arguments ...string) string {
	t.Helper()
	arguments = append(arguments, "--config", d.config)
	cmd := exec.Command(filepath.Join(directory(t, "P11KMS_BUILD_DIR"), "p11-kms"), arguments...)
	cmd.Env = append(os.Environ(), d.Token.Env...)
	out, _ := cmd.CombinedOutput()
	return string(out)
}

// Init runs `p11-kms init`, which makes the ring's first KEK.
func (d *Daemon) Init(t testing.TB) {
	t.Helper()
	Run(t, d.Token.Env, filepath.Join(directory(t, "P11KMS_BUILD_DIR"), "p11-kms"), "init", "--config", d.config)
}

// Launch runs the daemon and waits until it serves, well or not.
func (d *Daemon) Launch(t testing.TB) {
	t.Helper()
	d.process = Start(t, d.dir, d.Token.Env,
		filepath.Join(directory(t, "P11KMS_BUILD_DIR"), "p11-kmsd"), "--config", d.config)
	client := d.Dial(t, "")
	defer client.Close()
	Await(t, 20*time.Second, "a daemon that serves", func() error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, err := client.Status(ctx, kms.V2)
		return err
	})
}

// Start runs the daemon and waits until it says that it is healthy.
func (d *Daemon) Start(t testing.TB) {
	t.Helper()
	d.Launch(t)
	d.AwaitHealthy(t, 20*time.Second)
}

// Stop ends the daemon in order.
func (d *Daemon) Stop(t testing.TB) {
	t.Helper()
	d.process.Stop(t, 10*time.Second)
}

// Kill ends every process of the daemon at once and leaves its socket behind.
func (d *Daemon) Kill() { d.process.Kill() }

// Rescan makes the daemon read its configuration again and look at the token for new KEKs.
func (d *Daemon) Rescan() { d.process.Signal(syscall.SIGHUP) }

// Agents are the process ids of the daemon's agents.
func (d *Daemon) Agents() []int { return Named(Tree(d.process.Pid()), "p11-kms-agent") }

// SignalAgents sends every agent a signal and answers which they were.
func (d *Daemon) SignalAgents(t testing.TB, s syscall.Signal) []int {
	t.Helper()
	agents := d.Agents()
	if len(agents) == 0 {
		t.Fatal("the daemon has no agent")
	}
	for _, pid := range agents {
		syscall.Kill(pid, s)
	}
	return agents
}

// FrontEnd is the process id of the front end: the p11-kmsd below the monitor.
func (d *Daemon) FrontEnd(t testing.TB) int {
	t.Helper()
	below := Named(Tree(d.process.Pid())[1:], "p11-kmsd")
	if len(below) != 1 {
		t.Fatalf("below the monitor there are the front ends %v, not one", below)
	}
	return below[0]
}

// Dial connects to the daemon; the connection is closed when the test ends.
func (d *Daemon) Dial(t testing.TB, authority string) *kms.Client {
	t.Helper()
	client, err := kms.Dial(d.Socket, authority)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// AwaitHealthy waits until Status says ok.
func (d *Daemon) AwaitHealthy(t testing.TB, within time.Duration) {
	t.Helper()
	client := d.Dial(t, "")
	defer client.Close()
	Await(t, within, "a healthy daemon", func() error {
		if d.process.Exited() {
			t.Fatalf("%s ended by itself: %v", d.process.Name, d.process.cmd.ProcessState)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		status, err := client.Status(ctx, kms.V2)
		if err == nil && status.Healthz != "ok" {
			err = errors.New(status.Healthz)
		}
		return err
	})
}
