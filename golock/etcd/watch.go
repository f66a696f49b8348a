package etcd

import (
	"context"
	"errors"
	"math"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
)

// A watch tells of the deletions of a prefix's keys from its beginning on.
type watch interface {
	// next waits for deletions, for a while. It returns none if there were none.
	next(d time.Duration) ([]*mvccpb.Event, error)
	close()
}

const watchMethod = "/etcdserverpb.Watch/Watch"

var errWatchEnded = errors.New("golock/etcd: the watch has ended")

// openWatch begins a watch. It is one of the client's, unless threads make transactions, whose time
// is that of the switches of threads: an event wakes up one thread then, where the client has a
// pipeline of goroutines that run in several.
func (s *Space) openWatch(ctx context.Context, prefix string, limit time.Duration) (watch,
	error) {
	if s.threads.takeWatch() {
		if w, err := s.openThreadWatch(ctx, prefix, limit); err == nil {
			return w, nil
		}
		s.threads.giveWatch()
	}
	return s.openClientWatch(ctx, prefix, limit)
}

// A clientWatch is a stream of the client's connection. The client's own watches share a stream: if
// a silent member does not begin one, the others wait until the connection is given up.
type clientWatch struct {
	answers chan *pb.WatchResponse // closed at the end
	ctx     context.Context
	cancel  context.CancelFunc
}

func (s *Space) openClientWatch(ctx context.Context, prefix string, limit time.Duration) (watch,
	error) {
	w := &clientWatch{answers: make(chan *pb.WatchResponse)}
	w.ctx, w.cancel = context.WithCancel(clientv3.WithRequireLeader(ctx))
	late := time.AfterFunc(limit, w.cancel)
	stream, err := pb.NewWatchClient(s.client.ActiveConnection()).Watch(w.ctx,
		grpc.MaxCallRecvMsgSize(math.MaxInt32))
	if err == nil {
		err = stream.Send(watchRequest(prefix))
	}
	var answer *pb.WatchResponse
	if err == nil {
		answer, err = stream.Recv()
	}
	if !late.Stop() || err != nil || !begins(answer) {
		w.cancel()
		return nil, errWatchEnded
	}
	s.run(func() { w.receive(stream) })
	return w, nil
}

func (w *clientWatch) receive(stream pb.Watch_WatchClient) {
	defer close(w.answers)
	for {
		answer, err := stream.Recv()
		if err != nil || answer.Canceled {
			return
		}
		select {
		case w.answers <- answer:
		case <-w.ctx.Done():
			return
		}
	}
}

func (w *clientWatch) next(d time.Duration) ([]*mvccpb.Event, error) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case answer, open := <-w.answers:
		if !open {
			return nil, errWatchEnded
		}
		return answer.Events, nil
	case <-timer.C:
		return nil, nil
	}
}

func (w *clientWatch) close() { w.cancel() }

// watchRequest asks for the deletions of a prefix's keys.
func watchRequest(prefix string) *pb.WatchRequest {
	create := &pb.WatchCreateRequest{
		Key:      []byte(prefix),
		RangeEnd: []byte(clientv3.GetPrefixRangeEnd(prefix)),
		Filters:  []pb.WatchCreateRequest_FilterType{pb.WatchCreateRequest_NOPUT},
	}
	return &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: create}}
}

// begins reports whether the first answer says that the watch stands.
func begins(answer *pb.WatchResponse) bool {
	return answer != nil && answer.Created && !answer.Canceled
}

// A threadWatch blocks the thread that waits for its events.
type threadWatch struct {
	space      *Space
	conn       *threadConn
	heard      time.Time // when the server last said something
	interrupts func() bool
}

func (s *Space) openThreadWatch(ctx context.Context, prefix string, limit time.Duration) (watch,
	error) {
	conn, err := s.dialConn(ctx)
	if err != nil {
		return nil, err
	}
	w := &threadWatch{space: s, conn: conn, heard: time.Now()}
	w.interrupts = context.AfterFunc(ctx, conn.Interrupt)
	encoded, err := watchRequest(prefix).Marshal()
	if err == nil {
		err = conn.Open(watchMethod, encoded, conn.metadata...)
	}
	if err == nil {
		var answer *pb.WatchResponse
		answer, err = w.receive(time.Now().Add(limit))
		if err == nil && !begins(answer) {
			err = errWatchEnded
		}
	}
	if err != nil {
		s.threads.metadata.Store(nil) // perhaps the token is too old
		w.end()
		return nil, err
	}
	return w, nil
}

func (w *threadWatch) receive(until time.Time) (*pb.WatchResponse, error) {
	encoded, arrived, err := w.conn.Next(until)
	if err != nil || !arrived {
		return nil, err
	}
	answer := &pb.WatchResponse{}
	return answer, answer.Unmarshal(encoded)
}

// next pings a server that is silent, as the client does. If the watch fails, the next one is to
// another endpoint.
func (w *threadWatch) next(d time.Duration) (_ []*mvccpb.Event, err error) {
	defer func() {
		if err != nil {
			w.space.threads.good.Add(1)
		}
	}()
	for until := time.Now().Add(d); time.Now().Before(until); {
		ping := w.heard.Add(pingEvery)
		answer, err := w.receive(earlier(until, ping))
		if err != nil {
			return nil, err
		}
		if answer != nil {
			w.heard = time.Now()
			if answer.Canceled {
				return nil, errWatchEnded
			}
			return answer.Events, nil
		}
		if time.Now().Before(ping) {
			continue
		}
		if err := w.conn.CheckAlive(time.Now().Add(pingTimeout)); err != nil {
			return nil, err
		}
		w.heard = time.Now()
	}
	return nil, nil
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func (w *threadWatch) close() {
	w.end()
	w.space.threads.giveWatch()
}

func (w *threadWatch) end() {
	w.interrupts()
	w.conn.Close()
}

func (t *threadConns) takeWatch() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.used.Load() || t.closed || t.watches >= mostConns {
		return false
	}
	t.watches++
	return true
}

func (t *threadConns) giveWatch() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.watches--
}
