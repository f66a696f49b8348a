package etcd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
)

// ErrLost is returned for a hold whose lease has ended, or whose key somebody else has deleted.
var ErrLost = errors.New("golock/etcd: the lock was lost: its lease ended before it was released")

// ErrReleased is returned for a hold that was released already.
var ErrReleased = errors.New("golock/etcd: the lock was released already")

// ErrInvalid is in the errors of [Connect] that no server has caused.
var ErrInvalid = errors.New("golock/etcd: invalid connection")

// ErrClosed is returned after [Space.Close].
var ErrClosed = errors.New("golock/etcd: the space is closed")

// refused reports whether etcd has answered that it will not do what it was asked for.
func refused(err error) bool {
	var answer rpctypes.EtcdError
	if !errors.As(err, &answer) {
		return false
	}
	switch answer.Code() {
	case codes.InvalidArgument, codes.NotFound, codes.PermissionDenied, codes.Unauthenticated,
		codes.FailedPrecondition:
		return true
	}
	return false
}

// RefusedError is returned when etcd does not permit a request.
type RefusedError struct {
	Endpoints []string
	Err       error
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("golock/etcd: etcd at %s refused: %v", strings.Join(e.Endpoints, ", "), e.Err)
}

func (e *RefusedError) Unwrap() error { return e.Err }

// UnreachableError is returned when no endpoint has answered.
type UnreachableError struct {
	// Endpoints has for each endpoint the reason in words.
	Endpoints []EndpointError
	// Err is the error of the last request.
	Err error
}

// EndpointError says why an endpoint cannot be used.
type EndpointError struct{ Endpoint, Reason string }

func (e *UnreachableError) Error() string {
	var text strings.Builder
	text.WriteString("golock/etcd: etcd did not answer")
	for i, each := range e.Endpoints {
		separator := "; "
		if i == 0 {
			separator = ": "
		}
		fmt.Fprintf(&text, "%s%s: %s", separator, each.Endpoint, each.Reason)
	}
	return text.String()
}

func (e *UnreachableError) Unwrap() error { return e.Err }

// explain returns an error that names the endpoints for one of the client, which does not. If etcd
// has not answered, it connects to each endpoint by itself to learn why.
func (s *Space) explain(ctx context.Context, err error) error {
	endpoints, config := s.client.Endpoints(), s.options.TLS
	if refused(err) {
		return &RefusedError{endpoints, err}
	}
	found := make([]EndpointError, len(endpoints))
	var all sync.WaitGroup
	for i, endpoint := range endpoints {
		all.Go(func() { found[i] = EndpointError{endpoint, reason(ctx, endpoint, config, err)} })
	}
	all.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return &UnreachableError{found, err}
}

const diagnosisTimeout = time.Second

func reason(ctx context.Context, endpoint string, config *tls.Config, err error) string {
	network, address, config := target(endpoint, config)
	dialer := net.Dialer{Timeout: diagnosisTimeout}
	connection, e := dialer.DialContext(ctx, network, address)
	if e == nil && config != nil {
		_ = connection.SetDeadline(time.Now().Add(diagnosisTimeout))
		e = tls.Client(connection, config).HandshakeContext(ctx)
	}
	if connection != nil {
		_ = connection.Close()
	}
	switch {
	case e != nil:
		return e.Error()
	case errors.Is(err, context.DeadlineExceeded):
		return "it can be connected to, but answers no request"
	default:
		return err.Error()
	}
}
