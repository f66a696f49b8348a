package etcd_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golock/golock/golock/etcd"
	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// certificates writes an authority, and a certificate by it for server and client.
func certificates(t *testing.T) (authority, certificate, key string) {
	write := func(name, kind string, content []byte) string {
		file := filepath.Join(t.TempDir(), name)
		text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content})
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	make := func(template, parent *x509.Certificate, by *ecdsa.PrivateKey) ([]byte,
		*ecdsa.PrivateKey) {
		own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if by == nil {
			by = own
		}
		made, err := x509.CreateCertificate(rand.Reader, template, parent, &own.PublicKey, by)
		if err != nil {
			t.Fatal(err)
		}
		return made, own
	}
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true,
	}
	rootMade, rootKey := make(root, root, nil)
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "someone"},
		NotBefore: root.NotBefore, NotAfter: root.NotAfter,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	leafMade, leafKey := make(leaf, root, rootKey)
	encoded, err := x509.MarshalECPrivateKey(leafKey)
	if err != nil {
		t.Fatal(err)
	}
	return write("ca.pem", "CERTIFICATE", rootMade), write("cert.pem", "CERTIFICATE", leafMade),
		write("key.pem", "EC PRIVATE KEY", encoded)
}

// startSecureServer starts a cluster of one member that wants certificates of an authority.
func startSecureServer(t *testing.T, authority, certificate, key string) string {
	c := newCluster(t, 1, "")
	server := c.members[0].(*embedded)
	server.config.ListenClientUrls[0].Scheme = "https"
	server.config.ClientTLSInfo = transport.TLSInfo{
		CertFile: certificate, KeyFile: key, TrustedCAFile: authority, ClientCertAuth: true,
	}
	server.start(t)
	t.Cleanup(server.stop)
	return c.endpoints[0]
}

func TestTLS(t *testing.T) {
	authority, certificate, key := certificates(t)
	endpoint := "https://" + startSecureServer(t, authority, certificate, key)

	try := func(connection etcd.Connection) error {
		connection.Endpoints = []string{endpoint}
		client, err := etcd.Connect(connection)
		if err != nil {
			return err
		}
		defer client.Close()
		space := etcd.NewSpace(client.Client, etcd.Options{Patience: 3 * time.Second, TLS: client.TLS})
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		hold, err := space.Lock("x").Acquire(ctx)
		if err == nil {
			err = hold.Release(ctx)
		}
		_ = space.Close(ctx)
		return err
	}
	good := etcd.Connection{CA: authority, Certificate: certificate, Key: key}
	if err := try(good); err != nil {
		t.Error(err)
	}
	named := good
	named.ServerName = "127.0.0.1"
	if err := try(named); err != nil {
		t.Error("with the server's name: ", err)
	}
	err := try(etcd.Connection{})
	if err == nil || !strings.Contains(err.Error(), endpoint) ||
		!strings.Contains(err.Error(), "unknown authority") {
		t.Errorf("without the authority: %v", err)
	}
	if err := try(etcd.Connection{CA: authority, Certificate: certificate}); err == nil {
		t.Error("a certificate without its key")
	}
	t.Setenv("ETCDCTL_CACERT", authority)
	t.Setenv("ETCDCTL_CERT", certificate)
	t.Setenv("ETCDCTL_KEY", key)
	if err := try(etcd.Environment(os.LookupEnv)); err != nil {
		t.Error("from the environment: ", err)
	}
}

// startServerWithUsers starts a cluster of one member whose user "locker:open" may use the prefix
// "golock/".
func startServerWithUsers(t *testing.T) string {
	endpoint := startServer(t)
	root := connect(t, endpoint)
	ctx := context.Background()
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(root.UserAdd(ctx, "root", "secret"))
	must(root.UserGrantRole(ctx, "root", "root"))
	must(root.RoleAdd(ctx, "locks"))
	must(root.RoleGrantPermission(ctx, "locks", "golock/", clientv3.GetPrefixRangeEnd("golock/"),
		clientv3.PermissionType(clientv3.PermReadWrite)))
	must(root.UserAdd(ctx, "locker", "open"))
	must(root.UserGrantRole(ctx, "locker", "locks"))
	must(root.AuthEnable(ctx))
	return endpoint
}

func TestUsers(t *testing.T) {
	endpoint := startServerWithUsers(t)
	ctx := context.Background()

	use := func(prefix string) error {
		client, err := etcd.Connect(etcd.Connection{
			Endpoints: []string{endpoint}, User: "locker:open",
		})
		if err != nil {
			return err
		}
		defer client.Close()
		space := etcd.NewSpace(client.Client, etcd.Options{Prefix: prefix, TTL: 6 * short})
		defer space.Close(ctx)
		hold, err := space.Lock("x").Acquire(ctx)
		if err != nil {
			return err
		}
		time.Sleep(7 * short) // through renewals
		return hold.Release(ctx)
	}
	if err := use(""); err != nil {
		t.Error(err)
	}
	var refused *etcd.RefusedError
	if err := use("elsewhere/"); !errors.As(err, &refused) ||
		!strings.Contains(err.Error(), endpoint) {
		t.Errorf("without permission: %v", err)
	}
	_, err := etcd.Connect(etcd.Connection{Endpoints: []string{endpoint}, User: "locker:wrong"})
	if err == nil || !strings.Contains(err.Error(), endpoint) {
		t.Errorf("with a wrong password: %v", err)
	}
}
