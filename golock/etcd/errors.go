package etcd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/golock/golock/golock/etcd/internal/unary"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
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
		codes.FailedPrecondition, codes.OutOfRange, codes.Unimplemented, codes.DataLoss:
		return true
	case codes.ResourceExhausted:
		return errors.Is(err, rpctypes.ErrNoSpace) // and not for too many requests
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

// UnreachableError is returned when no endpoint has answered, or none could do what it was asked to
// do at that time.
type UnreachableError struct {
	// Endpoints has for each endpoint the reason in words.
	Endpoints []EndpointError
	// Err is the error of the last request.
	Err error
}

// EndpointError says why an endpoint cannot be used.
type EndpointError struct{ Endpoint, Reason string }

func (e *UnreachableError) Error() string {
	reasons := make([]string, len(e.Endpoints))
	for i, each := range e.Endpoints {
		reasons[i] = each.Endpoint + ": " + each.Reason
	}
	return "golock/etcd: etcd cannot be used: " + strings.Join(reasons, "; ")
}

func (e *UnreachableError) Unwrap() error { return e.Err }

const (
	diagnosisTimeout = time.Second
	lateTimeout      = 50 * time.Millisecond // of a diagnosis when the caller's time is over
	statusMethod     = "/etcdserverpb.Maintenance/Status"
)

// explain returns an error that names the endpoints, which those of the client do not. A context
// that is over has its cause explained enough.
func (s *Space) explain(ctx context.Context, err error) error {
	err = explain(ctx, s.client.Endpoints(), s.options.TLS, err)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// explainLate does so for a call whose context is over because etcd has not answered in time.
func (s *Space) explainLate(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return context.Cause(ctx)
	}
	if ctx.Err() != nil {
		limited, cancel := context.WithTimeout(context.Background(), lateTimeout)
		defer cancel()
		ctx = limited
	}
	return explain(ctx, s.client.Endpoints(), s.options.TLS, err)
}

// explain asks each endpoint for its state, by a connection of its own, unless etcd has refused.
func explain(ctx context.Context, endpoints []string, config *tls.Config, err error) error {
	if refused(err) && !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return &RefusedError{endpoints, err}
	}
	ctx, cancel := context.WithTimeout(ctx, diagnosisTimeout)
	defer cancel()
	found := make([]diagnosis, len(endpoints))
	var all sync.WaitGroup
	for i, endpoint := range endpoints {
		all.Go(func() { found[i] = diagnose(ctx, endpoint, config) })
	}
	all.Wait()
	explained := &UnreachableError{make([]EndpointError, len(endpoints)), err}
	for i, endpoint := range endpoints {
		reason := found[i].reason(err)
		for j, other := range found {
			if found[i].cluster != 0 && other.cluster != 0 && other.cluster != found[i].cluster {
				reason += fmt.Sprintf("; %s is of another cluster", endpoints[j])
				break
			}
		}
		explained.Endpoints[i] = EndpointError{endpoint, reason}
	}
	return explained
}

// A diagnosis is what an endpoint says of itself.
type diagnosis struct {
	cluster uint64
	leader  uint64
	private bool // it answers, but tells its state to users only
	err     error
}

var errNoAnswer = errors.New("it can be connected to, but answers no request")

func diagnose(ctx context.Context, endpoint string, config *tls.Config) (d diagnosis) {
	network, address, authority, config := target(endpoint, config)
	answer, err := askStatus(ctx, network, address, authority, config)
	switch {
	case errors.Is(err, io.EOF) && config == nil:
		d.err = errors.New("it has closed the connection; it may want TLS (https://)")
	case errors.Is(err, io.EOF):
		d.err = errors.New("it has closed the connection; it may have no TLS (http://)")
	case rpctypes.Error(err) == rpctypes.ErrUserEmpty:
		d.private = true
	case err != nil:
		d.err = err
	case answer.Header != nil:
		d.cluster, d.leader = answer.Header.ClusterId, answer.Leader
	}
	return d
}

func askStatus(ctx context.Context, network, address, authority string, config *tls.Config) (
	*pb.StatusResponse, error) {
	conn, err := unary.Dial(ctx, network, address, authority, config)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	// A context that is over by its time has the reason that the connection has.
	interrupts := context.AfterFunc(ctx, func() {
		if errors.Is(ctx.Err(), context.Canceled) {
			conn.Interrupt()
		}
	})
	defer interrupts()
	if err := conn.Send(statusMethod, nil); err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	encoded, answered, err := conn.Receive(deadline)
	if err == nil && !answered {
		err = errNoAnswer
	}
	if err != nil {
		return nil, err
	}
	answer := &pb.StatusResponse{}
	return answer, answer.Unmarshal(encoded)
}

// reason says in words why a request has failed with an error.
func (d diagnosis) reason(err error) string {
	var answer rpctypes.EtcdError
	said, isStatus := status.FromError(err)
	switch {
	case errors.As(err, &answer):
		return answer.Error()
	case d.err != nil:
		if denied, ok := status.FromError(d.err); ok {
			return denied.Message()
		}
		return d.err.Error()
	case d.leader == 0 && !d.private:
		return "it has no leader, so the cluster has no majority"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return "it has not answered in time"
	case isStatus:
		return said.Message()
	}
	return err.Error()
}
