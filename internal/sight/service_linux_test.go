package sight

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A fake is a Source with a pipe that wakes the service.
type fake struct {
	read, write int
	looks       atomic.Int64
	looked      chan struct{} // one for each look, while there is room
	lookAgain   atomic.Int64
	large       []byte
	rounds      atomic.Int64
	answered    atomic.Int64
	released    atomic.Int64

	mutex  sync.Mutex
	opened [1 + Clients]descriptor
}

const tooLarge = 77

func (f *fake) Look() int64 {
	f.looks.Add(1)
	select {
	case f.looked <- struct{}{}:
	default:
	}
	return f.lookAgain.Load()
}

func (f *fake) Wake() (int32, bool) {
	f.rounds.Add(1)
	var buffer [64]byte
	n, _ := unix.Read(f.read, buffer[:])
	return int32(f.read), n > 0
}

func (f *fake) wake() { _, _ = unix.Write(f.write, []byte{1}) }

var hello = []byte(`{"pid": 1}`)

func (f *fake) Answer(kind uint32, argument uint64) (unsafe.Pointer, uint64, int32) {
	switch {
	case kind == Hello:
		f.answered.Add(1)
		return unsafe.Pointer(&hello[0]), uint64(len(hello)), 0
	case kind == Image:
		f.answered.Add(1)
		return unsafe.Pointer(&f.large[0]), uint64(len(f.large)), 0
	case argument == tooLarge:
		return nil, 0, int32(unix.EINVAL)
	}
	return nil, 0, 0
}

func (f *fake) Release(unsafe.Pointer) { f.released.Add(1) }

func (f *fake) Opened(place int, number int32, inode uint64) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.opened[place] = descriptor{number, inode}
}

func (f *fake) open(place int) descriptor {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	return f.opened[place]
}

// serve starts a service until the test ends, with images of that size, and returns its socket.
func serve(t testing.TB, large int) (*fake, string) {
	t.Helper()
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		t.Fatal(err)
	}
	f := &fake{
		read: pipe[0], write: pipe[1], looked: make(chan struct{}, 1), large: make([]byte, large),
	}
	f.lookAgain.Store(forever)
	for i := range f.opened {
		f.opened[i].number = -1
	}
	path := filepath.Join(t.TempDir(), "s")
	if err := Serve(f, path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop(t, f)
		_ = unix.Close(f.read)
		_ = unix.Close(f.write)
	})
	return f, path
}

func stop(t testing.TB, f *fake) {
	t.Helper()
	if err := Serve(nil, ""); err != nil {
		t.Error(err)
	}
	f.wake()
	eventually(t, "the service ends", func() bool {
		handed.Lock()
		defer handed.Unlock()
		return !handed.running
	})
}

