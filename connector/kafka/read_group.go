package kafka

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/diag"
)

// With assignment: group the brokers share the partitions out among all processes of a consumer group, and give those of a process that
// goes to the others. Where to go on stands in the group, not in the checkpoint: positions are committed there when a checkpoint has made the rows before
// them durable. What was read since then is read again by who takes over.

// member is a reader whose partitions the group assigns.
type member struct {
	*reader
	commits sync.Mutex // held while positions are committed, and while partitions go: a partition that is gone is not committed any more
}

var _ catalog.Resumable = (*member)(nil)

// positionMark stands in positions between the offset and what tells this assignment of the partition from others. A
// checkpoint may hold a position of an earlier one, which says nothing about what has been read since.
const positionMark = "@"

// groupSettings checks what assignment: group needs.
func (s *readSource) groupSettings() error {
	var errs []error
	problem := func(key string, code diag.Code, hint, text string) {
		errs = append(errs, &catalog.Problem{Key: key, Code: code, Text: text, Hint: hint})
	}
	if s.group == "" {
		problem("assignment", diag.MissingKey, "Give all processes the same group.id in consumer_config, and each its own job_name in the options.", "assignment by the group needs the name of the group")
	}
	if s.until != 0 || s.most != 0 {
		problem("assignment", diag.Unsupported, `Leave out "until" and "max_read_time_seconds", or "assignment".`, "what a group shares out has no end that one process could see")
	}
	if err := kgo.ValidateOpts(append(slices.Clone(s.membership), kgo.ConsumerGroup("any"))...); err != nil {
		problem("consumer_config", diag.BadValue, "heartbeat.interval.ms is less than session.timeout.ms: a third of it is usual.", "the settings of the group do not fit together: "+err.Error())
	}
	return errors.Join(errs...)
}

// Shared reports whether partitions may pass to other processes.
func (s *readSource) Shared() bool { return s.assigned }

// Resume takes no positions: the group has them.
func (m *member) Resume(_ context.Context, from catalog.Resume) error {
	for name, position := range from.Positions {
		if !strings.Contains(position, positionMark) {
			return otherAssignment(name, "checkpoint")
		}
	}
	m.from = from
	return nil
}

// otherAssignment refuses to go on where the other kind of assignment has been before.
func otherAssignment(name, was string) error {
	return &catalog.Problem{Key: "assignment", Code: diag.StateMismatch, Text: fmt.Sprintf("the position of %s in the checkpoint was written with assignment: %s", name, was),
		Hint: "Write that assignment again; or begin anew with leat state reset, or another name of the transform."}
}

// Next hands out records of one partition.
func (m *member) Next(ctx context.Context, to *catalog.Morsel) error {
	if !m.started {
		if err := m.join(ctx); err != nil {
			return err
		}
	}
	return m.reader.Next(ctx, to)
}

// join looks whether the topics are there, and makes this process a member.
func (m *member) join(ctx context.Context) error {
	s := m.source
	if m.admin == nil {
		client, err := kgo.NewClient(s.connect...)
		if err != nil {
			return err
		}
		m.admin = kadm.NewClient(client)
	}
	if _, err := m.list(ctx); err != nil {
		return err
	}
	opts := append(slices.Clone(s.connect), s.fetch...)
	opts = append(opts, s.membership...)
	opts = append(opts, kgo.ConsumerGroup(s.group), kgo.Balancers(kgo.CooperativeStickyBalancer()), kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(), kgo.AdjustFetchOffsetsFn(m.assigned), kgo.OnPartitionsRevoked(m.revoked), kgo.OnPartitionsLost(m.lost),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()), kgo.ConsumeResetOffset(kgo.NoResetOffset()), kgo.KeepControlRecords(),
		kgo.MetadataMinAge(100*time.Millisecond), kgo.MetadataMaxAge(min(s.refresh, time.Hour)))
	if s.pattern != nil {
		opts = append(opts, kgo.ConsumeRegex(), kgo.ConsumeTopics(s.pattern.String()))
	} else {
		opts = append(opts, kgo.ConsumeTopics(s.topics...))
	}
	m.commits.Lock() // the client calls back before it is returned
	defer m.commits.Unlock()
	client, err := newPacedClient(opts...)
	if err != nil {
		return err
	}
	m.client, m.started = client, true
	return nil
}

// assigned finds out where to go on with partitions that are new to this process. After an error the client asks again.
func (m *member) assigned(ctx context.Context, given map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	parts := map[string]*partition{}
	var topics []string
	for topic, numbers := range given {
		topics = append(topics, topic)
		for number, at := range numbers {
			committed := at.EpochOffset().Offset // below 0: there is none
			parts[partitionName(topic, number)] = &partition{topic: topic, number: number, next: committed, acked: committed, committed: committed, until: math.MaxInt64,
				mark: positionMark + strconv.FormatInt(time.Now().UnixNano(), 36)}
		}
	}
	if len(parts) == 0 {
		return given, nil
	}
	if err := m.begin(ctx, parts, topics); err != nil {
		return nil, err
	}
	m.commits.Lock()
	defer m.commits.Unlock()
	// The end, where reading begins, moves on: the next who asks would find another one.
	if err := m.commit(ctx, parts); err != nil {
		return nil, err
	}
	out := map[string]map[int32]kgo.Offset{}
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, p := range parts {
		if old := m.parts[name]; old != nil {
			old.gone = true
		}
		m.parts[name] = p
		if out[p.topic] == nil {
			out[p.topic] = map[int32]kgo.Offset{}
		}
		out[p.topic][p.number] = kgo.NewOffset().At(p.next)
	}
	return out, nil
}

