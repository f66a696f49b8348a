package unary

import (
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A socket waits in the calling thread. It is not known to the Go runtime's poller, whose thread
// would wake up at each answer.
type socket struct {
	mu         sync.Mutex // of shutdown and free
	closed     bool
	net.Conn             // for the addresses; it is closed
	descriptor int       // not blocking
	until      time.Time // of reads; zero: they do not wait
}

// ackTimeout is how long what was sent may stay without the peer's acknowledgement before the
// connection fails, as in gRPC's client, which takes the time of its pings. The kernel's own limit
// is a quarter of an hour.
const ackTimeout = 2 * time.Second

// newSocket takes the connection over.
func newSocket(connection net.Conn) (*socket, error) {
	defer connection.Close()
	raw, ok := connection.(syscall.Conn)
	if !ok {
		return nil, errors.New("unary: no socket")
	}
	control, err := raw.SyscallConn()
	if err != nil {
		return nil, err
	}
	descriptor, failure := -1, error(nil)
	err = control.Control(func(original uintptr) {
		descriptor, failure = unix.FcntlInt(original, unix.F_DUPFD_CLOEXEC, 0)
	})
	if err = errors.Join(err, failure); err != nil {
		return nil, err
	}
	// Not every socket is one of TCP.
	_ = unix.SetsockoptInt(descriptor, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT,
		int(ackTimeout/time.Millisecond))
	return &socket{Conn: connection, descriptor: descriptor}, nil
}

// Read returns errNotYet when the time is over, and when a signal handler has run in this thread.
func (s *socket) Read(p []byte) (int, error) {
	if err := s.wait(unix.POLLIN, s.until); err != nil {
		return 0, err
	}
	n, err := unix.Read(s.descriptor, p)
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return 0, errNotYet
	case err != nil:
		return 0, err
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

func (s *socket) Write(p []byte) (int, error) {
	until, written := time.Now().Add(writeTimeout), 0
	for written < len(p) {
		n, err := unix.SendmsgN(s.descriptor, p[written:], nil, nil, unix.MSG_NOSIGNAL)
		switch err {
		case nil:
			written += n
		case unix.EAGAIN:
			err := s.wait(unix.POLLOUT, until)
			if err != nil && (err != errNotYet || time.Now().After(until)) {
				return written, err
			}
		case unix.EINTR:
		default:
			return written, err
		}
	}
	return written, nil
}

func (s *socket) wait(events int16, until time.Time) error {
	timeout := 0
	if !until.IsZero() {
		timeout = int((time.Until(until) + time.Millisecond - 1) / time.Millisecond)
	}
	poll := []unix.PollFd{{Fd: int32(s.descriptor), Events: events}}
	n, err := unix.Poll(poll, max(timeout, 0))
	switch {
	case err == unix.EINTR || err == nil && n == 0:
		return errNotYet
	case err != nil:
		return err
	}
	return nil
}

// shutdown ends a wait in another thread.
func (s *socket) shutdown() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		_ = unix.Shutdown(s.descriptor, unix.SHUT_RDWR)
	}
}

// Close ends a wait too: TLS calls it in another goroutine if a handshake is cancelled.
func (s *socket) Close() error {
	s.shutdown()
	return nil
}

// free closes the descriptor, which nobody may use any more.
func (s *socket) free() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	_ = unix.Close(s.descriptor)
}

func (s *socket) SetDeadline(time.Time) error      { return nil }
func (s *socket) SetReadDeadline(time.Time) error  { return nil }
func (s *socket) SetWriteDeadline(time.Time) error { return nil }
