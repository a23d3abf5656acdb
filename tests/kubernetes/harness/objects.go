// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const namespace = "p11-kms-test"

// SecretsPrefix is where etcd keeps the Secrets of these tests.
const SecretsPrefix = "/registry/secrets/" + namespace + "/"

type object struct {
	Metadata struct {
		Name string `json:"name"`
	} `json:"metadata"`
	Data map[string][]byte `json:"data,omitempty"`
}

func resource(kind string) string { return "/api/v1/namespaces/" + namespace + "/" + kind }

// MakeNamespace makes the namespace that the Secrets live in.
func (c *Cluster) MakeNamespace(t testing.TB) {
	t.Helper()
	body := fmt.Sprintf(`{"metadata":{"name":%q}}`, namespace)
	if _, err := c.Request("POST", "/api/v1/namespaces", []byte(body)); err != nil {
		t.Fatal(err)
	}
}

// Create makes one Secret with a value.
func (c *Cluster) Create(name, value string) error {
	var o object
	o.Metadata.Name, o.Data = name, map[string][]byte{"value": []byte(value)}
	body, err := json.Marshal(o)
	if err == nil {
		_, err = c.Request("POST", resource("secrets"), body)
	}
	return err
}

// CreateOpen makes a ConfigMap, which is not encrypted: what a search must find.
func (c *Cluster) CreateOpen(t testing.TB, name, value string) {
	t.Helper()
	body := fmt.Sprintf(`{"metadata":{"name":%q},"data":{"value":%q}}`, name, value)
	if _, err := c.Request("POST", resource("configmaps"), []byte(body)); err != nil {
		t.Fatal(err)
	}
}

// Get reads one Secret's value; kube-apiserver asks etcd for it, not its watch cache.
func (c *Cluster) Get(name string) (string, error) {
	raw, err := c.Request("GET", resource("secrets")+"/"+name, nil)
	var o object
	if err == nil {
		err = json.Unmarshal(raw, &o)
	}
	return string(o.Data["value"]), err
}

// List reads every Secret by name, out of the watch cache: since 1.31 a consistent list comes from it.
func (c *Cluster) List() (map[string]string, error) {
	raw, err := c.Request("GET", resource("secrets"), nil)
	var list struct{ Items []object }
	if err == nil {
		err = json.Unmarshal(raw, &list)
	}
	ret := map[string]string{}
	for _, o := range list.Items {
		ret[o.Metadata.Name] = string(o.Data["value"])
	}
	return ret, err
}

// CreateAll makes many Secrets, a few at a time.
func (c *Cluster) CreateAll(t testing.TB, secrets map[string]string) {
	t.Helper()
	var group sync.WaitGroup
	slots := make(chan struct{}, 8)
	for name, value := range secrets {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			if err := c.Create(name, value); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
}

// Metric adds up the samples of a metric whose labels contain each of the texts given.
func (c *Cluster) Metric(t testing.TB, name string, labels ...string) float64 {
	t.Helper()
	raw, err := c.Request("GET", "/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	var sum float64
	for line := range strings.Lines(string(raw)) {
		series, value, ok := strings.Cut(strings.TrimSpace(line), "} ")
		if !ok || !strings.HasPrefix(series, name+"{") || !containsAll(series, labels) {
			continue
		}
		number, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatalf("metric %s: %v", line, err)
		}
		sum += number
	}
	return sum
}

func containsAll(text string, parts []string) bool {
	for _, part := range parts {
		if !strings.Contains(text, part) {
			return false
		}
	}
	return true
}
