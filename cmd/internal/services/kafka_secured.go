//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leat-project/leat/internal/services"
)

// The listeners of the single broker that do not let everyone in: SECRET asks for a name and a password over TLS, CLOSED for a client's
// certificate.

// secured are the broker's settings for those listeners. Its stores are of the type PEM, which has no password of its own.
func (b *broker) secured() []string {
	folder := b.file(services.CertificateFolder)
	scram := "org.apache.kafka.common.security.scram.ScramLoginModule required;"
	plain := fmt.Sprintf(`org.apache.kafka.common.security.plain.PlainLoginModule required user_%s="%s";`, services.User, services.Password)
	return []string{
		"ssl.keystore.type=PEM",
		"ssl.keystore.location=" + filepath.Join(folder, serverFile),
		"ssl.truststore.type=PEM",
		"ssl.truststore.location=" + filepath.Join(folder, services.AuthorityFile),
		"listener.name.closed.ssl.client.auth=required",
		"listener.name.secret.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
		"listener.name.secret.plain.sasl.jaas.config=" + plain,
		"listener.name.secret.scram-sha-256.sasl.jaas.config=" + scram,
		"listener.name.secret.scram-sha-512.sasl.jaas.config=" + scram,
	}
}

// answers asks the broker something, and tells the single one the password of its user, which it keeps for SCRAM among its data.
func (b *broker) answers(ctx context.Context) error {
	if err := b.ask(ctx); err != nil || b.nodes > 1 {
		return err
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(b.address))
	if err != nil {
		return err
	}
	defer client.Close()
	for _, mechanism := range []kadm.ScramMechanism{kadm.ScramSha256, kadm.ScramSha512} { // a user stands in a request once
		user := kadm.UpsertSCRAM{User: services.User, Password: services.Password, Mechanism: mechanism, Iterations: 4096}
		done, err := kadm.NewClient(client).AlterUserSCRAMs(ctx, nil, []kadm.UpsertSCRAM{user})
		if err := errors.Join(err, done.Error()); err != nil {
			return err
		}
	}
	return errors.Join(connects(ctx, services.KafkaSASLAddress), connects(ctx, services.KafkaTLSAddress))
}
