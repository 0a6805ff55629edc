package mqtt

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/diag"
)

// settings say how a broker is reached.
type settings struct {
	url      *url.URL // without user and password
	version  string
	clientID string // "": made
	username string
	password string
	tls      *tls.Config
	qos      byte
}

// The versions of the protocol.
const (
	version3 = "3.1.1"
	version5 = "5"
)

// ports are those of the schemes.
var ports = map[string]string{"mqtt": "1883", "tcp": "1883", "mqtts": "8883", "ssl": "8883", "ws": "80", "wss": "443"}

func connectionFields(qos string) []catalog.Field {
	return []catalog.Field{
		{Name: "url", Type: catalog.Text, Required: true, Doc: "The broker: mqtt://, mqtts://, ws:// or wss://, host and port."},
		{Name: "qos", Type: catalog.Integer, Default: "1", Doc: qos},
		{Name: "version", Type: catalog.AnyValue, Default: version5, Doc: "The version of the protocol: 3.1.1 or 5."},
		{Name: "client_id", Type: catalog.Text, Doc: "What the broker knows the client by; by default it follows from the names of the job and the transform."},
		{Name: "username", Type: catalog.Text, Doc: "The user."},
		{Name: "password", Type: catalog.Text, Doc: "The user's password, as ${env:NAME} or ${file:PATH}."},
		{Name: "tls", Type: catalog.Object, Doc: "What a broker behind mqtts or wss has to show, and what is shown to it.", Fields: []catalog.Field{
			{Name: "ca", Type: catalog.Text, Doc: "A file with the certificates (PEM) that the broker's is checked against; by default the system's."},
			{Name: "certificate", Type: catalog.Text, Doc: "A file with our certificate (PEM)."},
			{Name: "key", Type: catalog.Text, Doc: "A file with its key (PEM)."},
		}},
	}
}

// problems collects what is wrong with a configuration.
type problems []error

func (p *problems) add(key string, code diag.Code, hint, text string, args ...any) {
	*p = append(*p, &catalog.Problem{Key: key, Code: code, Text: fmt.Sprintf("%q: ", key) + fmt.Sprintf(text, args...), Hint: hint})
}

func (p problems) err() error { return errors.Join(p...) }

// readSettings reads the keys of connectionFields. It connects to nothing.
func readSettings(config map[string]any) (*settings, problems) {
	var p problems
	s := &settings{version: version5, qos: 1}
	s.readURL(config, &p)
	if v, ok := config["version"]; ok && v != nil {
		switch s.version = fmt.Sprint(v); s.version {
		case version3, version5:
		default:
			p.add("version", diag.BadValue, "", "wanted 3.1.1 or 5, found %v", v)
		}
	}
	if v, ok := config["qos"]; ok && v != nil {
		n, ok := v.(int64)
		if !ok || n < 0 || n > 2 {
			p.add("qos", diag.BadValue, "0: at most once, 1: at least once, 2: exactly once.", "wanted 0, 1 or 2, found %v", v)
		}
		s.qos = byte(n)
	}
	s.clientID, _ = config["client_id"].(string)
	if name, ok := config["username"].(string); ok {
		s.username = name
	}
	if password, ok := config["password"].(string); ok {
		s.password = password
	}
	if s.password != "" && s.username == "" && s.version == version3 {
		p.add("password", diag.MissingKey, `Give "username", too.`, "MQTT 3.1.1 has no password without a user")
	}
	s.readTLS(config, &p)
	return s, p
}

func (s *settings) readURL(config map[string]any, p *problems) {
	text, _ := config["url"].(string)
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || ports[u.Scheme] == "" {
		// The text is not shown: a password may stand in it.
		p.add("url", diag.BadValue, "For example mqtt://localhost:1883.", "wanted mqtt://, mqtts://, ws:// or wss:// with a host")
		s.url = &url.URL{Scheme: "mqtt", Host: "localhost:1883"}
		return
	}
	if u.User != nil {
		s.username = u.User.Username()
		s.password, _ = u.User.Password()
		u.User = nil
	}
	if u.Port() == "" {
		u.Host = net.JoinHostPort(u.Hostname(), ports[u.Scheme])
	}
	if (u.Scheme == "ws" || u.Scheme == "wss") && u.Path == "" {
		u.Path = "/mqtt"
	}
	s.url = u
}

// secure reports whether the connection is encrypted.
func (s *settings) secure() bool {
	return s.url.Scheme == "mqtts" || s.url.Scheme == "ssl" || s.url.Scheme == "wss"
}

func (s *settings) readTLS(config map[string]any, p *problems) {
	given, _ := config["tls"].(map[string]any)
	if given == nil {
		if s.secure() {
			s.tls = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: s.url.Hostname()}
		}
		return
	}
	if !s.secure() {
		p.add("tls", diag.BadValue, "Write mqtts:// or wss://.", "the connection to a URL of %s:// is not encrypted", s.url.Scheme)
	}
	s.tls = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: s.url.Hostname()}
	certificate, _ := given["certificate"].(string)
	key, _ := given["key"].(string)
	if (certificate == "") != (key == "") {
		p.add("tls", diag.MissingKey, "", `wanted both "certificate" and "key"`)
	} else if certificate != "" {
		pair, err := tls.LoadX509KeyPair(certificate, key)
		if err != nil {
			p.add("tls", diag.BadFile, "", "the certificate: %v", err)
		}
		s.tls.Certificates = []tls.Certificate{pair}
	}
	if ca, _ := given["ca"].(string); ca != "" {
		pem, err := os.ReadFile(ca)
		s.tls.RootCAs = x509.NewCertPool()
		if err == nil && !s.tls.RootCAs.AppendCertsFromPEM(pem) {
			err = errors.New("no certificates in it")
		}
		if err != nil {
			p.add("tls", diag.BadFile, "", "the certificates %s: %v", ca, err)
		}
	}
}
