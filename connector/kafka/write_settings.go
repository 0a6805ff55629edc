package kafka

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/connector/retry"
	"github.com/leat-project/leat/diag"
)

// What a producer does unless producer_config_updates says otherwise.
const (
	defaultMaxRequest  = 1 << 20          // max.request.size, as in the Java client
	defaultBuffer      = 32 << 20         // buffer.memory, as in the Java client
	defaultTransaction = 10 * time.Minute // transaction.timeout.ms: below the broker's usual maximum of 15 minutes
)

// writeSettings are what WriteToKafka was told, understood.
type writeSettings struct {
	brokers string
	connect []kgo.Opt     // where the brokers are, and how they let us in
	produce []kgo.Opt     // how to write
	retry   *retry.Policy // nil: as the client does
	topic   string

	// Fields of the rows; "" where there is none.
	key, headers, partition, tombstone string

	exactlyOnce bool
	acks        kgo.Acks
	idempotent  bool
	maxRequest  int
	buffer      int
	transaction time.Duration
}

// fields reads the names of the topic and of fields.
func (s *writeSettings) fields(config map[string]any) {
	for key, to := range map[string]*string{"topic": &s.topic, "key": &s.key, "headers": &s.headers, "partition": &s.partition, "tombstone": &s.tombstone} {
		*to, _ = config[key].(string)
	}
}

// producerKey reads the value of one key of producer_config_updates.
type producerKey func(s *writeSettings, value string) error

// producerKeys are the keys of the Java client that change something here.
var producerKeys = map[string]producerKey{
	"acks":                   setAcks,
	"enable.idempotence":     setIdempotence,
	"linger.ms":              millisOption(0, time.Minute, kgo.ProducerLinger),
	"delivery.timeout.ms":    millisOption(time.Second, 0, kgo.RecordDeliveryTimeout),
	"message.timeout.ms":     millisOption(time.Second, 0, kgo.RecordDeliveryTimeout),
	"request.timeout.ms":     millisOption(100*time.Millisecond, 0, kgo.ProduceRequestTimeout),
	"compression.type":       setCompression,
	"max.request.size":       bytesKey(1<<10, 1<<30, func(s *writeSettings, n int) { s.maxRequest = n }),
	"buffer.memory":          bytesKey(1<<20, 1<<34, func(s *writeSettings, n int) { s.buffer = n }),
	"transaction.timeout.ms": setTransactionTimeout,
	"max.in.flight.requests.per.connection": bytesKey(1, 5, func(s *writeSettings, n int) {
		s.produce = append(s.produce, kgo.MaxProduceRequestsInflightPerBroker(n))
	}),
	"retries": bytesKey(0, math.MaxInt32, func(s *writeSettings, n int) { s.produce = append(s.produce, kgo.RecordRetries(n)) }),
}

// producerIgnored are keys of the Java client that would change nothing: batches here take what waits, up to max.request.size.
var producerIgnored = []string{"batch.size", "max.block.ms", "partitioner.adaptive.partitioning.enable", "partitioner.availability.timeout.ms", "metrics.recording.level"}

// producerRefused are keys of the Java client that something else decides, with what does.
var producerRefused = map[string]string{
	"transactional.id":  "It is made of the options' job_name and the transform's name.",
	"key.serializer":    "The key is written as the field's text or bytes.",
	"value.serializer":  "The key \"format\" says how rows are written.",
	"partitioner.class": "Name a field by the key \"partition\" instead.",
	"bootstrap.servers": "Use the key \"bootstrap_servers\".",
}

// producerOptions reads producer_config_updates. The keys that are about the connection are left to newClientOptions.
func (s *writeSettings) producerOptions(updates map[string]any) error {
	var errs []error
	bad := func(code diag.Code, hint, format string, args ...any) {
		errs = append(errs, &catalog.Problem{Key: "producer_config_updates", Code: code, Text: fmt.Sprintf(format, args...), Hint: hint})
	}
	for _, key := range slices.Sorted(maps.Keys(updates)) {
		value := fmt.Sprint(updates[key])
		set, known := producerKeys[key]
		switch {
		case known:
			if err := set(s, value); err != nil {
				bad(diag.BadValue, "", "%s: %v", key, err)
			}
		case producerRefused[key] != "":
			bad(diag.Unsupported, producerRefused[key], "%s is not taken here", key)
		case !slices.Contains(producerIgnored, key) && !isConnectionKey(key):
			bad(diag.UnknownKey, diag.DidYouMean(key, "keys", slices.Sorted(maps.Keys(producerKeys))), "the producer has no key %q", key)
		}
	}
	_, asked := updates["enable.idempotence"]
	if s.acks != kgo.AllISRAcks() {
		switch {
		case asked && s.idempotent:
			bad(diag.BadValue, "Set acks: all, or enable.idempotence: false.", "enable.idempotence needs acks: all")
		default:
			s.idempotent = false // as in the Java client
		}
	}
	return errors.Join(errs...)
}

