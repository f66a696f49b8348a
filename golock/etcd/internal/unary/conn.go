// Package unary calls methods of a gRPC server in the calling thread, which writes the request and
// reads the answer itself. gRPC's own client leaves both to goroutines. A thread that comes from C
// has to be switched away from and back for that, which takes longer than etcd needs for an answer.
//
// golang.org/x/net/http2 frames the connection. It carries one call at a time.
package unary

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strconv"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// errNotYet is a timeout, after which a TLS connection can be used further.
var errNotYet error = os.ErrDeadlineExceeded

// ErrTooLarge is returned for a request of which nothing was sent.
var ErrTooLarge = errors.New("unary: the request does not fit into a frame, or the server's window")

const (
	prefixSize     = 5           // of a message: a flag and the length
	frameSize      = 16384       // the largest frame that every peer takes
	defaultWindow  = 65535       // bytes that a peer takes at first
	answerWindow   = 1<<30 - 1   // bytes of an answer that the server may send
	lastStream     = 1 << 30     // no more calls follow on the connection
	writeTimeout   = time.Second // of a request, which the socket's buffer takes at once
	headerListSize = 1 << 16
)

// A Conn is a connection to a server. Only one goroutine may use it at a time.
type Conn struct {
	socket    *socket
	stream    net.Conn // the socket, or TLS over it
	authority string
	scheme    string

	in     bytes.Buffer // received, and not handled yet
	chunk  [frameSize]byte
	out    bytes.Buffer // to send with the next request
	framer *http2.Framer
	fields *hpack.Encoder
	block  bytes.Buffer

	window       int64 // bytes that the server takes before it sends WINDOW_UPDATE
	streamWindow int64 // the same for a call alone
	consumed     int64 // bytes received since the server's window was raised last
	silent       bool  // the server has sent nothing yet
	leaving      bool  // it wants no more calls
	pinged       bool  // and there is no answer yet

	id       uint32 // of the call's stream
	answered bool
	failed   error // of the call: its stream was reset
	body     []byte
	code     codes.Code
	message  string
}

