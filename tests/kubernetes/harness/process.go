// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// Process is a child in a process group of its own that dies with the suite.
type Process struct {
	Name string
	cmd  *exec.Cmd
	log  string
	done chan struct{}
}

// Starting happens on one thread that lives as long as the suite: Pdeathsig fires when the thread
// that forked ends, not the process.
var starts = make(chan func())

func init() {
	go func() {
		runtime.LockOSThread()
		for start := range starts {
			start()
		}
	}()
}

// Start runs a program. Its output is shown if the test fails; it is killed when the test ends.
func Start(t testing.TB, dir string, env []string, path string, args ...string) *Process {
	t.Helper()
	p := &Process{Name: filepath.Base(path), done: make(chan struct{})}
	out, err := os.CreateTemp(dir, p.Name+".*.log")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	p.log = out.Name()
	p.cmd = exec.Command(path, args...)
	p.cmd.Dir, p.cmd.Env = dir, append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	starts <- func() { started <- p.cmd.Start() }
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	go func() { p.cmd.Wait(); close(p.done) }()
	t.Cleanup(func() { p.finish(t) })
	return p
}

func (p *Process) finish(t testing.TB) {
	p.Kill()
	if t.Failed() {
		t.Logf("output of %s (the end of it):\n%s", p.Name, tail(p.log, 80))
	}
}

// Pid is the process id; also its process group's.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Signal sends a signal to the process alone.
func (p *Process) Signal(s syscall.Signal) { p.cmd.Process.Signal(s) }

// Exited says whether the process has ended.
func (p *Process) Exited() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Output is what the process has written so far.
func (p *Process) Output() string {
	raw, _ := os.ReadFile(p.log)
	return string(raw)
}

// Kill ends the process and everything below it at once, and waits until all of it is gone.
func (p *Process) Kill() {
	tree := Tree(p.Pid())
	if p.Exited() {
		tree = nil // the id may be somebody else's by now
	}
	for _, pid := range tree {
		syscall.Kill(pid, syscall.SIGKILL)
	}
	<-p.done
	for _, pid := range tree {
		Eventually(5*time.Second, func() error { return gone(pid) })
	}
}

// Stop asks the process to end and fails the test unless it and everything below it do so in time.
func (p *Process) Stop(t testing.TB, within time.Duration) {
	t.Helper()
	if p.Exited() {
		t.Fatalf("%s ended by itself: %v", p.Name, p.cmd.ProcessState)
	}
	tree := Tree(p.Pid())
	p.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(within):
		t.Fatalf("%s still runs %v after SIGTERM", p.Name, within)
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("%s ended with %v after SIGTERM", p.Name, p.cmd.ProcessState)
	}
	for _, pid := range tree {
		if err := Eventually(time.Second, func() error { return gone(pid) }); err != nil {
			t.Errorf("%s left something behind: %v", p.Name, err)
		}
	}
}

func gone(pid int) error {
	if Alive(pid) {
		return fmt.Errorf("process %d is still there", pid)
	}
	return nil
}

// Run runs a program to its end and answers its standard output; anything but success fails the test.
func Run(t testing.TB, env []string, path string, args ...string) string {
	t.Helper()
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), env...)
	var out, diagnostics bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &diagnostics
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %q: %v\n%s%s", path, args, err, out.Bytes(), diagnostics.Bytes())
	}
	return out.String()
}

// Eventually asks until the answer is nil, and gives the last error when the time is up.
func Eventually(within time.Duration, ask func() error) error {
	deadline := time.Now().Add(within)
	for {
		err := ask()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Await is Eventually that fails the test.
func Await(t testing.TB, within time.Duration, what string, ask func() error) {
	t.Helper()
	if err := Eventually(within, ask); err != nil {
		t.Fatalf("%s: not within %v: %v", what, within, err)
	}
}

// BesideOthers says whether scripts/check runs something beside this suite.
func BesideOthers() bool { return os.Getenv("P11KMS_BESIDE") == "yes" }

// Patience is a limit of time, or three times that beside others.
func Patience(limit time.Duration) time.Duration {
	if BesideOthers() {
		return 3 * limit
	}
	return limit
}

func tail(path string, lines int) []byte {
	raw, err := os.ReadFile(path)
	if err != nil {
		return []byte(err.Error())
	}
	all := bytes.Split(raw, []byte("\n"))
	return bytes.Join(all[max(0, len(all)-lines):], []byte("\n"))
}
