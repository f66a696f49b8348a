package sight

import (
	"bytes"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	second = int64(1e9)

	// The service looks this often whether its descriptors are still its own.
	checkPeriod = second
	// Between two looks for deadlocks, unless the service is woken.
	shortestPause = int64(1e6)
	// A client has this long to read a reply.
	readLimit = 5 * second
	// The first pause after an attempt to listen again has failed. It doubles each time.
	firstRetry, longestRetry = second, 1024 * second
	// Connections that nobody has accepted yet.
	backlog = 1024
	// Connections that are accepted in one go.
	acceptedAtOnce = 16

	wakePlace, listenerPlace, clientPlace = 0, 0, 1 // clientPlace: in Opened
)

// A descriptor is a socket of the service. Programs close descriptors that are not theirs when they
// become daemons, and get the same numbers for other files. So the service compares the inode
// before it uses a number.
type descriptor struct {
	number int32 // or -1
	inode  uint64
}

func descriptorOf(number int32) descriptor {
	var stat unix.Stat_t
	if number < 0 || unix.Fstat(int(number), &stat) != nil {
		return descriptor{number: -1}
	}
	return descriptor{number, stat.Ino}
}

func (d descriptor) ours() bool {
	var stat unix.Stat_t
	return d.number >= 0 && unix.Fstat(int(d.number), &stat) == nil && stat.Ino == d.inode &&
		stat.Mode&unix.S_IFMT == unix.S_IFSOCK
}

func (d *descriptor) close() {
	if d.ours() {
		_ = unix.Close(int(d.number))
	}
	d.number = -1
}

// away moves a descriptor that took the number of a standard stream, which the program is about to
// open again.
func away(number int32) int32 {
	if number < 0 || number > 2 {
		return number
	}
	moved, err := unix.FcntlInt(uintptr(number), unix.F_DUPFD_CLOEXEC, 3)
	_ = unix.Close(int(number))
	if err != nil {
		return -1
	}
	return int32(moved)
}

// A listener is a listening socket and its file.
type listener struct {
	descriptor
	path string
}

// listen listens at the path, at which it replaces the socket of a process that has ended. Only
// this user can connect, from the moment at which the file exists.
func listen(path string) (listener, error) {
	none := listener{descriptor: descriptor{number: -1}}
	address := unix.SockaddrUnix{Name: path}
	number, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return none, err
	}
	l := listener{descriptor: descriptorOf(away(int32(number))), path: path}
	if l.number < 0 {
		return none, unix.EMFILE
	}
	// Linux gives the file the mode of the socket.
	if err = unix.Fchmod(int(l.number), 0o600); err == nil {
		err = unix.Bind(int(l.number), &address)
	}
	if err == unix.EADDRINUSE && isStale(path) {
		_ = unix.Unlink(path)
		err = unix.Bind(int(l.number), &address)
	}
	bound := err == nil
	var stat unix.Stat_t
	if bound {
		err = unix.Lstat(path, &stat)
	}
	if err == nil && stat.Mode != unix.S_IFSOCK|0o600 {
		err = unix.EPERM // a file system that knows no modes, or it was replaced
	}
	if err == nil {
		err = unix.Listen(int(l.number), backlog)
	}
	if err != nil {
		if bound {
			l.unlink()
		}
		l.close()
		return none, err
	}
	return l, nil
}

// isStale reports whether the file is a socket of this user at which nobody listens.
func isStale(path string) bool {
	var stat unix.Stat_t
	if unix.Lstat(path, &stat) != nil || stat.Mode&unix.S_IFMT != unix.S_IFSOCK ||
		int(stat.Uid) != os.Geteuid() {
		return false
	}
	number, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer unix.Close(number)
	return unix.Connect(number, &unix.SockaddrUnix{Name: path}) == unix.ECONNREFUSED
}

// unlink ends the listening, which wakes the service, and removes the file unless it is another's
// by now: inodes of files are used again.
func (l *listener) unlink() {
	if l.ours() {
		_ = unix.Shutdown(int(l.number), unix.SHUT_RDWR)
	}
	if l.path != "" && isStale(l.path) {
		_ = unix.Unlink(l.path)
	}
}

// A client is a connection. The service answers one request of it at a time, and reads the next one
// when it has written the reply.
type client struct {
	descriptor
	number uint64 // in the order of arrival
	in     [unsafe.Sizeof(request{})]byte
	got    int

	// The reply that is being written, if until is not 0.
	head  reply
	body  unsafe.Pointer
	sent  uint64 // of the head and the body
	until int64
}

