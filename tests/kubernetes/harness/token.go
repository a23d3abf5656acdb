// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	softhsmModule = "/usr/lib/softhsm/libsofthsm2.so"
	testPIN       = "1234"
)

// Token is a token of its own: SoftHSM's, or what Inside found.
type Token struct {
	Module   string
	URI      string
	PINFile  string
	Timeout  time.Duration // token.timeout
	Settings string        // more lines of the configuration's token section
	Env      []string
	store    string // SoftHSM's
	tools    string // of what Inside found
}

// NewToken makes an initialised token with no keys.
func NewToken(t testing.TB) *Token {
	t.Helper()
	dir := Dir(t)
	token := &Token{
		Module:  softhsmModule,
		Timeout: TokenTimeout,
		URI:     "pkcs11:token=p11-kms-test",
		PINFile: filepath.Join(dir, "pin"),
		Env:     []string{"SOFTHSM2_CONF=" + filepath.Join(dir, "softhsm2.conf")},
		store:   filepath.Join(dir, "tokens"),
	}
	write(t, filepath.Join(dir, "softhsm2.conf"), fmt.Sprintf(
		"directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n", token.store))
	write(t, token.PINFile, testPIN+"\n")
	if err := os.Mkdir(token.store, 0o700); err != nil {
		t.Fatal(err)
	}
	Run(t, token.Env, "softhsm2-util", "--init-token", "--free", "--label", "p11-kms-test",
		"--so-pin", "12345678", "--pin", testPIN)
	return token
}

// Hide moves the token's store away, as a lost network share or an unplugged token would.
func (token *Token) Hide(t testing.TB) { move(t, token.store, token.store+".away") }

// Restore undoes Hide and Rewind.
func (token *Token) Restore(t testing.TB) {
	t.Helper()
	if _, err := os.Stat(token.store); err == nil {
		move(t, token.store, token.store+".wrong")
		defer os.RemoveAll(token.store + ".wrong")
	}
	move(t, token.store+".away", token.store)
}

// Backup keeps a copy of the store as it is now.
func (token *Token) Backup(t testing.TB) {
	t.Helper()
	if err := os.CopyFS(token.store+".backup", os.DirFS(token.store)); err != nil {
		t.Fatal(err)
	}
}

// Rewind puts the backup in the store's place, as somebody would who restores the wrong one.
func (token *Token) Rewind(t testing.TB) {
	t.Helper()
	token.Hide(t)
	move(t, token.store+".backup", token.store)
}

// Objects counts what lies on the token, whatever it is.
func (token *Token) Objects(t testing.TB) int {
	t.Helper()
	objects, err := filepath.Glob(filepath.Join(token.store, "*", "*.object"))
	if err != nil {
		t.Fatal(err)
	}
	return len(objects) - 1 // the token is one of them
}

// MakeKEK adds a KEK to the ring with the test tool and answers its key_id. A state of "active" makes
// it the one that a daemon seals with after its next look at the token.
func (token *Token) MakeKEK(t testing.TB, stateDir string, generation int, state string) string {
	t.Helper()
	out := Run(t, token.Env, filepath.Join(directory(t, "P11KMS_TOOLS_DIR"), "make-kek"),
		filepath.Join(directory(t, "P11KMS_BUILD_DIR"), "p11-kms-agent"), token.Module, token.URI,
		token.PINFile, stateDir, Ring, strconv.Itoa(generation), state)
	return strings.TrimSpace(out)
}

func directory(t testing.TB, variable string) string {
	t.Helper()
	dir := os.Getenv(variable)
	if dir == "" {
		t.Fatalf("%s is not set: it names the directory of the programs under test", variable)
	}
	return dir
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func move(t testing.TB, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}
