package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const latencyRate = 20_000 // records a second

// latency measures from the making of a record to its arrival behind the client alone, and behind leat.
func (s *streamBench) latency(ctx context.Context) error {
	fmt.Printf("%-34s %-22s %8s %8s %8s %8s\n", "latency at 20,000 records a second", "", "p50 ms", "p99 ms", "max ms", "records")
	for range max(1, s.runs/2) {
		for _, c := range []struct {
			name      string
			committed bool
			argv      func(input, output string) []string
		}{
			{"bare client", false, func(input, output string) []string { return s.bareRun(input, output) }},
			{"leat, at least once", false, func(_, output string) []string {
				return s.leatRun("stream_latency", output, "--var", "exactly=false", "--checkpoint-interval", "1s")
			}},
			{"leat, exactly once, 1 s", false, func(_, output string) []string {
				return s.leatRun("stream_latency", output, "--var", "exactly=true", "--checkpoint-interval", "1s")
			}},
			{"the same, read committed", true, func(_, output string) []string {
				return s.leatRun("stream_latency", output, "--var", "exactly=true", "--checkpoint-interval", "1s")
			}},
		} {
			if err := s.oneLatency(ctx, c.name, c.committed, c.argv); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	return nil
}

// oneLatency runs one program between a producer, which is a process of its own, and a consumer.
func (s *streamBench) oneLatency(ctx context.Context, name string, committed bool, argv func(input, output string) []string) error {
	input, err := s.topics.add(ctx, "in")
	if err != nil {
		return err
	}
	output, err := s.topics.add(ctx, "out")
	if err != nil {
		return err
	}
	was := s.source
	s.source = input
	defer func() { s.source = was }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	line := argv(input, output)
	program := exec.Command(line[0], line[1:]...)
	var stderr bytes.Buffer
	program.Stderr = &stderr
	if err := program.Start(); err != nil {
		return err
	}
	defer func() {
		_ = program.Process.Signal(syscall.SIGTERM)
		_ = program.Wait()
	}()
	time.Sleep(2 * time.Second) // until it reads
	seconds := max(20*min(s.scale, 1), 2)
	stamps := exec.CommandContext(ctx, s.bareRun("", input)[0], "-stamp", input, "-kafka", s.kafka, "-seconds", fmt.Sprint(seconds))
	if err := stamps.Start(); err != nil {
		return err
	}
	delays, err := s.delays(ctx, output, committed, time.Duration((seconds+4)*float64(time.Second)))
	if err := errors.Join(err, stamps.Wait()); err != nil {
		return fmt.Errorf("%w\n%s", err, stderr.Bytes())
	}
	if len(delays) == 0 {
		return fmt.Errorf("nothing arrived\n%s", stderr.Bytes())
	}
	slices.Sort(delays)
	at := func(q float64) float64 { return float64(delays[int(q*float64(len(delays)-1))]) / 1e6 }
	fmt.Printf("%-34s %-22s %8.2f %8.2f %8.2f %8d\n", "", name, at(0.5), at(0.99), at(1), len(delays))
	return nil
}

// stamped is a record of the producer.
type stamped struct {
	At int64 `json:"at"` // when it was made, ns
	N  int64 `json:"n"`
}

// delays reads a topic for so long and returns how old the records are; those of the first second do not count.
func (s *streamBench) delays(ctx context.Context, topic string, committed bool, limit time.Duration) ([]int64, error) {
	isolation := kgo.ReadUncommitted()
	if committed {
		isolation = kgo.ReadCommitted()
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(s.kafka), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(isolation))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var delays []int64
	for {
		fetches := client.PollFetches(ctx)
		now := time.Now().UnixNano()
		if ctx.Err() != nil {
			return delays, nil
		}
		var bad error
		fetches.EachRecord(func(r *kgo.Record) {
			var v stamped
			if err := json.Unmarshal(r.Value, &v); err != nil {
				bad = err
			} else if v.N >= latencyRate {
				delays = append(delays, now-v.At)
			}
		})
		if bad != nil {
			return nil, bad
		}
	}
}

// stamp writes records with the time of their making, some each millisecond, for so many seconds.
func stamp(ctx context.Context, brokers, topic string, seconds float64) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers), kgo.DefaultProduceTopic(topic), kgo.ProducerLinger(0), kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		return err
	}
	defer client.Close()
	start := time.Now()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for n := int64(0); ; {
		<-tick.C
		passed := time.Since(start).Seconds()
		if passed > seconds {
			return client.Flush(ctx)
		}
		for ; n < int64(passed*latencyRate); n++ {
			value := fmt.Appendf(nil, `{"at":%d,"n":%d}`, time.Now().UnixNano(), n)
			client.Produce(ctx, &kgo.Record{Value: value}, func(_ *kgo.Record, err error) {
				if err != nil {
					fmt.Fprintln(os.Stderr, "bench: a record:", err)
				}
			})
		}
	}
}

// measureFor runs a command for so long, then tells it to stop.
func measureFor(ctx context.Context, cmd *exec.Cmd, long time.Duration) (measured, error) {
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return measured{}, err
	}
	select {
	case <-time.After(long):
	case <-ctx.Done():
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		return measured{}, fmt.Errorf("%w\n%s", err, stderr.Bytes())
	}
	return used(cmd, time.Since(start).Seconds()), nil
}