// isConnectionKey reports whether a key of the Java client is about the connection.
func isConnectionKey(key string) bool {
	for _, prefix := range []string{"ssl.", "sasl.", "security.", "socket.", "reconnect.", "retry.", "metadata.", "connections.", "client."} {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	return false
}

func setAcks(s *writeSettings, value string) error {
	switch value {
	case "all", "-1":
		s.acks = kgo.AllISRAcks()
	case "1":
		s.acks = kgo.LeaderAck()
	case "0":
		s.acks = kgo.NoAck()
	default:
		return fmt.Errorf("wanted all, 1 or 0, found %q", value)
	}
	return nil
}

func setIdempotence(s *writeSettings, value string) (err error) {
	if s.idempotent, err = strconv.ParseBool(value); err != nil {
		return fmt.Errorf("wanted true or false, found %q", value)
	}
	return nil
}

func setCompression(s *writeSettings, value string) error {
	codec, ok := map[string]kgo.CompressionCodec{"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()}[value]
	if !ok {
		return fmt.Errorf("wanted none, gzip, snappy, lz4 or zstd, found %q", value)
	}
	s.produce = append(s.produce, kgo.ProducerBatchCompression(codec))
	return nil
}

func setTransactionTimeout(s *writeSettings, value string) (err error) {
	s.transaction, err = parseMillis(value, time.Second, math.MaxInt32*time.Millisecond)
	return err
}

// millisOption is a key that holds milliseconds; most 0: any number.
func millisOption(least, most time.Duration, option func(time.Duration) kgo.ProducerOpt) producerKey {
	return func(s *writeSettings, value string) error {
		d, err := parseMillis(value, least, most)
		if err == nil {
			s.produce = append(s.produce, option(d))
		}
		return err
	}
}

func parseMillis(value string, least, most time.Duration) (time.Duration, error) {
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("wanted a whole number of milliseconds, found %q", value)
	}
	if n < least.Milliseconds() || most > 0 && n > most.Milliseconds() || n > math.MaxInt64/int64(time.Millisecond) {
		return 0, fmt.Errorf("%d ms is out of range (at least %d%s)", n, least.Milliseconds(), atMost(most))
	}
	return time.Duration(n) * time.Millisecond, nil
}

func atMost(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return fmt.Sprintf(", at most %d", d.Milliseconds())
}

// bytesKey is a key that holds a whole number.
func bytesKey(least, most int64, set func(s *writeSettings, n int)) producerKey {
	return func(s *writeSettings, value string) error {
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil || n < least || n > most {
			return fmt.Errorf("wanted a whole number from %d to %d, found %q", least, most, value)
		}
		set(s, int(n))
		return nil
	}
}

// producer returns the options of a client that writes. limit is the most bytes that the topic takes at once.
func (s *writeSettings) producer(limit int) []kgo.Opt {
	opts := append(slices.Clone(s.connect),
		kgo.AllowAutoTopicCreation(), kgo.UnknownTopicRetries(10),
		kgo.RecordPartitioner(newPartitioner(s.partition != "")),
		kgo.RequiredAcks(s.acks),
		kgo.ProducerLinger(0),
		kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.ProducerBatchMaxBytes(int32(limit)),
		kgo.MaxBufferedRecords(math.MaxInt32),    // what waits is bounded by slabs: see outbox
		kgo.MetadataMinAge(250*time.Millisecond), // a new leader is found as soon
		kgo.DisableClientMetrics(),
	)
	if s.retry != nil {
		opts = append(opts, kgo.RetryBackoffFn(s.retry.Pause))
		if s.retry.Attempts > 0 {
			opts = append(opts, kgo.RecordRetries(s.retry.Attempts))
		}
	}
	if !s.idempotent {
		opts = append(opts, kgo.DisableIdempotentWrite())
	}
	return append(opts, s.produce...)
}

// transactional returns the options of a client that writes transactions under that id.
func (s *writeSettings) transactional(limit int, id string) []kgo.Opt {
	return append(s.producer(limit), kgo.TransactionalID(id), kgo.TransactionTimeout(s.transaction), kgo.MaxVersions(transactionVersions()))
}

// transactionVersions holds requests to the first protocol of transactions. There the epoch of a producer stays until another one takes over, so that
// the commit of a transaction can be repeated by another process; in the second one the first commit changes it, and the
// second cannot know why it was refused. Brokers of all versions know the first.
func transactionVersions() *kversion.Versions {
	v := kversion.Stable()
	for key, most := range map[int16]int16{
		0:  11, // Produce
		8:  9,  // OffsetCommit: topics by name
		9:  9,  // OffsetFetch: topics by name
		24: 3,  // AddPartitionsToTxn
		25: 3,  // AddOffsetsToTxn
		26: 4,  // EndTxn
		28: 4,  // TxnOffsetCommit
	} {
		v.SetMaxKeyVersion(key, most)
	}
	return v
}
