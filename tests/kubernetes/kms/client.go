// SPDX-License-Identifier: Apache-2.0

// Package kms speaks the three KMS APIs to a plugin's socket. The messages are kube-apiserver's own
// generated types; the calls go out by method name, so that one client serves every package.
package kms

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"k8s.io/kms/apis/v1beta1"
	kmsv2 "k8s.io/kms/apis/v2"
)

// API is one row of the tables in the tests.
type API struct {
	Package string // proto package; also the row's name
	Version string // what Status or Version must answer by default
	V1      bool   // no key_id, uid or annotations on the wire
}

// APIs are the rows: every proto package that some kube-apiserver calls.
var APIs = []API{
	{Package: "v1beta1", Version: "v1beta1", V1: true},
	{Package: "v2alpha1", Version: "v2alpha1"},
	{Package: "v2", Version: "v2beta1"},
}

// V2 is the row of today's API servers.
var V2 = APIs[2]

// Method is the full name of a method of this API.
func (a API) Method(name string) string {
	return "/" + a.Package + ".KeyManagementService/" + name
}

// Health is the name of the method that the API server asks first.
func (a API) Health() string {
	if a.V1 {
		return "Version"
	}
	return "Status"
}

// Status is what Status answers; only Version and Runtime are set by v1beta1.
type Status struct {
	Version, Healthz, KeyID     string
	RuntimeName, RuntimeVersion string
}

// Sealed is what Encrypt answers and Decrypt wants back.
type Sealed struct {
	Ciphertext  []byte
	KeyID       string
	Annotations map[string][]byte
}

// Client is one connection; every API goes over it.
type Client struct {
	Conn *grpc.ClientConn
}

// Dial makes a client of unix socket path. It connects at the first call and again, within 100 ms,
// whenever the connection is lost. An empty authority leaves grpc-go's own (localhost).
func Dial(path, authority string) (*Client, error) {
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true)),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.6, MaxDelay: 100 * time.Millisecond},
			MinConnectTimeout: time.Second,
		}),
	}
	if authority != "" {
		options = append(options, grpc.WithAuthority(authority))
	}
	conn, err := grpc.NewClient("unix://"+path, options...)
	if err != nil {
		return nil, err
	}
	return &Client{conn}, nil
}

// Close ends the connection.
func (c *Client) Close() { c.Conn.Close() }

// Status asks Status, or Version where the API has no Status.
func (c *Client) Status(ctx context.Context, a API) (Status, error) {
	if a.V1 {
		ret := &v1beta1.VersionResponse{}
		err := c.Conn.Invoke(ctx, a.Method("Version"), &v1beta1.VersionRequest{Version: "v1beta1"}, ret)
		return Status{Version: ret.Version, RuntimeName: ret.RuntimeName, RuntimeVersion: ret.RuntimeVersion}, err
	}
	ret := &kmsv2.StatusResponse{}
	err := c.Conn.Invoke(ctx, a.Method("Status"), &kmsv2.StatusRequest{}, ret)
	return Status{Version: ret.Version, Healthz: ret.Healthz, KeyID: ret.KeyId}, err
}

// Encrypt seals plaintext; uid is not sent by v1beta1.
func (c *Client) Encrypt(ctx context.Context, a API, plaintext []byte, uid string) (Sealed, error) {
	if a.V1 {
		ret := &v1beta1.EncryptResponse{}
		err := c.Conn.Invoke(ctx, a.Method("Encrypt"), &v1beta1.EncryptRequest{Version: "v1beta1", Plain: plaintext}, ret)
		return Sealed{Ciphertext: ret.Cipher}, err
	}
	ret := &kmsv2.EncryptResponse{}
	err := c.Conn.Invoke(ctx, a.Method("Encrypt"), &kmsv2.EncryptRequest{Plaintext: plaintext, Uid: uid}, ret)
	return Sealed{Ciphertext: ret.Ciphertext, KeyID: ret.KeyId, Annotations: ret.Annotations}, err
}

// Decrypt opens what Encrypt answered.
func (c *Client) Decrypt(ctx context.Context, a API, s Sealed, uid string) ([]byte, error) {
	if a.V1 {
		ret := &v1beta1.DecryptResponse{}
		err := c.Conn.Invoke(ctx, a.Method("Decrypt"), &v1beta1.DecryptRequest{Version: "v1beta1", Cipher: s.Ciphertext}, ret)
		return ret.Plain, err
	}
	ret := &kmsv2.DecryptResponse{}
	err := c.Conn.Invoke(ctx, a.Method("Decrypt"), &kmsv2.DecryptRequest{
		Ciphertext: s.Ciphertext, Uid: uid, KeyId: s.KeyID, Annotations: s.Annotations}, ret)
	return ret.Plaintext, err
}

// Probe calls a method by its full name with an empty message and answers only the error.
func (c *Client) Probe(ctx context.Context, method string) error {
	return c.Conn.Invoke(ctx, method, &kmsv2.StatusRequest{}, &kmsv2.StatusResponse{})
}
