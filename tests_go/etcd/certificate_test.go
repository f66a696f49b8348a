package etcd_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/golock/golock/golock/etcd"
)

// A certificate that is replaced while the client exists counts for its next connection.
func TestCertificateIsReplaced(t *testing.T) {
	authority, certificate, key := certificates(t)
	_, other, otherKey := certificates(t)
	good := map[string]string{other: certificate, otherKey: key}
	client, err := etcd.Connect(etcd.Connection{
		Endpoints: []string{"https://" + startSecureServer(t, authority, certificate, key)},
		CA:        authority, Certificate: other, Key: otherKey,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	space := etcd.NewSpace(client.Client, etcd.Options{Patience: time.Second, TLS: client.TLS})
	defer space.Close(ctx)
	if _, err := space.Lock("x").Acquire(ctx); err == nil {
		t.Fatal("the server takes the certificate of another authority")
	}
	for replaced, by := range good {
		text, err := os.ReadFile(by)
		if err == nil {
			err = os.WriteFile(replaced, text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for {
		hold, err := space.Lock("x").Acquire(ctx)
		if err == nil {
			release(t, hold)
			return
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}