func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for range 20000 {
		if is() {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("never: " + what)
}

func connect(t testing.TB, path string) *net.UnixConn {
	t.Helper()
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func frame(magic, kind uint32, argument uint64) []byte {
	b := binary.NativeEndian.AppendUint32(nil, magic)
	b = binary.NativeEndian.AppendUint32(b, kind)
	return binary.NativeEndian.AppendUint64(b, argument)
}

func send(t testing.TB, c net.Conn, kind uint32, argument uint64) {
	t.Helper()
	if _, err := c.Write(frame(Magic, kind, argument)); err != nil {
		t.Fatal(err)
	}
}

func receive(t testing.TB, c net.Conn) (errno int32, body []byte) {
	t.Helper()
	var head [16]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		t.Fatal(err)
	}
	if got := binary.NativeEndian.Uint32(head[:]); got != Magic {
		t.Fatalf("magic: %#x", got)
	}
	body = make([]byte, binary.NativeEndian.Uint64(head[8:]))
	if _, err := io.ReadFull(c, body); err != nil {
		t.Fatal(err)
	}
	return int32(binary.NativeEndian.Uint32(head[4:])), body
}

func isClosed(t testing.TB, c net.Conn) bool {
	t.Helper()
	_, err := c.Read(make([]byte, 1))
	return errors.Is(err, io.EOF) || errors.Is(err, unix.ECONNRESET)
}

func TestRequestsAreAnswered(t *testing.T) {
	f, path := serve(t, 4<<20)
	c := connect(t, path)
	for range 3 {
		send(t, c, Hello, 0)
		if errno, body := receive(t, c); errno != 0 || string(body) != string(hello) {
			t.Errorf("%d %q", errno, body)
		}
		send(t, c, Image, 0)
		if errno, body := receive(t, c); errno != 0 || len(body) != len(f.large) {
			t.Errorf("%d, %d bytes", errno, len(body))
		}
		send(t, c, Level, 1)
		if errno, body := receive(t, c); errno != 0 || len(body) != 0 {
			t.Errorf("%d %q", errno, body)
		}
		send(t, c, Level, tooLarge)
		if errno, body := receive(t, c); errno != int32(unix.EINVAL) || len(body) != 0 {
			t.Errorf("%d %q", errno, body)
		}
	}
	eventually(t, "replies are released", func() bool {
		return f.released.Load() == f.answered.Load()
	})
}

func TestARequestMayComeInPiecesAndTwoAtOnce(t *testing.T) {
	_, path := serve(t, 4<<20)
	c := connect(t, path)
	for _, b := range frame(Magic, Hello, 0) {
		if _, err := c.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	receive(t, c)
	if _, err := c.Write(append(frame(Magic, Hello, 0), frame(Magic, Image, 0)...)); err != nil {
		t.Fatal(err)
	}
	receive(t, c)
	receive(t, c)
}

func TestABadFrameClosesTheConnection(t *testing.T) {
	_, path := serve(t, 4<<20)
	good := connect(t, path)
	for _, bad := range [][]byte{
		frame(Magic+1, Hello, 0), frame(Magic, 0, 0), frame(Magic, 4, 0), []byte("GET / HTTP"), {0},
	} {
		c := connect(t, path)
		if _, err := c.Write(bad); err != nil {
			t.Fatal(err)
		}
		if !isClosed(t, c) {
			t.Errorf("%q: still open", bad)
		}
	}
	send(t, good, Hello, 0)
	receive(t, good)
}

func TestTheOldestClientIsDroppedForTheNinth(t *testing.T) {
	_, path := serve(t, 4<<20)
	var clients []*net.UnixConn
	for range Clients + 2 {
		c := connect(t, path)
		send(t, c, Hello, 0)
		receive(t, c)
		clients = append(clients, c)
	}
	for i, c := range clients {
		if i < 2 {
			if !isClosed(t, c) {
				t.Errorf("client %d is still connected", i)
			}
			continue
		}
		send(t, c, Hello, 0)
		receive(t, c)
	}
}

func TestAClientThatDoesNotReadStopsNobodyAndIsDropped(t *testing.T) {
	f, path := serve(t, 4<<20)
	slow := connect(t, path)
	send(t, slow, Image, 0)
	eventually(t, "the reply is begun", func() bool { return f.answered.Load() == 1 })
	f.lookAgain.Store(0) // look all the time
	f.wake()
	for range 10 {
		<-f.looked
	}
	f.lookAgain.Store(forever)
	other := connect(t, path)
	send(t, other, Hello, 0)
	receive(t, other)
	eventually(t, "the slow client is dropped", func() bool { return f.released.Load() == 2 })
	if n, err := io.Copy(io.Discard, slow); n >= int64(len(f.large)) || err != nil {
		t.Errorf("the slow client read %d bytes, %v", n, err)
	}
}

func TestTheServiceLooksWhenItIsDueAndWhenItIsWoken(t *testing.T) {
	f, _ := serve(t, 4<<20)
	<-f.looked
	before := f.looks.Load()
	f.wake()
	<-f.looked
	if f.looks.Load() == before {
		t.Error("it was woken, and did not look")
	}
	f.lookAgain.Store(monotonic() + int64(20*time.Millisecond))
	f.wake()
	<-f.looked
	<-f.looked
}

func TestOnlyThisUserCanConnect(t *testing.T) {
	_, path := serve(t, 4<<20)
	info, err := os.Lstat(path)
	if err != nil || info.Mode() != os.ModeSocket|0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
}

func TestTheModeDoesNotDependOnTheMask(t *testing.T) {
	defer unix.Umask(unix.Umask(0))
	TestOnlyThisUserCanConnect(t)
}

func TestASocketOfADeadProcessIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := listen(path); err != unix.EADDRINUSE {
		t.Errorf("while another listens: %v", err)
	}
	l.close()
	l2, err := listen(path)
	if err != nil {
		t.Fatalf("it is dead: %v", err)
	}
	l.unlink() // the file is another's by now
	if _, err := os.Lstat(path); err != nil {
		t.Error(err)
	}
	l2.unlink()
	l2.close()
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := listen(path); err != unix.EADDRINUSE {
		t.Errorf("a file of other content: %v", err)
	}
	if content, _ := os.ReadFile(path); string(content) != "mine" {
		t.Error("the file was replaced")
	}
}

func TestThePathMayChangeAndTheServiceEnds(t *testing.T) {
	f, path := serve(t, 4<<20)
	old := connect(t, path)
	send(t, old, Hello, 0)
	receive(t, old)
	if err := Serve(f, path+"2"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the old file: %v", err)
	}
	c := connect(t, path+"2") // nobody has woken the service: it notices within a second
	send(t, c, Hello, 0)
	receive(t, c)
	if err := Serve(f, "/no/such/folder/s"); err != unix.ENOENT {
		t.Errorf("%v", err)
	}
	stop(t, f)
	if _, err := os.Lstat(path + "2"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file: %v", err)
	}
	if !isClosed(t, c) {
		t.Error("the client is still connected")
	}
	for place := range f.opened {
		if d := f.open(place); d.number != -1 {
			t.Errorf("%d is open at %d", d.number, place)
		}
	}
}

// A program that becomes a daemon closes all descriptors and gets the same numbers for its own
// files.
func TestClosedDescriptorsAreReplacedAndForeignOnesLeftAlone(t *testing.T) {
	f, path := serve(t, 4<<20)
	c := connect(t, path)
	send(t, c, Hello, 0)
	receive(t, c)
	f.mutex.Lock()
	var files []*os.File
	for _, d := range f.opened {
		if d.number < 0 {
			continue
		}
		file, err := os.CreateTemp(t.TempDir(), "")
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Dup3(int(file.Fd()), int(d.number), 0); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
		defer unix.Close(int(d.number))
	}
	before := f.opened
	f.mutex.Unlock()
	if len(files) != 2 {
		t.Fatalf("%d descriptors", len(files))
	}
	if !isClosed(t, c) {
		t.Error("the client is still connected")
	}
	eventually(t, "the service listens again", func() bool {
		d := f.open(listenerPlace)
		return d.number >= 0 && d != before[listenerPlace]
	})
	again := connect(t, path)
	send(t, again, Image, 0)
	receive(t, again)
	for i, file := range files {
		if info, err := file.Stat(); err != nil || info.Size() != 0 {
			t.Errorf("file %d: %v %v", i, info.Size(), err)
		}
		var stat unix.Stat_t
		if err := unix.Fstat(int(before[i].number), &stat); err != nil {
			t.Errorf("the program's descriptor %d is closed: %v", before[i].number, err)
		}
	}
}

func TestTheServiceDoesNotSpinWithoutDescriptors(t *testing.T) {
	f, path := serve(t, 4<<20)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	c := connect(t, path)
	send(t, c, Hello, 0)
	receive(t, c)
	number, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(number)
	few := limit
	few.Cur = uint64(number) + 20
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	for full := false; !full; {
		null, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if full = err == unix.EMFILE; !full {
			defer unix.Close(null)
		}
	}
	err = unix.Connect(number, &unix.SockaddrUnix{Name: path})
	rounds := func() int64 { return f.rounds.Load() }
	before := rounds()
	for range 100 { // other clients are answered meanwhile
		send(t, c, Hello, 0)
		receive(t, c)
	}
	spent := rounds() - before
	if e := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); e != nil || err != nil {
		t.Fatal(e, err)
	}
	if spent > 300 {
		t.Errorf("%d rounds for 100 requests", spent)
	}
	if _, err := unix.Write(number, frame(Magic, Hello, 0)); err != nil {
		t.Fatal(err)
	}
	if n, err := unix.Read(number, make([]byte, 16)); n != 16 || err != nil {
		t.Error(n, err)
	}
}

func TestTheServiceAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	f, path := serve(t, 4<<20)
	number, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(number)
	address := unix.SockaddrUnix{Name: path}
	if err := unix.Connect(number, &address); err != nil {
		t.Fatal(err)
	}
	asked := append(frame(Magic, Hello, 0), frame(Magic, Level, 1)...)
	answer := make([]byte, 16+len(hello)+16)
	wake := []byte{1}
	round := func() {
		_, _ = unix.Write(f.write, wake)
		_, _ = unix.Write(number, asked)
		for got := 0; got < len(answer); {
			n, err := unix.Read(number, answer[got:])
			if n <= 0 || err != nil {
				t.Fatal(n, err)
			}
			got += n
		}
	}
	round()
	if n := mallocs(func() {
		for range 1000 {
			round()
		}
	}); n > 100 {
		t.Errorf("%d allocations in 1000 rounds", n)
	}
	// Clients that come and go, with bad frames too.
	if n := mallocs(func() {
		for i := range 1000 {
			c, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			if err := unix.Connect(c, &address); err != nil {
				t.Fatal(err)
			}
			_, _ = unix.Write(c, asked[:i%len(asked)])
			_ = unix.Close(c)
		}
	}); n > 100 {
		t.Errorf("%d allocations for 1000 clients", n)
	}
}

