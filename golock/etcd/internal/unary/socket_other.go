//go:build !linux

package unary

import (
	"errors"
	"net"
	"os"
	"time"
)

// A socket of these systems waits as goroutines do.
type socket struct {
	net.Conn
	until time.Time // of reads; zero: they do not wait
}

func newSocket(connection net.Conn) (*socket, error) { return &socket{Conn: connection}, nil }

func (s *socket) Read(p []byte) (int, error) {
	until := s.until
	if until.IsZero() {
		until = time.Unix(1, 0)
	}
	_ = s.Conn.SetReadDeadline(until)
	n, err := s.Conn.Read(p)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = errNotYet
	}
	return n, err
}

func (s *socket) Write(p []byte) (int, error) {
	_ = s.Conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	return s.Conn.Write(p)
}

func (s *socket) shutdown() { _ = s.Conn.Close() }

func (s *socket) free() { _ = s.Conn.Close() }