// begin finds out where partitions begin that nobody has committed yet. That others do not have any more what is to be read, fetching tells.
func (m *member) begin(ctx context.Context, parts map[string]*partition, topics []string) error {
	first, err := m.admin.ListStartOffsets(ctx, topics...)
	if err != nil {
		return err
	}
	end, err := m.admin.ListCommittedOffsets(ctx, topics...)
	if err != nil {
		return err
	}
	for _, p := range parts {
		least, errLeast := lookUp(first, p)
		most, errMost := lookUp(end, p)
		if err := errors.Join(errLeast, errMost); err != nil {
			return err
		}
		p.high = most.Offset
		switch {
		case p.committed < 0 && m.source.latest:
			p.next, p.acked = most.Offset, most.Offset
		case p.committed < 0:
			p.next = least.Offset
		}
	}
	return nil
}

// revoked lets partitions go to other members, after a last commit of what is durable.
func (m *member) revoked(_ context.Context, _ *kgo.Client, gone map[string][]int32) {
	ctx, cancel := context.WithTimeout(context.Background(), commitLimit)
	defer cancel()
	m.commits.Lock()
	defer m.commits.Unlock()
	_ = m.commit(ctx, m.take(gone)) // who takes over reads again what is not committed
}

// lost notes that partitions have gone: this process was silent for too long.
func (m *member) lost(_ context.Context, _ *kgo.Client, gone map[string][]int32) {
	m.commits.Lock()
	defer m.commits.Unlock()
	m.take(gone)
}

// take gives up partitions, with what was fetched of them and not handed out.
func (m *member) take(gone map[string][]int32) map[string]*partition {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[string]*partition{}
	for topic, numbers := range gone {
		for _, number := range numbers {
			name := partitionName(topic, number)
			if p := m.parts[name]; p != nil {
				p.gone, out[name] = true, p
				delete(m.parts, name)
			}
		}
	}
	return out
}

// commitLimit is how long a commit may take.
const commitLimit = 5 * time.Second

// Acknowledge commits how far the pipeline is with the partitions that this process has now.
func (m *member) Acknowledge(ctx context.Context, positions map[string]string) error {
	ctx, cancel := context.WithTimeout(ctx, commitLimit)
	defer cancel()
	m.commits.Lock()
	defer m.commits.Unlock()
	parts := map[string]*partition{}
	m.mu.Lock()
	for name, position := range positions {
		p := m.parts[name]
		if p == nil || !strings.HasSuffix(position, p.mark) {
			continue
		}
		offset, err := strconv.ParseInt(strings.TrimSuffix(position, p.mark), 10, 64)
		if err != nil {
			m.mu.Unlock()
			return err
		}
		p.acked, parts[name] = max(p.acked, offset), p
	}
	m.mu.Unlock()
	err := m.commit(ctx, parts)
	if errors.Is(err, kerr.RebalanceInProgress) || errors.Is(err, kerr.IllegalGeneration) || errors.Is(err, kerr.UnknownMemberID) {
		return nil // it is committed when partitions go, or next time; or who takes over reads it again
	}
	return err
}

// commit commits what has been acknowledged and is not committed yet. The caller holds commits.
func (m *member) commit(ctx context.Context, parts map[string]*partition) error {
	due := map[string]map[int32]kgo.EpochOffset{}
	for _, p := range parts {
		if p.acked <= p.committed {
			continue
		}
		if due[p.topic] == nil {
			due[p.topic] = map[int32]kgo.EpochOffset{}
		}
		due[p.topic][p.number] = kgo.EpochOffset{Epoch: -1, Offset: p.acked}
	}
	if len(due) == 0 {
		return nil
	}
	var failed error
	m.client.CommitOffsetsSync(ctx, due, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, answer *kmsg.OffsetCommitResponse, err error) {
		if failed = err; err != nil {
			return
		}
		for _, t := range answer.Topics {
			for _, of := range t.Partitions {
				if err := kerr.ErrorForCode(of.ErrorCode); err != nil {
					failed = errors.Join(failed, fmt.Errorf("%s: %w", partitionName(t.Topic, of.Partition), err))
				} else if p := parts[partitionName(t.Topic, of.Partition)]; p != nil {
					p.committed = p.acked
				}
			}
		}
	})
	return failed
}

// lastingInGroup reports whether what keeps this process out of the group will not pass by itself. Of the others the client takes care.
func lastingInGroup(err error) bool {
	return remedy(err) != "" || slices.ContainsFunc([]error{kerr.GroupAuthorizationFailed, kerr.TopicAuthorizationFailed, kerr.InvalidGroupID, kerr.InvalidSessionTimeout,
		kerr.InconsistentGroupProtocol, kerr.GroupMaxSizeReached}, func(e error) bool { return errors.Is(err, e) })
}

// Close leaves the group, so that others take over at once.
func (m *member) Close() error {
	if m.client != nil {
		m.client.CloseAllowingRebalance()
	}
	if m.admin != nil {
		m.admin.Close()
	}
	return nil
}
