// Package kafka reads and writes topics of Apache Kafka: ReadFromKafka keeps its place in the checkpoint, not in a consumer group, and
// WriteToKafka writes an epoch as one transaction. It is no general client: that is franz-go, which it uses.
package kafka

import (
	"cmp"
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
var connectionIgnored = regexp.MustCompile(`^(socket\.|reconnect\.|retry\.|connections\.|metadata\.|ssl\.enabled\.protocols$|ssl\.protocol$)`)

// connectionRefused are keys of the Java client about connections that cannot be heeded, with what to do instead.
var connectionRefused = map[string]string{
	"ssl.truststore.password": "PEM files have no password: convert the store (keytool -exportcert -rfc), and leave the key out.",
	"ssl.keystore.password":   "PEM files have no password: convert the store (openssl pkcs12 -nodes), and leave the key out.",
	"ssl.key.password":        "Keys are read that are not encrypted: decrypt it (openssl pkey), and leave the key out.",
}

// connection is what the Java client's keys say about the connection.
type connection struct {
	protocol, mechanism, jaas string
	ca, certificate, key      string // PEM, or the name of a PEM file
	store                     string // the same, of a certificate and its key together
	identification            string // how the name of a broker is compared with its certificate; "": it is not
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
		c := connection{protocol: "PLAINTEXT", identification: "https", clientID: "leat"}
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
		"ssl.key.location": &c.key, "ssl.keystore.key": &c.key, "ssl.keystore.location": &c.store,
		"ssl.endpoint.identification.algorithm": &c.identification, "client.id": &c.clientID}
	if p := to[key]; p != nil {
		*p = value
		return nil
	}
	if hint := connectionRefused[key]; hint != "" {
		return &catalog.Problem{Code: diag.Unsupported, Text: key + " is not taken here", Hint: hint}
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
			return nil, problem("Give PEM, or the name of a PEM file. Other stores can be converted: keytool -exportcert -rfc, openssl pkcs12 -nodes.", "%v", err)
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
	return found["username"], found["password"], found["username"] != "" && found["password"] != ""
}

func (c *connection) tls() (*tls.Config, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.ca != "" {
		pem, err := pemOf("of the brokers' authority (ssl.truststore.location)", c.ca)
		if err != nil {
			return nil, err
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, errors.New("the file of the brokers' authority (ssl.truststore.location) holds no PEM certificate")
		}
	}
	if c.identification == "" {
		anyName(t)
	}
	certificate, key := cmp.Or(c.certificate, c.store), cmp.Or(c.key, c.store)
	if certificate == "" {
		return t, nil
	}
	chain, err := pemOf("of the client's certificate (ssl.keystore.location)", certificate)
	if err != nil {
		return nil, err
	}
	secret, err := pemOf("of the client's key (ssl.keystore.location)", key)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(chain, secret)
	if err != nil {
		return nil, fmt.Errorf("the client's certificate and key: %w", err)
	}
	t.Certificates = []tls.Certificate{pair}
	return t, nil
}

// anyName takes every certificate that the authority vouches for, whatever name it has.
func anyName(t *tls.Config) {
	t.InsecureSkipVerify = true // what it would do is done here, but for the name
	t.VerifyConnection = func(s tls.ConnectionState) error {
		between := x509.NewCertPool()
		for _, c := range s.PeerCertificates[1:] {
			between.AddCert(c)
		}
		_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: t.RootCAs, Intermediates: between})
		return err
	}
}

// pemOf is a text that holds PEM, or the content of the file of that name. An error does not have the text, which may be a secret.
func pemOf(what, text string) ([]byte, error) {
	if strings.Contains(text, "-----BEGIN") {
		return []byte(text), nil
	}
	if text == "" {
		return nil, fmt.Errorf("there is no file %s", what)
	}
	data, err := os.ReadFile(text)
	var path *os.PathError
	if errors.As(err, &path) {
		return nil, fmt.Errorf("the file %s cannot be read: %w", what, path.Err)
	}
	return data, err
}
