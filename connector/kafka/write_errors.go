package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// errFenced ends a run whose place another one took.
var errFenced = errors.New("another run has taken over this pipeline's transactions")

// endedTransaction are the answers of brokers to a producer whose transaction is no more: it took too long, or another producer took over.
var endedTransaction = []error{kerr.InvalidProducerEpoch, kerr.ProducerFenced, kerr.InvalidProducerIDMapping, kerr.UnknownProducerID, kerr.InvalidTxnState,
	kerr.TransactionAbortable, kerr.OutOfOrderSequenceNumber, kerr.OperationNotAttempted, kgo.ErrAborting}

// transactionEnded reports whether the rows of a transaction are gone, so that they have to be written again.
func transactionEnded(err error) bool {
	return slices.ContainsFunc(endedTransaction, func(e error) bool { return errors.Is(err, e) })
}

// rewritable reports whether the records of a transaction that failed so should be written again in another one: the transaction is no more, or the brokers
// could not be reached.
func rewritable(err error) bool {
	return transactionEnded(err) || mayPass(err) && !errors.Is(err, kgo.ErrRecordTimeout) && !errors.Is(err, kgo.ErrRecordRetries)
}

// errNoPartition is of a row that names a partition that the topic does not have.
var errNoPartition = errors.New("the topic has no such partition")

// mayPass reports whether the same request may succeed later.
func mayPass(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, kgo.ErrClientClosed) || errors.Is(err, errNoPartition) {
		return false
	}
	var no *refused
	if remedy(err) != "" || errors.As(err, &no) {
		return false
	}
	var answer *kerr.Error
	if errors.As(err, &answer) {
		return answer.Retriable || errors.Is(err, kerr.ConcurrentTransactions) || errors.Is(err, kerr.UnknownServerError)
	}
	return true
}

// ofRecord reports whether an error is one of a record's own, or of one that was tried as often as the configuration says, and not of all.
func ofRecord(err error) bool {
	return isNoPartition(err) || errors.Is(err, kerr.MessageTooLarge) || errors.Is(err, kerr.InvalidRecord) || errors.Is(err, kgo.ErrRecordTimeout) ||
		errors.Is(err, kgo.ErrRecordRetries)
}

// isNoPartition reports whether a record names a partition that is not there. The client has no error of its own for it.
func isNoPartition(err error) bool {
	return strings.Contains(err.Error(), "invalid record partitioning choice")
}

// explainRecord says which record could not be written, and what to do about it.
func explainRecord(r *kgo.Record, err error) error {
	if isNoPartition(err) {
		err = fmt.Errorf("%w: %d", errNoPartition, r.Partition)
	}
	return fmt.Errorf("topic %q, the record with %s: %w", r.Topic, describeKey(r.Key), explain(r.Topic, err))
}

func describeKey(key []byte) string {
	const most = 64
	switch {
	case key == nil:
		return "no key"
	case len(key) > most:
		return "the key " + strconv.Quote(string(key[:most])) + "…"
	}
	return "the key " + strconv.Quote(string(key))
}

// explain adds to an error what to do about it.
func explain(topic string, err error) error {
	var hint string
	switch {
	case err == nil:
		return nil
	case errors.Is(err, kerr.UnknownTopicOrPartition), errors.Is(err, kerr.UnknownTopicID):
		hint = fmt.Sprintf("the topic %q is not there: create it, or let the brokers create topics (auto.create.topics.enable)", topic)
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		hint = fmt.Sprintf("the user may not write to the topic %q: it needs Write and Describe, and Read to write exactly once, as the last epoch is kept as an offset of the topic", topic)
	case errors.Is(err, kerr.TransactionalIDAuthorizationFailed):
		hint = `the user may not use transactions: it needs Write and Describe for transactional ids that begin with "leat.", or set exactly_once: false`
	case errors.Is(err, kerr.GroupAuthorizationFailed):
		hint = `the user may not keep the last epoch: it needs Read for groups that begin with "leat.", or set exactly_once: false`
	case errors.Is(err, kerr.ClusterAuthorizationFailed):
		hint = "the user may not write with idempotence: it needs IdempotentWrite, or set enable.idempotence: false"
	case errors.Is(err, kerr.InvalidTransactionTimeout):
		hint = "the brokers allow less than this transaction.timeout.ms: see their transaction.max.timeout.ms"
	case errors.Is(err, kerr.MessageTooLarge):
		hint = "the brokers refuse so large a batch: raise max.message.bytes of the topic, or lower max.request.size in producer_config_updates"
	case errors.Is(err, kgo.ErrRecordTimeout), errors.Is(err, kgo.ErrRecordRetries):
		hint = "the brokers did not take it in the time or the attempts that the configuration allows"
	default:
		var already *refused
		if hint = remedy(err); hint == "" || errors.As(err, &already) {
			return err
		}
	}
	return fmt.Errorf("%s (%w)", hint, err)
}
