package etcd_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// A network is a bridge and its hosts, each a network namespace that a cable (veth) joins to it.
// What it loses, it loses without a word: no connection is reset, and nobody says that a host
// cannot be reached. A proxy cannot do that: its own kernel acknowledges what it holds back.
type network struct {
	origin netns.NsHandle // the bridge's
	links  *netlink.Handle
	bridge int
	hosts  []*host
	test   *host // only what pass needs
}

// A host is where a process has its sockets. One that is nil is where the test has its own.
type host struct {
	network   *network
	namespace netns.NsHandle
	links     *netlink.Handle
	address   net.IP
	hardware  net.HardwareAddr
	cable     netlink.Link // its end at the bridge
	device    int          // its end at the host
}

// nobody is the hardware address of no host.
var nobody = net.HardwareAddr{2, 0, 0, 0, 0, 0xff}

const noNamespaces = 77 // the status of a child that could not make its network

// inNetwork runs a test in a child process that has a network of its own. The child is the root of
// a user namespace, so it needs no privileges, and the first process of a PID namespace, so nothing
// is left when it ends.
func inNetwork(t *testing.T, test func(*network)) {
	t.Helper()
	if os.Getenv("GOLOCK_NETWORK") != "" {
		n, err := newNetwork()
		if err != nil {
			fmt.Println(err)
			os.Exit(noNamespaces)
		}
		test(n)
		return
	}
	arguments := []string{"-test.v", "-test.run=^" + t.Name() + "$"}
	if deadline, limited := t.Deadline(); limited {
		left := time.Until(deadline) - 5*time.Second // to print what hangs
		arguments = append(arguments, "-test.timeout="+left.String())
	}
	child := exec.Command(os.Args[0], arguments...)
	child.Env = append(os.Environ(), "GOLOCK_NETWORK=1")
	child.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNET | unix.CLONE_NEWPID | unix.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
	}
	runtime.LockOSThread() // the signal comes when this thread ends
	defer runtime.UnlockOSThread()
	output, err := child.CombinedOutput()
	var ended *exec.ExitError
	switch {
	case err == nil:
		t.Logf("%s", output)
	case !errors.As(err, &ended):
		t.Skip("there are no namespaces: ", err)
	case ended.ExitCode() == noNamespaces:
		lines := strings.Split(strings.TrimSpace(string(output)), "\n")
		t.Skip("there are no namespaces: ", lines[len(lines)-1])
	default:
		t.Fatalf("%v\n%s", err, output)
	}
}

func newNetwork() (*network, error) {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return nil, fmt.Errorf("private mounts: %w", err)
	}
	// Processes of this PID namespace look for each other in /proc.
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return nil, fmt.Errorf("mount of /proc: %w", err)
	}
	// Members keep their data there, which goes with the last process.
	if err := unix.Mount("tmpfs", "/dev/shm", "tmpfs", 0, ""); err != nil {
		return nil, fmt.Errorf("mount of /dev/shm: %w", err)
	}
	origin, err := netns.Get()
	if err != nil {
		return nil, err
	}
	n := &network{origin: origin}
	if n.links, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		return nil, err
	}
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "hub"}}
	if err := n.links.LinkAdd(bridge); err != nil {
		return nil, fmt.Errorf("a bridge: %w", err)
	}
	n.bridge = bridge.Index
	n.test = &host{network: n, links: n.links, device: bridge.Index}
	address := &netlink.Addr{IPNet: subnet(net.IPv4(10, 0, 0, 254))}
	return n, errors.Join(n.links.AddrAdd(bridge, address), n.links.LinkSetUp(bridge),
		up(n.links, "lo"))
}

func subnet(address net.IP) *net.IPNet {
	return &net.IPNet{IP: address, Mask: net.CIDRMask(24, 32)}
}

func up(links *netlink.Handle, name string) error {
	link, err := links.LinkByName(name)
	if err != nil {
		return err
	}
	return links.LinkSetUp(link)
}

