// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The packages that are built, by the name of the program.
var sources = map[string]string{
	"etcd":           "go.etcd.io/etcd/server/v3",
	"kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
}

var built struct {
	sync.Mutex
	dir string
}

// Program answers the path of etcd or kube-apiserver, and builds both when they are missing from
// bin/ or older than go.mod. Only the first call of a suite looks.
func Program(t testing.TB, name string) string {
	t.Helper()
	built.Lock()
	defer built.Unlock()
	if built.dir == "" {
		built.dir = build(t)
	}
	return filepath.Join(built.dir, name)
}

func build(t testing.TB) string {
	t.Helper()
	module := filepath.Dir(strings.TrimSpace(Run(t, nil, "go", "env", "GOMOD")))
	bin := filepath.Join(module, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	defer lock(t, filepath.Join(bin, "lock"))()
	want, stamp := fingerprint(t, module), filepath.Join(bin, "stamp")
	if have, err := os.ReadFile(stamp); err == nil && string(have) == want {
		return bin
	}
	begin := time.Now()
	for name, source := range sources {
		t.Logf("building %s (%s); all of it takes about three minutes on two idle cores", name, source)
		cmd := exec.Command("nice", "-n", "10", "go", "build", "-o", filepath.Join(bin, name), source)
		cmd.Dir = module
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("building %s: %v\n%s", name, err, out)
		}
	}
	write(t, stamp, want)
	t.Logf("built in %v", time.Since(begin).Round(time.Second))
	return bin
}

// lock keeps two suites from building at once; calling what it answers unlocks.
func lock(t testing.TB, path string) func() error {
	t.Helper()
	file, err := os.Create(path)
	if err == nil {
		err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX)
	}
	if err != nil {
		t.Fatal(err)
	}
	return file.Close
}

// fingerprint names what the programs are built from: the modules and the compiler.
func fingerprint(t testing.TB, module string) string {
	t.Helper()
	sum := sha256.New()
	for _, name := range []string{"go.mod", "go.sum"} {
		raw, err := os.ReadFile(filepath.Join(module, name))
		if err != nil {
			t.Fatal(err)
		}
		sum.Write(raw)
	}
	return runtime.Version() + " " + hex.EncodeToString(sum.Sum(nil)) + "\n"
}
