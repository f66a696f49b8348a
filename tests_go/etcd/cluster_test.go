package etcd_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

// A member of a cluster can be restarted, and paused if it is a process of its own.
type member interface {
	start(t testing.TB)
	stop()
	pause(bool) (can bool)
}

type cluster struct {
	members   []member
	endpoints []string
	hosts     []*host // those of the members, or nil
}

// Members have a short election, so that leases can be as short as a second.
const tick, election = 50, 500

// startCluster starts members in this process, or those of the program that is named.
func startCluster(t testing.TB, n int, program string) *cluster {
	c := newCluster(t, n, program)
	c.start(t)
	return c
}

func (c *cluster) start(t testing.TB) {
	for _, each := range c.members {
		each.start(t)
		t.Cleanup(each.stop)
	}
	c.await(t)
}

func newCluster(t testing.TB, n int, program string) *cluster {
	return newClusterOn(t, n, program, nil)
}

// newClusterOn makes the members hosts of a network, if there is one. They are processes then: this
// test's program, or the one that is named.
func newClusterOn(t testing.TB, n int, program string, network *network) *cluster {
	c := &cluster{}
	var initial []string
	peers := make([]string, n)
	for i := range n {
		endpoint := ""
		if network == nil {
			peers[i], endpoint = freeAddress(t), freeAddress(t)
		} else {
			h := network.addHost(t)
			c.hosts = append(c.hosts, h)
			peers[i], endpoint = h.address.String()+":2380", h.address.String()+":2379"
		}
		c.endpoints = append(c.endpoints, endpoint)
		initial = append(initial, fmt.Sprintf("m%d=http://%s", i, peers[i]))
	}
	for i := range n {
		name, all := fmt.Sprintf("m%d", i), strings.Join(initial, ",")
		if program == "" && network == nil {
			config := embed.NewConfig()
			config.Name, config.Dir, config.InitialCluster = name, folder(t), all
			config.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
			config.ListenPeerUrls = urls(peers[i])
			config.AdvertisePeerUrls = config.ListenPeerUrls
			config.ListenClientUrls = urls(c.endpoints[i])
			config.AdvertiseClientUrls = config.ListenClientUrls
			config.TickMs, config.ElectionMs = tick, election
			c.members = append(c.members, &embedded{config: config})
			continue
		}
		client, peer := "http://"+c.endpoints[i], "http://"+peers[i]
		m := &process{program: program, arguments: []string{
			"--name", name, "--data-dir", filepath.Join(folder(t), "data"),
			"--listen-client-urls", client, "--advertise-client-urls", client,
			"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
			"--initial-cluster", all,
			"--heartbeat-interval", fmt.Sprint(tick), "--election-timeout", fmt.Sprint(election),
		}}
		if network != nil {
			m.host = c.hosts[i]
		}
		c.members = append(c.members, m)
	}
	return c
}

func urls(address string) []url.URL { return []url.URL{{Scheme: "http", Host: address}} }

// await waits until the cluster serves.
func (c *cluster) await(t testing.TB) {
	t.Helper()
	client := connect(t, c.endpoints...)
	deadline := time.Now().Add(30 * time.Second)
	for {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		_, err := client.Get(ctx, "x")
		cancel()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("etcd does not serve: ", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// leader returns the number of the member that says that it is the leader; -1 if none does.
func (c *cluster) leader(t testing.TB) int {
	for i, endpoint := range c.endpoints {
		client := connect(t, endpoint)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		status, err := client.Status(ctx, endpoint)
		cancel()
		_ = client.Close()
		if err == nil && status.Leader == status.Header.MemberId {
			return i
		}
	}
	return -1
}

// moveLeader makes another member the leader.
func (c *cluster) moveLeader(t testing.TB) {
	i := c.leader(t)
	if i < 0 {
		return
	}
	client := connect(t, c.endpoints[i])
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	members, err := client.MemberList(ctx)
	if err != nil {
		return
	}
	for _, each := range members.Members {
		if each.ID != members.Header.MemberId {
			_, _ = client.MoveLeader(ctx, each.ID)
			return
		}
	}
}

type embedded struct {
	config *embed.Config
	etcd   *embed.Etcd
}

func (m *embedded) start(t testing.TB) {
	config := *m.config
	server, err := embed.StartEtcd(&config)
	if err != nil {
		t.Error(err)
		return
	}
	m.etcd = server
}

func (m *embedded) stop() {
	if m.etcd != nil {
		select {
		case <-m.etcd.Server.ReadyNotify():
		default: // Close would wait until it serves, and the other members may have stopped
			m.etcd.Server.HardStop()
		}
		m.etcd.Close()
		m.etcd = nil
	}
}

func (m *embedded) pause(bool) bool { return false }

type process struct {
	host      *host
	program   string // empty: this one, see TestMain
	arguments []string
	command   *exec.Cmd
}

func (m *process) start(t testing.TB) {
	environment := append(os.Environ(), "ETCD_UNSUPPORTED_ARCH=arm64")
	if m.program == "" {
		m.command = exec.Command(os.Args[0], m.arguments...)
		environment = append(environment, "GOLOCK_MEMBER=1")
	} else {
		m.command = exec.Command(m.program, m.arguments...)
	}
	m.command.Env = environment
	if err := m.host.start(m.command); err != nil {
		t.Error(err)
	}
}

func (m *process) stop() {
	_ = m.command.Process.Kill()
	_ = m.command.Wait()
}

func (m *process) pause(paused bool) bool {
	signal := syscall.SIGCONT
	if paused {
		signal = syscall.SIGSTOP
	}
	return m.command.Process.Signal(signal) == nil
}