// addHost adds a host, which knows the others without asking.
func (n *network) addHost(t testing.TB) *host {
	t.Helper()
	number := byte(len(n.hosts) + 1)
	h := &host{
		network:  n,
		address:  net.IPv4(10, 0, 0, number),
		hardware: net.HardwareAddr{2, 0, 0, 0, 0, number},
	}
	must := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
	}
	h.namespace = n.newNamespace(t)
	var err error
	h.links, err = netlink.NewHandleAt(h.namespace, unix.NETLINK_ROUTE)
	must(err)
	h.cable = &netlink.Veth{
		LinkAttrs:        netlink.LinkAttrs{Name: fmt.Sprint("cable", number), MasterIndex: n.bridge},
		PeerName:         "eth0",
		PeerHardwareAddr: h.hardware,
		PeerNamespace:    netlink.NsFd(h.namespace),
	}
	must(n.links.LinkAdd(h.cable))
	must(n.links.LinkSetUp(h.cable))
	device, err := h.links.LinkByName("eth0")
	must(err)
	h.device = device.Attrs().Index
	must(h.links.AddrAdd(device, &netlink.Addr{IPNet: subnet(h.address)}))
	must(h.links.LinkSetUp(device))
	must(up(h.links, "lo"))
	for _, other := range n.hosts {
		must(h.pass(other, true))
		must(other.pass(h, true))
	}
	n.hosts = append(n.hosts, h)
	return h
}

func (n *network) newNamespace(t testing.TB) netns.NsHandle {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	namespace, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	if err := netns.Set(n.origin); err != nil {
		t.Fatal(err)
	}
	return namespace
}

// start starts a process, whose sockets are the host's: it has the namespaces of the thread that
// starts it.
func (h *host) start(command *exec.Cmd) error {
	if h == nil {
		return command.Start()
	}
	return h.in(command.Start)
}

// in calls a function that makes sockets of the host in the calling goroutine.
func (h *host) in(do func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := netns.Set(h.namespace); err != nil {
		return err
	}
	return errors.Join(do(), netns.Set(h.network.origin))
}

// plug joins the host to the bridge, or cuts it off.
func (h *host) plug(t testing.TB, in bool) {
	change := h.network.links.LinkSetUp
	if !in {
		change = h.network.links.LinkSetDown
	}
	if err := change(h.cable); err != nil {
		t.Error(err)
	}
}

// pass lets the host send packets to another one, or lets them get lost.
func (h *host) pass(to *host, passes bool) error {
	hardware := to.hardware
	if !passes {
		hardware = nobody
	}
	return h.links.NeighSet(&netlink.Neigh{
		LinkIndex: h.device, State: netlink.NUD_PERMANENT, IP: to.address, HardwareAddr: hardware,
	})
}

// A way is one between two hosts, in one direction.
type way struct{ from, to *host }

// passAll lets packets pass on several ways, or lets them get lost.
func passAll(t testing.TB, ways []way, passes bool) {
	for _, each := range ways {
		if err := each.from.pass(each.to, passes); err != nil {
			t.Error(err)
		}
	}
}

// waysTo returns those from a host to others.
func waysTo(from *host, to ...*host) (ways []way) {
	for _, each := range to {
		ways = append(ways, way{from, each})
	}
	return ways
}

func reversed(ways []way) (back []way) {
	for _, each := range ways {
		back = append(back, way{each.to, each.from})
	}
	return back
}

// What a network loses arrives later, on the same connection.
func TestNetworkLosesPackets(t *testing.T) {
	inNetwork(t, func(n *network) {
		server, client := n.addHost(t), n.addHost(t)
		var listener net.Listener
		var connection net.Conn
		must := func(err error) {
			if err != nil {
				t.Helper()
				t.Fatal(err)
			}
		}
		must(server.in(func() (err error) {
			listener, err = net.Listen("tcp", server.address.String()+":1")
			return err
		}))
		go func() {
			if accepted, err := listener.Accept(); err == nil {
				_, _ = io.Copy(accepted, accepted)
			}
		}()
		must(client.in(func() (err error) {
			connection, err = net.Dial("tcp", listener.Addr().String())
			return err
		}))
		receive := func(d time.Duration) error {
			must(connection.SetReadDeadline(time.Now().Add(d)))
			_, err := connection.Read(make([]byte, 1))
			return err
		}
		for kind, begin := range map[string]func() func(){
			"unplugged": unplugged(t, func() *host { return client }),
			"requests":  lossy(t, func() []way { return waysTo(client, server) }),
			"answers":   lossy(t, func() []way { return waysTo(server, client) }),
		} {
			end := begin()
			_, err := connection.Write([]byte{0})
			must(err)
			if err := receive(200 * time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s: %v", kind, err)
			}
			end()
			must(receive(longestWait))
		}
	})
}
