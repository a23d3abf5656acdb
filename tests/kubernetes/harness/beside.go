// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const insideVariable = "P11KMS_INSIDE"

// Beside runs one test of this binary again, beside a token of tests/token/in-KIND, in namespaces of its
// own, with more of an environment. That test calls Inside first. Skipped, or with CI=true failed, where that token cannot be made.
func Beside(t *testing.T, kind, test string, within time.Duration, env ...string) {
	t.Helper()
	script := filepath.Join(directory(t, "P11KMS_TOOLS_DIR"), "in-"+kind)
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	cmd := exec.CommandContext(ctx, script, os.Args[0], "-test.v", "-test.run=^"+test+"$", "-test.timeout="+within.String())
	cmd.Env = append(append(os.Environ(), env...), insideVariable+"="+test, rootVariable+"=")
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && exit.ExitCode() == 77:
		t.Skipf("%s", out)
	case err != nil:
		t.Fatalf("beside a token of %s: %v\n%s", script, err, out)
	case !strings.Contains(string(out), "--- PASS: "+test):
		t.Fatalf("%s did not run:\n%s", test, out)
	}
	t.Logf("%s", out)
}

// Inside is the token that Beside made for this test. Anywhere else the test is not meant to run, and is skipped.
func Inside(t *testing.T) *Token {
	t.Helper()
	if os.Getenv(insideVariable) != t.Name() {
		t.Skip("runs beside a token: another test starts it there")
	}
	dir := directory(t, "TOKEN_DIR")
	return &Token{
		Module:  readLine(t, filepath.Join(dir, "module")),
		URI:     readLine(t, filepath.Join(dir, "uri")),
		PINFile: filepath.Join(dir, "pin"),
		tools:   dir,
	}
}

// Command runs make-key, down or up of the token's directory.
func (token *Token) Command(t testing.TB, name string, args ...string) {
	t.Helper()
	Run(t, nil, filepath.Join(token.tools, name), args...)
}

func readLine(t testing.TB, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(raw))
}