// mallocs counts the allocations of the whole program.
func mallocs(during func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	during()
	runtime.ReadMemStats(&after)
	return after.Mallocs - before.Mallocs
}

func FuzzService(f *testing.F) {
	f.Add(frame(Magic, Hello, 0))
	f.Add(append(frame(Magic, Image, 3), frame(Magic, Level, 1)...))
	f.Add(append(frame(Magic, Hello, 0), 1, 2, 3))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	_, path := serve(f, 100)
	f.Fuzz(func(t *testing.T, sent []byte) {
		c := connect(t, path)
		defer c.Close()
		go func() {
			_, _ = c.Write(sent)
			_ = c.CloseWrite()
		}()
		received, err := io.ReadAll(c)
		if err != nil && !errors.Is(err, unix.ECONNRESET) {
			t.Fatal(err)
		}
		if err == nil {
			check(t, sent, received)
		}
		good := connect(t, path)
		defer good.Close()
		send(t, good, Hello, 0)
		if _, body := receive(t, good); string(body) != string(hello) {
			t.Fatalf("%q", body)
		}
	})
}

// check compares the replies with the valid requests that come first.
func check(t *testing.T, sent, received []byte) {
	t.Helper()
	for ; len(sent) >= 16; sent = sent[16:] {
		r := parse((*[16]byte)(sent))
		if !r.valid() {
			break
		}
		size := 0
		switch r.kind {
		case Hello:
			size = len(hello)
		case Image:
			size = 100
		}
		if len(received) < 16+size {
			t.Fatalf("%d bytes for %+v", len(received), r)
		}
		if got := binary.NativeEndian.Uint64(received[8:]); got != uint64(size) {
			t.Fatalf("%d bytes for %+v", got, r)
		}
		received = received[16+size:]
	}
	if len(received) != 0 {
		t.Fatalf("%d bytes too many", len(received))
	}
}
