//go:build !linux

package unary

import (
	"errors"
	"net"
	"time"
)

// The library for threads of C is built for Linux alone.
type socket struct {
	net.Conn
	until time.Time
}

func newSocket(connection net.Conn) (*socket, error) {
	return nil, errors.Join(errors.ErrUnsupported, connection.Close())
}

func (s *socket) shutdown() {}
