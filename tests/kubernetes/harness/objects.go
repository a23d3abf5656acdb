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

// Put writes the value of a Secret that is there.
func (c *Cluster) Put(name, value string) error {
	var o object
	o.Metadata.Name, o.Data = name, map[string][]byte{"value": []byte(value)}
	body, err := json.Marshal(o)
	if err == nil {
		_, err = c.Request("PUT", resource("secrets")+"/"+name, body)
	}
	return err
}

// Rewrite writes every Secret as it is, like `kubectl get secrets -o json | kubectl replace -f -`:
// kube-apiserver stores it anew where the stored one is of another key_id. With v1, which knows no
// key_id, only what was touched is stored anew.
func (c *Cluster) Rewrite(t testing.TB, touch bool) {
	t.Helper()
	raw, err := c.Request("GET", resource("secrets"), nil)
	var list struct{ Items []map[string]any }
	if err == nil {
		err = json.Unmarshal(raw, &list)
	}
	for _, item := range list.Items {
		metadata := item["metadata"].(map[string]any)
		if touch {
			metadata["annotations"] = map[string]string{"touched": "yes"}
		}
		body, bad := json.Marshal(item)
		if err == nil && bad == nil {
			_, err = c.Request("PUT", fmt.Sprint(resource("secrets"), "/", metadata["name"]), body)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
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
	var sum float64
	for _, number := range c.Samples(t, name, labels...) {
		sum += number
	}
	return sum
}

// Samples are the samples of a metric, by series, whose labels contain each of the texts given.
func (c *Cluster) Samples(t testing.TB, name string, labels ...string) map[string]float64 {
	t.Helper()
	raw, err := c.Request("GET", "/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	ret := map[string]float64{}
	for line := range strings.Lines(string(raw)) {
		series, value, ok := strings.Cut(strings.TrimSpace(line), "} ")
		if !ok || !strings.HasPrefix(series, name+"{") || !containsAll(series, labels) {
			continue
		}
		number, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatalf("metric %s: %v", line, err)
		}
		ret[series] = number
	}
	return ret
}

func containsAll(text string, parts []string) bool {
	for _, part := range parts {
		if !strings.Contains(text, part) {
			return false
		}
	}
	return true
}
