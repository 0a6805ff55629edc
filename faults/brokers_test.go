package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leat-project/leat/internal/services"
)

// freeAddress returns an address of loopback where nobody listens, below the ports that systems give to clients: while a server is down, none of
// them gets it.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 100 {
		address := fmt.Sprintf("127.0.0.1:%d", 20_000+rand.IntN(12_000))
		if l, err := net.Listen("tcp", address); err == nil {
			l.Close()
			return address
		}
	}
	t.Fatal("no port is free")
	return ""
}

// broker is a Kafka broker of a test's own. It may be killed and halted.
type broker struct {
	dir     string
	lib     string
	address string // for the test itself
	proxy   *proxy // in front of what leat talks to
	cmd     *exec.Cmd
	done    chan struct{}
}

// newBrokers starts a cluster that ends with the test.
func newBrokers(t *testing.T, n int) []*broker {
	t.Helper()
	services.Kafka(t) // without services these tests are skipped
	lib, err := filepath.Abs("../bin/services/kafka-lib")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(lib, "pom.sha256")); err != nil {
		const text = "no Kafka to start: run make services"
		if os.Getenv("LEAT_SERVICES") == "1" {
			t.Fatal(text)
		}
		t.Skip(text)
	}
	var voters []string
	controls := make([]string, n)
	for i := range n {
		controls[i] = freeAddress(t)
		voters = append(voters, fmt.Sprintf("%d@%s", i+1, controls[i]))
	}
	brokers := make([]*broker, n)
	for i := range brokers {
		b := &broker{dir: t.TempDir(), lib: lib, address: freeAddress(t)}
		behind := freeAddress(t)
		b.proxy = newProxy(t, behind)
		if err := os.WriteFile(b.file("server.properties"), []byte(b.properties(i+1, n, behind, controls[i], voters)), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := b.java("kafka.tools.StorageTool", "format", "-t", "bGVhdCB0ZXN0cyBrYWZrYQ", "-c", b.file("server.properties")).CombinedOutput(); err != nil {
			t.Fatalf("format a broker's folder: %v\n%s", err, out)
		}
		brokers[i] = b
		b.start(t)
		t.Cleanup(b.kill)
	}
	for _, b := range brokers {
		b.await(t, n)
	}
	return brokers
}

func (b *broker) file(name string) string { return filepath.Join(b.dir, name) }

func (b *broker) java(args ...string) *exec.Cmd {
	logging, err := filepath.Abs("../services/log4j2.properties")
	if err != nil {
		panic(err)
	}
	return exec.Command("java", append([]string{"-Xmx384m", "-Xms64m", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true",
		"-Dlog4j2.configurationFile=" + logging, "-cp", filepath.Join(b.lib, "*")}, args...)...)
}

func (b *broker) properties(node, nodes int, behind, control string, voters []string) string {
	copies, least := nodes, max(1, nodes-1)
	return strings.Join([]string{
		"process.roles=broker,controller",
		fmt.Sprintf("node.id=%d", node),
		"controller.quorum.voters=" + strings.Join(voters, ","),
		fmt.Sprintf("listeners=DIRECT://%s,PROXIED://%s,CONTROLLER://%s", b.address, behind, control),
		fmt.Sprintf("advertised.listeners=DIRECT://%s,PROXIED://%s", b.address, b.proxy.address),
		"controller.listener.names=CONTROLLER",
		"inter.broker.listener.name=DIRECT",
		"listener.security.protocol.map=DIRECT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT",
		"log.dirs=" + b.file("data"),
		"num.partitions=4",
		"group.initial.rebalance.delay.ms=0",
		"offsets.topic.num.partitions=4",
		"transaction.state.log.num.partitions=4",
		"transaction.abort.timed.out.transaction.cleanup.interval.ms=1000",
		"log.retention.ms=-1", // events are years old
		"log.cleaner.dedupe.buffer.size=16777216",
		"broker.session.timeout.ms=6000",
		"unclean.leader.election.enable=false",
		fmt.Sprintf("default.replication.factor=%d", copies),
		fmt.Sprintf("min.insync.replicas=%d", least),
		fmt.Sprintf("offsets.topic.replication.factor=%d", copies),
		fmt.Sprintf("transaction.state.log.replication.factor=%d", copies),
		fmt.Sprintf("transaction.state.log.min.isr=%d", least),
		fmt.Sprintf("share.coordinator.state.topic.replication.factor=%d", copies),
		fmt.Sprintf("share.coordinator.state.topic.min.isr=%d", least),
	}, "\n") + "\n"
}

// start starts the process, again after kill.
func (b *broker) start(t *testing.T) {
	t.Helper()
	log, err := os.OpenFile(b.file("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	b.cmd = b.java("kafka.Kafka", b.file("server.properties"))
	b.cmd.Stdout, b.cmd.Stderr = log, log
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	cmd, done := b.cmd, make(chan struct{})
	b.done = done
	go func() {
		cmd.Wait()
		close(done)
	}()
}

// kill is kill -9.
func (b *broker) kill() {
	b.cmd.Process.Kill()
	<-b.done
}

// halt stops the process where it is, go lets it go on.
func (b *broker) halt()   { b.cmd.Process.Signal(syscall.SIGSTOP) }
func (b *broker) resume() { b.cmd.Process.Signal(syscall.SIGCONT) }

// await waits until the broker answers and knows of so many others, itself included.
func (b *broker) await(t *testing.T, brokers int) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.address))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	until(ctx, t, "a broker to answer", func() bool {
		select {
		case <-b.done:
			text, _ := os.ReadFile(b.file("log"))
			t.Fatalf("a broker ended by itself:\n%s", text[max(0, len(text)-3000):])
		default:
		}
		asked, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		answer, err := client.SeedBrokers()[0].Request(asked, kmsg.NewPtrMetadataRequest())
		return err == nil && len(answer.(*kmsg.MetadataResponse).Brokers) >= brokers
	})
}

// addresses returns where leat finds brokers, and where the test does.
func addresses(brokers []*broker) (proxied, direct string) {
	var of, by []string
	for _, b := range brokers {
		of, by = append(of, b.proxy.address), append(by, b.address)
	}
	return strings.Join(of, ","), strings.Join(by, ",")
}
