package postgres

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/connector/retry"
	"github.com/leat-project/leat/diag"
)

// serverFields are the keys that say where the server is, and who we are.
func serverFields() []catalog.Field {
	return append([]catalog.Field{
		{Name: "url", Type: catalog.Text, Required: true, Doc: "postgres://host:5432/database, or the same as JDBC has it: jdbc:postgresql://host:5432/database."},
		{Name: "username", Type: catalog.Text, Doc: "The role to log in as; it may be part of the url."},
		{Name: "password", Type: catalog.Text, Doc: "Its password, best as ${env:NAME} or ${file:PATH}."},
	}, retry.Fields()...)
}

// parameters are the ones of a URL that are understood, by their name in JDBC, with the name that the server's own clients have.
var parameters = map[string]string{
	"user": "user", "password": "password", "sslmode": "sslmode", "sslrootcert": "sslrootcert", "sslcert": "sslcert", "sslkey": "sslkey",
	"ssl": "ssl", "currentschema": "search_path", "search_path": "search_path", "applicationname": "application_name", "application_name": "application_name",
	"connecttimeout": "connect_timeout", "connect_timeout": "connect_timeout", "options": "options",
	"targetservertype": "target_session_attrs", "target_session_attrs": "target_session_attrs", "host": "host", "port": "port",
	"sslsni": "sslsni", "channel_binding": "channel_binding",
}

const urlHint = "Write it as postgres://host:5432/database, and the user and password as username and password."

// parseServer understands the keys of serverFields. Its errors never hold the URL, as a password may be in it.
func parseServer(config map[string]any) (*pgx.ConnConfig, error) {
	given, _ := config["url"].(string)
	wrong := func(text string) error {
		return &catalog.Problem{Key: "url", Code: diag.BadValue, Text: text, Hint: urlHint}
	}
	text := strings.TrimPrefix(given, "jdbc:")
	if !strings.HasPrefix(text, "postgresql://") && !strings.HasPrefix(text, "postgres://") {
		return nil, wrong(`"url" is no address of a PostgreSQL server: it does not begin with postgres://`)
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, wrong(`"url" is no address: a part of it cannot be understood`)
	}
	query, err := serverParameters(u.Query())
	if err != nil {
		return nil, wrong(err.Error())
	}
	u.RawQuery = strings.ReplaceAll(query.Encode(), "+", "%20") // which not every reader takes for a blank
	c, err := pgx.ParseConfig(u.String())
	if err != nil {
		return nil, wrong(`"url" cannot be understood: its port, a file that it names, or a parameter is wrong`)
	}
	if name, ok := config["username"].(string); ok && name != "" {
		c.User = name
	}
	if password, ok := config["password"].(string); ok && password != "" {
		c.Password = password
	}
	for name, value := range map[string]string{"datestyle": "ISO, YMD", "timezone": "UTC", "extra_float_digits": "3", "client_encoding": "UTF8"} {
		c.RuntimeParams[name] = value
	}
	if c.RuntimeParams["application_name"] == "" {
		c.RuntimeParams["application_name"] = "leat"
	}
	c.DefaultQueryExecMode = pgx.QueryExecModeExec // works behind a pool of connections, too
	return c, nil
}

func serverParameters(given url.Values) (url.Values, error) {
	query := url.Values{}
	var errs []error
	for name, values := range given {
		known, ok := parameters[strings.ToLower(name)]
		switch {
		case !ok:
			errs = append(errs, fmt.Errorf("the parameter %q of \"url\" is not known here", name))
		case known == "ssl":
			if !given.Has("sslmode") && values[0] != "false" {
				query.Set("sslmode", "require")
			}
		default:
			query.Set(known, values[0])
		}
	}
	return query, errors.Join(errs...)
}

// table is a name that may have a schema before it.
type table struct{ schema, name string }

// String returns the name as SQL has it.
func (t table) String() string {
	if t.schema == "" {
		return quote(t.name)
	}
	return quote(t.schema) + "." + quote(t.name)
}

// parseTable reads "name", "schema.name", or either with parts in double quotes.
func parseTable(text string) (table, error) {
	var parts []string
	for rest := text; ; {
		part, after, err := tablePart(rest)
		if err != nil {
			return table{}, fmt.Errorf("%q is no name of a table: %w", text, err)
		}
		parts = append(parts, part)
		if after == "" {
			break
		}
		rest = after[1:]
	}
	if len(parts) > 2 || slices.Contains(parts, "") || strings.ContainsRune(text, 0) {
		return table{}, fmt.Errorf("%q is no name of a table: wanted name, or schema.name", text)
	}
	if len(parts) == 1 {
		return table{name: parts[0]}, nil
	}
	return table{schema: parts[0], name: parts[1]}, nil
}

// tablePart takes one part; after begins with the dot that follows it.
func tablePart(text string) (part, after string, err error) {
	if !strings.HasPrefix(text, `"`) {
		i := strings.IndexByte(text, '.')
		if i < 0 {
			i = len(text)
		}
		return text[:i], text[i:], nil
	}
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] != '"':
		case i+1 < len(text) && text[i+1] == '"':
			i++
		case i+1 < len(text) && text[i+1] != '.':
			return "", "", errors.New("something follows a closing quote")
		default:
			return strings.ReplaceAll(text[1:i], `""`, `"`), text[i+1:], nil
		}
	}
	return "", "", errors.New("a quote is not closed")
}

// quote makes any name one that SQL takes.
func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// literal makes any text one that SQL takes as a value.
func literal(text string) string {
	if strings.ContainsRune(text, '\\') {
		return ` E'` + strings.ReplaceAll(strings.ReplaceAll(text, `\`, `\\`), `'`, `''`) + `'`
	}
	return `'` + strings.ReplaceAll(text, `'`, `''`) + `'`
}

// whole reads a key that is a whole number within limits.
func whole(config map[string]any, key string, def, least, most int64) (int64, error) {
	v, given := config[key]
	if !given || v == nil {
		return def, nil
	}
	n, ok := v.(int64)
	if !ok || n < least || n > most {
		return def, &catalog.Problem{Key: key, Code: diag.BadValue, Text: fmt.Sprintf("%q wants a whole number from %d to %d, found %v", key, least, most, v)}
	}
	return n, nil
}
