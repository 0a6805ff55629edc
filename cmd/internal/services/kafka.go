//go:build unix

package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leat-project/leat/internal/services"
)

const (
	clusterSize = 3
	kafkaPOM    = "services/pom.xml"
	kafkaLog    = "services/log4j2.properties"
)

// broker is one Kafka server, which is its own controller too.
type broker struct {
	service
	state   string
	node    int // 1, 2, 3
	nodes   int // in its cluster
	port    int // of the first node; the others follow
	control int // the same for controllers
}

// kafka returns the server that stands alone, or with nodes > 1 one of a cluster.
func kafka(state string, node, nodes int) *service {
	b := &broker{state: state, node: node, nodes: nodes, port: 19192, control: 19292}
	b.name, b.cluster = fmt.Sprintf("kafka-%d", node), true
	b.address = fmt.Sprintf("127.0.0.1:%d", b.port+node-1)
	if nodes == 1 {
		b.port, b.control = 19092, 19091
		b.name, b.cluster, b.address = "kafka", false, services.KafkaAddress
		b.also = []string{services.KafkaSASLAddress + " (SASL_SSL)", services.KafkaTLSAddress + " (SSL, with a client's certificate)"}
	}
	b.dir = filepath.Join(state, b.name)
	b.install, b.prepare, b.ready = installKafka, b.write, b.answers
	return &b.service
}

// installKafka copies the broker's libraries when services/pom.xml is not the one that they were copied for.
func installKafka(state string) error {
	pom, err := os.ReadFile(kafkaPOM)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(pom)
	want := hex.EncodeToString(sum[:])
	lib := filepath.Join(state, "kafka-lib")
	stamp := filepath.Join(lib, "pom.sha256")
	if err := program(onPath("java"), "java", "default-jre-headless"); err != nil {
		return err
	}
	if have, err := os.ReadFile(stamp); err == nil && string(have) == want {
		return nil
	}
	if err := program(onPath("mvn"), "mvn", "maven"); err != nil {
		return err
	}
	if err := os.RemoveAll(lib); err != nil {
		return err
	}
	if err := quiet(exec.Command("mvn", "-B", "-q", "-f", kafkaPOM, "dependency:copy-dependencies",
		"-DincludeScope=runtime", "-DoutputDirectory="+lib)); err != nil {
		return fmt.Errorf("get the broker: %w", err)
	}
	return os.WriteFile(stamp, []byte(want), 0o644)
}

func (b *broker) java(args ...string) (*exec.Cmd, error) {
	logging, err := filepath.Abs(kafkaLog)
	if err != nil {
		return nil, err
	}
	return exec.Command("java", append([]string{"-Xmx512m", "-Xms128m", "-Djava.awt.headless=true",
		"-Dlog4j2.configurationFile=" + logging, "-cp", filepath.Join(b.state, "kafka-lib", "*")}, args...)...), nil
}

func (b *broker) write() (*exec.Cmd, error) {
	if b.nodes == 1 {
		if err := writeCertificates(b.file(services.CertificateFolder)); err != nil {
			return nil, fmt.Errorf("make certificates: %w", err)
		}
	}
	file := b.file("server.properties")
	if err := os.WriteFile(file, []byte(b.properties()), 0o644); err != nil {
		return nil, err
	}
	format, err := b.java("kafka.tools.StorageTool", "format", "--ignore-formatted", "-t", "bGVhdCB0ZXN0cyBrYWZrYQ", "-c", file)
	if err != nil {
		return nil, err
	}
	if err := quiet(format); err != nil {
		return nil, fmt.Errorf("format its folder: %w", err)
	}
	return b.java("kafka.Kafka", file)
}

func (b *broker) properties() string {
	var voters []string
	for i := range b.nodes {
		voters = append(voters, fmt.Sprintf("%d@127.0.0.1:%d", i+1, b.control+i))
	}
	listeners, protocols := "PLAINTEXT://"+b.address, "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT"
	if b.nodes == 1 {
		listeners += ",SECRET://" + services.KafkaSASLAddress + ",CLOSED://" + services.KafkaTLSAddress
		protocols += ",SECRET:SASL_SSL,CLOSED:SSL"
	}
	lines := []string{
		"process.roles=broker,controller",
		fmt.Sprintf("node.id=%d", b.node),
		"controller.quorum.voters=" + strings.Join(voters, ","),
		fmt.Sprintf("listeners=%s,CONTROLLER://127.0.0.1:%d", listeners, b.control+b.node-1),
		"advertised.listeners=" + listeners,
		"controller.listener.names=CONTROLLER",
		"listener.security.protocol.map=" + protocols,
		"log.dirs=" + b.file("data"),
		"auto.create.topics.enable=true",
		"num.partitions=4",
		"group.initial.rebalance.delay.ms=0",
		"offsets.topic.num.partitions=8",
		"transaction.state.log.num.partitions=8",
		// Tests write events of years ago; by its rule of seven days the broker would delete them.
		"log.retention.ms=-1",
		"log.cleaner.dedupe.buffer.size=16777216",
	}
	if b.nodes == 1 {
		lines = append(lines, b.secured()...)
	}
	copies, least := min(b.nodes, 3), max(1, b.nodes-1)
	lines = append(lines,
		fmt.Sprintf("default.replication.factor=%d", copies),
		fmt.Sprintf("min.insync.replicas=%d", least),
		fmt.Sprintf("offsets.topic.replication.factor=%d", copies),
		fmt.Sprintf("transaction.state.log.replication.factor=%d", copies),
		fmt.Sprintf("transaction.state.log.min.isr=%d", least),
		fmt.Sprintf("share.coordinator.state.topic.replication.factor=%d", copies),
		fmt.Sprintf("share.coordinator.state.topic.min.isr=%d", least),
	)
	return strings.Join(lines, "\n") + "\n"
}

// ask asks this broker for the brokers of its cluster, and wants to find it among them. A single broker of a cluster can be up
// while others are down.
func (b *broker) ask(ctx context.Context) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(b.address))
	if err != nil {
		return err
	}
	defer client.Close()
	seed := client.SeedBrokers()[0]
	answer, err := seed.Request(ctx, kmsg.NewPtrMetadataRequest())
	if err != nil {
		return err
	}
	for _, other := range answer.(*kmsg.MetadataResponse).Brokers {
		if fmt.Sprintf("%s:%d", other.Host, other.Port) == b.address {
			return nil
		}
	}
	return fmt.Errorf("the broker has not joined its cluster")
}