// Dial connects to a server, with TLS if there is a config. authority is the name of the server.
func Dial(ctx context.Context, network, address, authority string, config *tls.Config) (*Conn,
	error) {
	var dialer net.Dialer
	connection, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	socket, err := newSocket(connection)
	if err != nil {
		return nil, err
	}
	c := &Conn{
		socket: socket, stream: socket, authority: authority, scheme: "http",
		window: defaultWindow, streamWindow: defaultWindow, silent: true,
	}
	deadline, _ := ctx.Deadline()
	if config != nil {
		config = config.Clone()
		config.NextProtos = []string{"h2"}
		secure := tls.Client(socket, config)
		socket.until = deadline
		if err := secure.HandshakeContext(ctx); err != nil {
			socket.free()
			return nil, err
		}
		c.stream, c.scheme = secure, "https"
	}
	c.framer = http2.NewFramer(&c.out, &c.in)
	c.framer.SetMaxReadFrameSize(frameSize)
	c.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	c.framer.MaxHeaderListSize = headerListSize
	c.fields = hpack.NewEncoder(&c.block)
	c.out.WriteString(http2.ClientPreface)
	_ = c.framer.WriteSettings(
		http2.Setting{ID: http2.SettingEnablePush, Val: 0},
		http2.Setting{ID: http2.SettingInitialWindowSize, Val: answerWindow},
	)
	_ = c.framer.WriteWindowUpdate(0, answerWindow-defaultWindow)
	if err := c.flush(); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Close closes the connection.
func (c *Conn) Close() { c.socket.free() }

// Interrupt makes a call of another goroutine to Receive return.
func (c *Conn) Interrupt() { c.socket.shutdown() }

// Usable handles what the server has sent since the last call, and reports whether another call can
// be made. It does not wait.
func (c *Conn) Usable() bool {
	for {
		err := c.read(time.Time{})
		if err == errNotYet {
			break
		}
		if err != nil || c.handle() != nil {
			return false
		}
	}
	return !c.leaving && c.id < lastStream
}

// Send sends a request, to which Receive gets the answer. metadata are pairs of names and values.
func (c *Conn) Send(method string, request []byte, metadata ...string) error {
	return c.send(method, request, true, metadata)
}

// Open sends the first message of a call to which many messages are the answer: see Next. There can
// be no other call on the connection afterwards.
func (c *Conn) Open(method string, message []byte, metadata ...string) error {
	return c.send(method, message, false, metadata)
}

// Greet waits until the server sends its settings, with which it begins, or until a moment. A
// server that hangs can be connected to.
func (c *Conn) Greet(until time.Time) error {
	if err := c.await(&c.silent, until); err != nil {
		return err
	}
	return c.flush() // the acknowledgement: the first call may come much later
}

// CheckAlive returns an error if the server does not answer a ping until a moment. What else it
// sends is kept.
func (c *Conn) CheckAlive(until time.Time) error {
	c.pinged = true
	if err := c.framer.WritePing(false, [8]byte{}); err != nil {
		return err
	}
	if err := c.flush(); err != nil {
		return err
	}
	return c.await(&c.pinged, until)
}

func (c *Conn) await(missing *bool, until time.Time) error {
	for *missing && time.Now().Before(until) {
		if err := c.read(until); err != nil && err != errNotYet {
			return err
		}
		if err := c.handle(); err != nil {
			return err
		}
	}
	if *missing {
		return errNotYet
	}
	return nil
}

func (c *Conn) send(method string, request []byte, last bool, metadata []string) error {
	size := int64(prefixSize + len(request))
	if size > frameSize || size > c.window || size > c.streamWindow {
		return ErrTooLarge
	}
	if c.id == 0 {
		c.id = 1
	} else {
		c.id += 2
	}
	c.answered, c.failed, c.body, c.code, c.message = false, nil, nil, codes.Unknown, ""
	c.block.Reset()
	c.field(":method", "POST")
	c.field(":scheme", c.scheme)
	c.field(":path", method)
	c.field(":authority", c.authority)
	c.field("content-type", "application/grpc")
	c.field("te", "trailers")
	for i := 0; i+1 < len(metadata); i += 2 {
		c.field(metadata[i], metadata[i+1])
	}
	if err := c.writeHeaders(); err != nil {
		return err
	}
	message := make([]byte, size)
	binary.BigEndian.PutUint32(message[1:], uint32(len(request)))
	copy(message[prefixSize:], request)
	if err := c.framer.WriteData(c.id, last, message); err != nil {
		return err
	}
	c.window -= size
	return c.flush()
}

// writeHeaders writes the fields. A token of a user may be too long for one frame.
func (c *Conn) writeHeaders() error {
	fragment := c.block.Next(frameSize)
	err := c.framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: c.id, BlockFragment: fragment, EndHeaders: c.block.Len() == 0,
	})
	for err == nil && c.block.Len() > 0 {
		fragment = c.block.Next(frameSize)
		err = c.framer.WriteContinuation(c.id, c.block.Len() == 0, fragment)
	}
	return err
}

func (c *Conn) field(name, value string) {
	_ = c.fields.WriteField(hpack.HeaderField{Name: name, Value: value})
}

func (c *Conn) flush() error {
	defer c.out.Reset()
	_, err := c.stream.Write(c.out.Bytes())
	if err == nil {
		return nil
	}
	// The server has closed the connection. It may have said why, as a TLS alert.
	said := c.read(time.Time{})
	for said == nil {
		said = c.read(time.Time{})
	}
	if said == errNotYet {
		return err
	}
	return said
}

// Receive waits for the answer of the call. It reports whether there is one: there is none yet if
// the time is over, or if a signal handler has run in this thread. Another call of Receive then
// goes on. If the server has refused, the error has its gRPC status; any other error means that the
// connection has failed.
func (c *Conn) Receive(until time.Time) (answer []byte, answered bool, err error) {
	for {
		if err := c.handle(); err != nil {
			return nil, false, err
		}
		if c.failed != nil {
			return nil, true, c.failed
		}
		if c.answered {
			return c.result()
		}
		switch err := c.read(until); err {
		case nil:
		case errNotYet:
			return nil, false, nil
		default:
			return nil, false, err
		}
	}
}

// Next waits for the next message of a call that Open has begun, and reports whether there is one.
// There is none if the time is over. It returns io.EOF at the end of the call.
func (c *Conn) Next(until time.Time) (message []byte, arrived bool, err error) {
	for {
		if err := c.handle(); err != nil {
			return nil, false, err
		}
		if len(c.body) >= prefixSize {
			end := prefixSize + int(binary.BigEndian.Uint32(c.body[1:]))
			if len(c.body) >= end {
				message, c.body = c.body[prefixSize:end], c.body[end:]
				return message, true, nil
			}
		}
		switch {
		case c.failed != nil:
			return nil, false, c.failed
		case c.answered && c.code != codes.OK:
			return nil, false, status.Error(c.code, c.message)
		case c.answered || c.leaving:
			return nil, false, io.EOF
		}
		if c.out.Len() > 0 {
			if err := c.flush(); err != nil {
				return nil, false, err
			}
		}
		if err := c.read(until); err != nil {
			if err == errNotYet {
				err = nil
			}
			return nil, false, err
		}
	}
}

