// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// Etcd is a real etcd with a data directory of its own.
type Etcd struct {
	URL    string
	data   string
	client *clientv3.Client
}

// NewEtcd starts etcd and waits until it answers.
func NewEtcd(t testing.TB) *Etcd {
	t.Helper()
	dir := Dir(t)
	e := &Etcd{URL: "http://" + freeAddress(t), data: filepath.Join(dir, "data")}
	peers := "http://" + freeAddress(t)
	Start(t, dir, nil, Program(t, "etcd"), "--data-dir", e.data, "--name", "test",
		"--listen-client-urls", e.URL, "--advertise-client-urls", e.URL,
		"--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers,
		"--initial-cluster", "test="+peers, "--unsafe-no-fsync", "--log-level", "warn")
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{e.URL}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	e.client = client
	Await(t, 20*time.Second, "etcd", func() error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, err := client.Get(ctx, "/")
		return err
	})
	return e
}

// Values are the stored values of all keys that begin with prefix, by key.
func (e *Etcd) Values(t testing.TB, prefix string) map[string][]byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	answer, err := e.client.Get(ctx, prefix, clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	ret := map[string][]byte{}
	for _, kv := range answer.Kvs {
		ret[string(kv.Key)] = kv.Value
	}
	return ret
}

// Find names every key and every file of etcd that holds text, raw or in base64 at any offset.
func (e *Etcd) Find(t testing.TB, text string) []string {
	t.Helper()
	var ret []string
	forms := disguises(text)
	for key, value := range e.Values(t, "/") {
		if holds(value, forms) || holds([]byte(key), forms) {
			ret = append(ret, "key "+key)
		}
	}
	err := filepath.WalkDir(e.data, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		raw, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			return nil // etcd has renamed one of its temporary files
		}
		if holds(raw, forms) {
			ret = append(ret, "file "+path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return ret
}

// disguises are the bytes that stand for text: itself, and the part of its base64 that does not
// depend on its neighbours, for each of the three offsets.
func disguises(text string) [][]byte {
	ret := [][]byte{[]byte(text)}
	for offset := range 3 {
		encoded := base64.StdEncoding.EncodeToString([]byte("..."[:offset] + text))
		first := []int{0, 2, 3}[offset]
		last := (offset + len(text)) * 8 / 6
		ret = append(ret, []byte(encoded[first:last]))
	}
	return ret
}

func holds(raw []byte, forms [][]byte) bool {
	for _, form := range forms {
		if bytes.Contains(raw, form) {
			return true
		}
	}
	return false
}

// freeAddress is a loopback address with a port that nobody had a moment ago.
func freeAddress(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return fmt.Sprint(listener.Addr())
}
