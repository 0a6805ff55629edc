// Package kafka reads and writes topics of Apache Kafka: ReadFromKafka keeps its place in the checkpoint, not in a consumer group, and
// WriteToKafka writes an epoch as one transaction. It is no general client: that is franz-go, which it uses.
package kafka

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/diag"
)

// javaConfig are the keys of a configuration that hold settings by the names of the Java client.
var javaConfig = []string{"consumer_config", "producer_config_updates"}

// connectionIgnored are keys of the Java client about connections that have a good value here.
var connectionIgnored = regexp.MustCompile(`^(socket\.|reconnect\.|retry\.|connections\.|metadata\.|ssl\.endpoint\.identification\.algorithm$|ssl\.enabled\.protocols$|ssl\.protocol$)`)

// connection is what the Java client's keys say about the connection.
type connection struct {
	protocol, mechanism, jaas string
	ca, certificate, key      string // PEM, or the name of a PEM file
	clientID                  string
}

// newClientOptions returns where the brokers are and how they let us in: bootstrap_servers, and of the Java client's settings those about
// the connection. Errors are *catalog.Problem.
func newClientOptions(config map[string]any) ([]kgo.Opt, error) {
	var errs []error
	servers, _ := config["bootstrap_servers"].(string)
	var seeds []string
	for s := range strings.SplitSeq(servers, ",") {
		if s = strings.TrimSpace(s); s != "" {
			seeds = append(seeds, s)
		}
	}
	if len(seeds) == 0 {
		errs = append(errs, &catalog.Problem{Key: "bootstrap_servers", Code: diag.BadValue, Text: "wanted at least one broker, found none", Hint: "Write host:port, several with commas."})
	}
	opts := []kgo.Opt{kgo.SeedBrokers(seeds...)}
	for _, owner := range javaConfig {
		settings, _ := config[owner].(map[string]any)
		c := connection{protocol: "PLAINTEXT", clientID: "leat"}
		for _, key := range slices.Sorted(maps.Keys(settings)) {
			if !isConnectionKey(key) || connectionIgnored.MatchString(key) {
				continue
			}
			if problem := c.set(key, fmt.Sprint(settings[key])); problem != nil {
				problem.Key = owner
				errs = append(errs, problem)
			}
		}
		more, err := c.options(owner)
		opts, errs = append(opts, more...), append(errs, err)
	}
	return opts, errors.Join(errs...)
}

func (c *connection) set(key, value string) *catalog.Problem {
	to := map[string]*string{"security.protocol": &c.protocol, "sasl.mechanism": &c.mechanism, "sasl.jaas.config": &c.jaas, "ssl.ca.location": &c.ca,
		"ssl.truststore.location": &c.ca, "ssl.truststore.certificates": &c.ca, "ssl.certificate.location": &c.certificate, "ssl.keystore.certificate.chain": &c.certificate,
		"ssl.key.location": &c.key, "ssl.keystore.key": &c.key, "client.id": &c.clientID}
	if p := to[key]; p != nil {
		*p = value
		return nil
	}
	switch key {
	case "ssl.truststore.type", "ssl.keystore.type":
		if value == "PEM" {
			return nil
		}
		return &catalog.Problem{Code: diag.Unsupported, Text: fmt.Sprintf("%s is %q, and only PEM can be read", key, value), Hint: "Convert it: keytool -exportcert -rfc, or openssl pkcs12."}
	}
	return &catalog.Problem{Code: diag.UnknownKey, Text: fmt.Sprintf("the client has no key %q", key), Hint: diag.DidYouMean(key, "keys", slices.Sorted(maps.Keys(to)))}
}

func (c *connection) options(owner string) (opts []kgo.Opt, err error) {
	problem := func(hint, format string, args ...any) error {
		return &catalog.Problem{Key: owner, Code: diag.BadValue, Text: fmt.Sprintf(format, args...), Hint: hint}
	}
	opts = []kgo.Opt{kgo.ClientID(c.clientID)}
	security, secured := map[string][2]bool{"PLAINTEXT": {}, "SSL": {true}, "SASL_PLAINTEXT": {false, true}, "SASL_SSL": {true, true}}[c.protocol]
	if !secured {
		return nil, problem("It is one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL.", "no security.protocol is named %q", c.protocol)
	}
	if security[0] {
		t, err := c.tls()
		if err != nil {
			return nil, problem("Give PEM, or the name of a PEM file.", "%v", err)
		}
		opts = append(opts, kgo.DialTLSConfig(t))
	}
	if !security[1] {
		return opts, nil
	}
	user, password, ok := c.login()
	if !ok {
		return nil, problem(`Write: org.apache.kafka.common.security.plain.PlainLoginModule required username="${env:KAFKA_USER}" password="${env:KAFKA_PASSWORD}";`,
			"sasl.jaas.config has no username and password")
	}
	switch c.mechanism {
	case "PLAIN", "":
		opts = append(opts, kgo.SASL(plain.Auth{User: user, Pass: password}.AsMechanism()))
	case "SCRAM-SHA-256":
		opts = append(opts, kgo.SASL(scram.Auth{User: user, Pass: password}.AsSha256Mechanism()))
	case "SCRAM-SHA-512":
		opts = append(opts, kgo.SASL(scram.Auth{User: user, Pass: password}.AsSha512Mechanism()))
	default:
		return nil, problem("It is one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512.", "the sasl.mechanism %q is not known here", c.mechanism)
	}
	return opts, nil
}

var jaasOption = regexp.MustCompile(`(\w+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)')`)

// login finds the name and the password in a JAAS configuration.
func (c *connection) login() (user, password string, ok bool) {
	found := map[string]string{}
	for _, m := range jaasOption.FindAllStringSubmatch(c.jaas, -1) {
		found[m[1]] = strings.NewReplacer(`\"`, `"`, `\'`, `'`, `\\`, `\`).Replace(m[2] + m[3])
	}
	return found["username"], found["password"], found["username"] != ""
}

func (c *connection) tls() (*tls.Config, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.ca != "" {
		pem, err := pemOf(c.ca)
		if err != nil {
			return nil, err
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, errors.New("the certificates of the authority hold no PEM certificate")
		}
	}
	if c.certificate == "" {
		return t, nil
	}
	certificate, err := pemOf(c.certificate)
	if err != nil {
		return nil, err
	}
	key, err := pemOf(c.key)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil, fmt.Errorf("the client's certificate: %w", err)
	}
	t.Certificates = []tls.Certificate{pair}
	return t, nil
}

// pemOf is a text that holds PEM, or the content of the file of that name.
func pemOf(text string) ([]byte, error) {
	if strings.Contains(text, "-----BEGIN") {
		return []byte(text), nil
	}
	return os.ReadFile(text)
}
