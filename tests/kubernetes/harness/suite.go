// SPDX-License-Identifier: Apache-2.0

// Package harness starts what the tests need (a SoftHSM token, the daemon, etcd, kube-apiserver) and
// takes all of it away again, whichever way the tests end.
package harness

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const rootVariable = "P11KMS_SUITE_ROOT"

// Main is the body of TestMain. The test binary runs itself as a child; the parent adopts every
// process that is orphaned below it, and when the child is gone for whatever reason (done, a panic,
// the -timeout), it kills what is left and removes the directory that held everything.
func Main(m *testing.M) {
	if os.Getenv(rootVariable) != "" {
		os.Exit(m.Run())
	}
	code, err := supervise()
	if err != nil {
		fmt.Fprintln(os.Stderr, "harness:", err)
	}
	os.Exit(code)
}

func supervise() (int, error) {
	runtime.LockOSThread() // the child's Pdeathsig watches this thread
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return 1, err
	}
	root, err := os.MkdirTemp("", "p11-kms-test.")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(root)
	cmd := exec.Command(os.Args[0], os.Args[1:]...)
	cmd.Env = append(os.Environ(), rootVariable+"="+root)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return 1, err
	}
	forward(cmd.Process)
	code := reapUntil(cmd.Process.Pid)
	killChildren()
	return code, nil
}

// forward passes an interruption on, so that the tests end and the cleaning up is done.
func forward(child *os.Process) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGHUP)
	go func() {
		for s := range signals {
			child.Signal(s)
		}
	}()
}

// reapUntil reaps every adopted orphan until child itself is gone, and answers its exit code.
func reapUntil(child int) int {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return 1
		case pid == child && status.Exited():
			return status.ExitStatus()
		case pid == child:
			return 1
		}
	}
}

func killChildren() {
	for {
		children := Children(os.Getpid())
		if len(children) == 0 {
			return
		}
		for _, pid := range children {
			unix.Kill(pid, unix.SIGKILL)
		}
		unix.Wait4(-1, nil, 0, nil)
	}
}

// Dir makes a directory with a short name, for sockets; it is removed when the test ends.
func Dir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp(os.Getenv(rootVariable), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// stat answers what /proc says of a process: its name, state letter and parent.
func stat(pid int) (name, state string, parent int, ok bool) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", "", 0, false
	}
	text := string(raw)
	open, end := strings.IndexByte(text, '('), strings.LastIndexByte(text, ')')
	fields := strings.Fields(text[end+1:])
	parent, err = strconv.Atoi(fields[1])
	return text[open+1 : end], fields[0], parent, err == nil
}

// Children are the living and dead-but-unreaped children of a process.
func Children(parent int) []int {
	var ret []int
	entries, _ := filepath.Glob("/proc/[0-9]*")
	for _, entry := range entries {
		pid, _ := strconv.Atoi(filepath.Base(entry))
		if _, _, p, ok := stat(pid); ok && p == parent {
			ret = append(ret, pid)
		}
	}
	return ret
}

// Tree is a process and everything below it, the process first.
func Tree(pid int) []int {
	ret := []int{pid}
	for _, child := range Children(pid) {
		ret = append(ret, Tree(child)...)
	}
	return ret
}

// Alive says whether a process runs; a zombie does not.
func Alive(pid int) bool {
	_, state, _, ok := stat(pid)
	return ok && state != "Z" && state != "X"
}

// Named picks the living processes of that name (as ps shows it, 15 bytes at most).
func Named(pids []int, name string) []int {
	var ret []int
	for _, pid := range pids {
		if n, _, _, ok := stat(pid); ok && n == name && Alive(pid) {
			ret = append(ret, pid)
		}
	}
	return ret
}

// Descriptors counts the open files of a process. The front end is not dumpable, so that only root
// may ask.
func Descriptors(t testing.TB, pid int) int {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatalf("counting the open files of process %d (this needs root): %v", pid, err)
	}
	return len(entries)
}