type service struct {
	source   Source
	listener listener
	clients  [Clients]client
	poll     [2 + Clients]unix.PollFd // wake, listener, clients
	arrived  uint64                   // clients that have come until now
	lookAt   int64
	acceptAt int64 // when to accept clients again, after there was no descriptor for one
	checkAt  int64 // when to look whether the descriptors are the service's own
	retryAt  int64 // when to try again to listen
	retry    int64 // the pause after that
	timeout  unix.Timespec
}

// What Serve hands over to the service's goroutine.
var handed struct {
	sync.Mutex
	running  bool
	changed  bool
	source   Source
	listener listener
	adopted  descriptor // the goroutine's listener
}

// Serve starts the service, or replaces what it serves and where it listens; an empty path means
// nowhere. A nil source ends it. The service notices when it is woken, or within a second. Nobody
// can connect any more to the former path when Serve has returned. With an error the service looks
// for deadlocks, and listens nowhere.
func Serve(source Source, path string) (err error) {
	handed.Lock()
	defer handed.Unlock()
	l := handed.listener
	if !handed.running {
		l = listener{descriptor: descriptor{number: -1}}
	}
	if source == nil || path != l.path || !l.ours() {
		l.unlink()
		if l.descriptor != handed.adopted {
			l.close()
		}
		l = listener{descriptor: descriptor{number: -1}}
		if source != nil && path != "" {
			l, err = listen(path)
		}
	}
	handed.source, handed.listener, handed.changed = source, l, true
	if source != nil && !handed.running {
		handed.running = true
		s := &service{listener: listener{descriptor: descriptor{number: -1}}}
		for i := range s.clients {
			s.clients[i].descriptor.number = -1
		}
		go s.run()
	}
	return err
}

// run allocates nothing: where the core is a guest, there is no garbage collector.
func (s *service) run() {
	for s.adopt() {
		s.step()
	}
}

// adopt takes over what Serve has handed over. It returns false when the service ends.
func (s *service) adopt() bool {
	handed.Lock()
	defer handed.Unlock()
	if !handed.changed {
		return true
	}
	handed.changed = false
	if s.listener.descriptor != handed.listener.descriptor {
		s.listener.close()
	}
	handed.adopted = handed.listener.descriptor
	ends := handed.source == nil
	if ends {
		for i := range s.clients {
			s.drop(i)
		}
		handed.running = false
	}
	if s.source != nil {
		s.source.Opened(listenerPlace, -1, 0)
	}
	s.source, s.listener = handed.source, handed.listener
	if !ends {
		s.lookAt, s.acceptAt, s.retryAt, s.retry = 0, 0, 0, firstRetry
		s.source.Opened(listenerPlace, s.listener.number, s.listener.inode)
		for i := range s.clients {
			c := &s.clients[i]
			s.source.Opened(clientPlace+i, c.descriptor.number, c.inode)
		}
	}
	return !ends
}

func monotonic() int64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return ts.Nano()
}

// step waits until there is something to do, and does it.
func (s *service) step() {
	wake, woken := s.source.Wake()
	at := monotonic()
	if woken || at >= s.lookAt {
		s.lookAt = max(s.source.Look(), at+shortestPause)
	}
	if at >= s.checkAt {
		s.check(at)
		s.checkAt = at + checkPeriod
	}
	until := min(s.lookAt, s.checkAt)
	s.poll[wakePlace] = unix.PollFd{Fd: wake, Events: unix.POLLIN}
	s.poll[1] = unix.PollFd{Fd: s.listener.number, Events: unix.POLLIN}
	if at < s.acceptAt {
		s.poll[1].Fd = -1
		until = min(until, s.acceptAt)
	}
	for i := range s.clients {
		c := &s.clients[i]
		events := int16(unix.POLLIN)
		if c.until != 0 {
			events = unix.POLLOUT
			until = min(until, c.until)
		}
		s.poll[2+i] = unix.PollFd{Fd: c.descriptor.number, Events: events}
	}
	if !s.wait(until) {
		return
	}
	at = monotonic()
	for i := range s.clients {
		if s.clients[i].descriptor.number >= 0 && !s.serve(i, s.poll[2+i].Revents, at) {
			s.drop(i)
		}
	}
	if s.poll[1].Revents != 0 {
		s.accept(at)
	}
}

// wait polls, and reports whether the events are filled in. The thread keeps no scheduler slot
// meanwhile.
func (s *service) wait(until int64) bool {
	s.timeout = unix.NsecToTimespec(max(until-monotonic(), 0))
	_, err := unix.Ppoll(s.poll[:], &s.timeout, nil)
	if err != nil && err != unix.EINTR { // no memory, or fewer descriptors are allowed
		s.timeout = unix.NsecToTimespec(second)
		_ = unix.Nanosleep(&s.timeout, nil)
	}
	return err == nil
}