func (c *Conn) result() ([]byte, bool, error) {
	if c.code != codes.OK {
		return nil, true, status.Error(c.code, c.message)
	}
	if len(c.body) < prefixSize || c.body[0] != 0 ||
		int(binary.BigEndian.Uint32(c.body[1:])) != len(c.body)-prefixSize {
		return nil, true, errors.New("unary: the answer is no message")
	}
	return c.body[prefixSize:], true, nil
}

func (c *Conn) read(until time.Time) error {
	c.socket.until = until
	n, err := c.stream.Read(c.chunk[:])
	c.in.Write(c.chunk[:n])
	if n > 0 {
		return nil
	}
	return err
}

// handle handles the frames that have arrived whole.
func (c *Conn) handle() error {
	for c.hasFrame() {
		frame, err := c.framer.ReadFrame()
		if err != nil {
			return err
		}
		if err := c.handleFrame(frame); err != nil {
			return err
		}
	}
	return nil
}

// hasFrame reports whether a frame has arrived whole, with those that continue its fields. A frame
// that is too long is left to the framer.
func (c *Conn) hasFrame() bool {
	const headerSize = 9
	for in := c.in.Bytes(); len(in) >= headerSize; {
		length := int(in[0])<<16 | int(in[1])<<8 | int(in[2])
		if length > frameSize {
			return true
		}
		if len(in) < headerSize+length {
			return false
		}
		kind, ends := http2.FrameType(in[3]), http2.Flags(in[4]).Has(http2.FlagHeadersEndHeaders)
		if ends || kind != http2.FrameHeaders && kind != http2.FrameContinuation {
			return true
		}
		in = in[headerSize+length:]
	}
	return false
}

func (c *Conn) handleFrame(frame http2.Frame) error {
	switch frame := frame.(type) {
	case *http2.DataFrame:
		c.consumed += int64(frame.Length)
		if c.consumed > answerWindow/2 {
			_ = c.framer.WriteWindowUpdate(0, uint32(c.consumed))
			if frame.StreamID == c.id && !frame.StreamEnded() {
				_ = c.framer.WriteWindowUpdate(c.id, uint32(c.consumed))
			}
			c.consumed = 0
		}
		if frame.StreamID == c.id {
			c.body = append(c.body, frame.Data()...)
			c.answered = c.answered || frame.StreamEnded()
		}
	case *http2.MetaHeadersFrame:
		if frame.StreamID == c.id {
			return c.handleFields(frame)
		}
	case *http2.RSTStreamFrame:
		if frame.StreamID == c.id && !c.answered {
			c.failed = fmt.Errorf("unary: the server has reset the call: %v", frame.ErrCode)
		}
	case *http2.GoAwayFrame:
		c.leaving = true
		if frame.LastStreamID < c.id && !c.answered {
			c.failed = fmt.Errorf("unary: the server goes away: %v", frame.ErrCode)
		}
	case *http2.WindowUpdateFrame:
		if frame.StreamID == 0 {
			c.window += int64(frame.Increment)
		}
	case *http2.PingFrame:
		if !frame.IsAck() {
			return c.framer.WritePing(true, frame.Data)
		}
		c.pinged = false
	case *http2.SettingsFrame:
		if frame.IsAck() {
			return nil
		}
		c.silent = false
		if size, set := frame.Value(http2.SettingInitialWindowSize); set {
			c.streamWindow = int64(size)
		}
		if size, set := frame.Value(http2.SettingHeaderTableSize); set {
			c.fields.SetMaxDynamicTableSizeLimit(size)
		}
		return c.framer.WriteSettingsAck()
	}
	return nil
}

func (c *Conn) handleFields(frame *http2.MetaHeadersFrame) error {
	for _, field := range frame.Fields {
		switch field.Name {
		case ":status":
			if field.Value != "200" {
				return fmt.Errorf("unary: HTTP status %s", field.Value)
			}
		case "grpc-status":
			code, err := strconv.ParseUint(field.Value, 10, 32)
			if err != nil {
				return fmt.Errorf("unary: status: %w", err)
			}
			c.code = codes.Code(code)
		case "grpc-message":
			c.message = field.Value
			if message, err := url.PathUnescape(field.Value); err == nil {
				c.message = message
			}
		}
	}
	c.answered = c.answered || frame.StreamEnded()
	return nil
}
