package etcd_test

import (
	"context"
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"github.com/golock/golock/golock/etcd"
)

// A call that ends while it asks a silent server by TLS closes the descriptor once: its number may
// be that of another file by then.
func TestDescriptorIsClosedOnce(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		for n := 0; ; n++ {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			defer connection.Close()
			if n == 1 { // the first one is the client's, this one asks why there is no answer
				_, _ = connection.Read(make([]byte, 1))
				cancel()
			}
		}
	}()
	client, err := etcd.Connect(etcd.Connection{
		Endpoints: []string{"https://" + listener.Addr().String()}, InsecureSkipVerify: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	space := etcd.NewSpace(client.Client, etcd.Options{
		Patience: 50 * time.Millisecond, TLS: client.TLS,
	})
	ended := make(chan error)
	go func() {
		_, err := space.Lock("x").Acquire(ctx)
		ended <- err
	}()
	<-ctx.Done()
	var files []*os.File
	for open := true; open; {
		read, write, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, read, write)
		select {
		case err := <-ended:
			if !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			open = false
		case <-time.After(10 * time.Millisecond):
		}
	}
	for _, each := range files {
		if _, err := each.Stat(); err != nil {
			t.Errorf("somebody has closed the descriptor of a pipe: %v", err)
		}
		_ = each.Close()
	}
}

// Threads do without an endpoint that can be connected to, but does not answer.
func TestThreadPassesASilentEndpoint(t *testing.T) {
	endpoint := startServer(t)
	silent := startProxy(t, endpoint)
	silent.hang(true)
	options := etcd.Options{Patience: time.Minute}
	lock := newSpace(t, options, silent.address(), endpoint).Lock("x")
	release(t, untilDriven(t, lock))
}
