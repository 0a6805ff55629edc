package kafka

import "github.com/twmb/franz-go/pkg/kgo"

// anyPartition is the Partition of a record whose row names none.
const anyPartition = -1

// newPartitioner returns the partitioner of the Java client: by the key's murmur2 hash, and without a key a partition for as long as a batch fills.
// Where named is true, records that name a partition go there.
func newPartitioner(named bool) kgo.Partitioner {
	byKey := kgo.StickyKeyPartitioner(nil)
	if !named {
		return byKey
	}
	return namedPartitioner{byKey}
}

type namedPartitioner struct{ byKey kgo.Partitioner }

// ForTopic returns the partitioner of one topic.
func (p namedPartitioner) ForTopic(topic string) kgo.TopicPartitioner {
	return &namedTopicPartitioner{p.byKey.ForTopic(topic)}
}

type namedTopicPartitioner struct{ kgo.TopicPartitioner }

// RequiresConsistency reports whether the record must go where it goes even if that partition is down.
func (p *namedTopicPartitioner) RequiresConsistency(r *kgo.Record) bool {
	return r.Partition != anyPartition || p.TopicPartitioner.RequiresConsistency(r)
}

// Partition returns the record's partition.
func (p *namedTopicPartitioner) Partition(r *kgo.Record, n int) int {
	if r.Partition != anyPartition {
		return int(r.Partition)
	}
	return p.TopicPartitioner.Partition(r, n)
}

// OnNewBatch lets records without a key go on to another partition.
func (p *namedTopicPartitioner) OnNewBatch() {
	if next, ok := p.TopicPartitioner.(kgo.TopicPartitionerOnNewBatch); ok {
		next.OnNewBatch()
	}
}
