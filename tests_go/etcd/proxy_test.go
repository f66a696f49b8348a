package etcd_test

import (
	"io"
	"net"
	"sync"
	"testing"
)

// A proxy stands between a client and an endpoint of this process. It can reset connections, and
// hold back what a test sends until it says so. A network can lose packets: see network.
type proxy struct {
	listener net.Listener
	target   string

	mu          sync.Mutex
	changed     sync.Cond
	hangs, cut  bool
	mute        bool // it passes on no answers
	connections map[net.Conn]bool
	given       int // up by clients
}

func startProxy(t testing.TB, target string) *proxy {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: listener, target: target, connections: map[net.Conn]bool{}}
	p.changed.L = &p.mu
	t.Cleanup(func() {
		_ = listener.Close()
		p.refuse(true)
		p.hang(false)
		p.silence(false)
	})
	go p.serve()
	return p
}

func (p *proxy) address() string { return p.listener.Addr().String() }

// hang makes the proxy pass nothing on, as a network does that loses all packets.
func (p *proxy) hang(hangs bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hangs = hangs
	p.changed.Broadcast()
}

// silence makes the proxy pass on requests alone.
func (p *proxy) silence(mute bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mute = mute
	p.changed.Broadcast()
}

// refuse makes the proxy reset all connections, as a firewall or a missing server does.
func (p *proxy) refuse(cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = cut
	if cut {
		for each := range p.connections {
			_ = each.Close()
		}
		p.connections = map[net.Conn]bool{}
	}
}

// count returns how many connections there are, and how many clients have given up so far.
func (p *proxy) count() (connections, given int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.connections) / 2, p.given
}

func (p *proxy) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil || !p.admit(client, server) {
			_ = client.Close()
			if err == nil {
				_ = server.Close()
			}
			continue
		}
		go p.pass(client, server, true)
		go p.pass(server, client, false)
	}
}

func (p *proxy) admit(both ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, each := range both {
		p.connections[each] = true
	}
	if p.cut {
		for _, each := range both {
			delete(p.connections, each)
		}
	}
	return !p.cut
}

func (p *proxy) pass(to io.WriteCloser, from io.ReadCloser, answers bool) {
	defer to.Close()
	defer from.Close()
	buffer := make([]byte, 1<<16)
	for {
		n, err := from.Read(buffer)
		p.mu.Lock()
		if err != nil && !answers {
			p.given++
		}
		for (p.hangs || p.mute && answers) && !p.cut {
			p.changed.Wait()
		}
		p.mu.Unlock()
		if err != nil {
			return
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}
