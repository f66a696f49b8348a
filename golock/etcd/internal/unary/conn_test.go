package unary

import (
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/status"
)

const patient = 20 * time.Second

// serve starts a server of HTTP/2, and connects to it.
func serve(t *testing.T, handler http.HandlerFunc) *Conn {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler, Protocols: new(http.Protocols)}
	server.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(func() { _ = server.Close() })
	go func() { _ = server.Serve(listener) }()
	ctx, cancel := context.WithTimeout(context.Background(), patient)
	defer cancel()
	c, err := Dial(ctx, "tcp", listener.Addr().String(), "server", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if err := c.Greet(time.Now().Add(patient)); err != nil {
		t.Fatal(err)
	}
	return c
}

func receive(t *testing.T, c *Conn) ([]byte, error) {
	t.Helper()
	for deadline := time.Now().Add(patient); time.Now().Before(deadline); {
		answer, answered, err := c.Receive(deadline)
		if answered || err != nil {
			return answer, err
		}
	}
	t.Fatal("there is no answer")
	return nil, nil
}

// Fields that do not fit into one frame are continued in others, in both directions.
func TestLongFields(t *testing.T) {
	const size = 3 * frameSize
	c := serve(t, func(answer http.ResponseWriter, request *http.Request) {
		_, _ = io.Copy(io.Discard, request.Body)
		answer.Header().Set(http.TrailerPrefix+"grpc-status", "7")
		answer.Header().Set(http.TrailerPrefix+"grpc-message",
			strconv.Itoa(len(request.Header.Get("token")))+strings.Repeat("!", size))
		answer.WriteHeader(http.StatusOK)
	})
	for range 3 { // the state of the compression has to stay right
		if err := c.Send("/x", []byte("request"), "token", strings.Repeat("~", size)); err != nil {
			t.Fatal(err)
		}
		_, err := receive(t, c)
		said, refused := status.FromError(err)
		if !refused || said.Message() != strconv.Itoa(size)+strings.Repeat("!", size) {
			t.Fatalf("answer: %.100v", err)
		}
	}
}

// The server's settings are acknowledged before there is a call.
func TestSettingsAreAcknowledged(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	acknowledged := make(chan error, 1)
	go func() {
		connection, err := listener.Accept()
		if err != nil {
			acknowledged <- err
			return
		}
		defer connection.Close()
		_ = connection.SetDeadline(time.Now().Add(patient))
		_, err = io.ReadFull(connection, make([]byte, len(http2.ClientPreface)))
		framer := http2.NewFramer(connection, connection)
		if err == nil {
			err = framer.WriteSettings()
		}
		for err == nil {
			var frame http2.Frame
			frame, err = framer.ReadFrame()
			if settings, ok := frame.(*http2.SettingsFrame); ok && settings.IsAck() {
				break
			}
		}
		acknowledged <- err
	}()
	ctx, cancel := context.WithTimeout(context.Background(), patient)
	defer cancel()
	c, err := Dial(ctx, "tcp", listener.Addr().String(), "server", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Greet(time.Now().Add(patient)); err != nil {
		t.Fatal(err)
	}
	if err := <-acknowledged; err != nil {
		t.Fatal(err)
	}
}