// check drops what is not the service's own any more, and listens again.
func (s *service) check(at int64) {
	for i := range s.clients {
		if c := &s.clients[i]; c.descriptor.number >= 0 && !c.ours() {
			s.drop(i)
		}
	}
	if s.listener.path == "" || s.listener.ours() {
		return
	}
	// A program that has closed its standard streams expects their numbers for what it opens next.
	for number := range uintptr(3) {
		if _, err := unix.FcntlInt(number, unix.F_GETFD, 0); err != nil {
			return
		}
	}
	if at < s.retryAt {
		return
	}
	handed.Lock()
	defer handed.Unlock()
	if handed.changed {
		return
	}
	s.listener.descriptor.number = -1
	s.source.Opened(listenerPlace, -1, 0)
	s.listener.unlink()
	l, err := listen(s.listener.path)
	if err != nil {
		s.retryAt = at + s.retry
		s.retry = min(2*s.retry, longestRetry)
		return
	}
	s.retry = firstRetry
	s.listener, handed.listener, handed.adopted = l, l, l.descriptor
	s.source.Opened(listenerPlace, l.number, l.inode)
}

// accept accepts connections of this user.
func (s *service) accept(at int64) {
	for range acceptedAtOnce {
		if !s.listener.ours() {
			s.acceptAt = at + checkPeriod // check listens again
			return
		}
		number, _, errno := unix.Syscall6(unix.SYS_ACCEPT4, uintptr(s.listener.number), 0, 0,
			unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
		switch errno {
		case 0:
			s.welcome(away(int32(number)))
		case unix.EAGAIN:
			return
		case unix.EINTR, unix.ECONNABORTED:
		default: // no descriptors, or no memory
			s.acceptAt = at + checkPeriod
			return
		}
	}
}

func (s *service) welcome(number int32) {
	d := descriptorOf(number)
	if d.number < 0 {
		return
	}
	var peer unix.Ucred
	size := uint32(unsafe.Sizeof(peer))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(d.number), unix.SOL_SOCKET,
		unix.SO_PEERCRED, uintptr(unsafe.Pointer(&peer)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 || int(peer.Uid) != os.Geteuid() {
		d.close()
		return
	}
	place := 0
	for i := range s.clients {
		if s.clients[i].descriptor.number < 0 {
			place = i
			break
		}
		if s.clients[i].number < s.clients[place].number {
			place = i
		}
	}
	s.drop(place)
	s.arrived++
	s.clients[place] = client{descriptor: d, number: s.arrived}
	s.source.Opened(clientPlace+place, d.number, d.inode)
}

func (s *service) drop(place int) {
	c := &s.clients[place]
	if c.descriptor.number < 0 {
		return
	}
	s.source.Opened(clientPlace+place, -1, 0)
	c.close()
	s.finish(c)
}

// finish ends a reply.
func (s *service) finish(c *client) {
	if c.body != nil {
		s.source.Release(c.body)
		c.body = nil
	}
	c.until = 0
}

// serve does what a client's connection is ready for. It returns false if the client is to be
// dropped.
func (s *service) serve(place int, events int16, at int64) bool {
	c := &s.clients[place]
	if c.until != 0 && at >= c.until {
		return false
	}
	if events == 0 {
		return true
	}
	if !c.ours() {
		return false
	}
	if c.until == 0 {
		n, err := unix.Read(int(c.descriptor.number), c.in[c.got:])
		switch {
		case err == unix.EAGAIN || err == unix.EINTR:
			return true
		case err != nil || n <= 0:
			return false
		}
		if c.got += n; c.got < len(c.in) {
			return bytes.HasPrefix(magic[:], c.in[:min(c.got, len(magic))])
		}
		c.got = 0
		asked := parse(&c.in)
		if !asked.valid() {
			return false
		}
		c.head = reply{magic: Magic}
		c.body, c.head.size, c.head.errno = s.source.Answer(asked.kind, asked.argument)
		if c.head.errno != 0 {
			c.head.size = 0
		}
		c.sent, c.until = 0, monotonic()+readLimit
	}
	return s.write(c)
}

// write writes what fits of the head and the body.
func (s *service) write(c *client) bool {
	const headSize = uint64(unsafe.Sizeof(c.head))
	for c.sent < headSize+c.head.size {
		var from unsafe.Pointer
		var size uint64
		if c.sent < headSize {
			from, size = unsafe.Add(unsafe.Pointer(&c.head), c.sent), headSize-c.sent
		} else {
			from, size = unsafe.Add(c.body, c.sent-headSize), headSize+c.head.size-c.sent
		}
		n, _, errno := unix.Syscall6(unix.SYS_SENDTO, uintptr(c.descriptor.number), uintptr(from),
			uintptr(size), unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			c.sent += uint64(n)
		case unix.EAGAIN, unix.EINTR:
			return true
		default:
			return false
		}
	}
	s.finish(c)
	return true
}
