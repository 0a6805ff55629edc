package http

import (
	"errors"
	"fmt"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
)

// The names of metadata.
const (
	metaPath    = "path"
	metaQuery   = "query"
	metaHeaders = "headers"
	metaID      = "id"
	metaSource  = "source"
	metaType    = "type"
	metaSubject = "subject"
	metaTime    = "time"
	metaEvent   = "event"
)

// metaTypes are the types of all metadata.
var metaTypes = map[string]column.Type{
	metaPath: column.StringType, metaQuery: column.StringType, metaHeaders: column.MapOf(column.StringType),
	metaID: column.StringType.OrNull(), metaSource: column.StringType.OrNull(), metaType: column.StringType.OrNull(),
	metaSubject: column.StringType.OrNull(), metaTime: column.TimeType.OrNull(), metaEvent: column.StringType.OrNull(),
}

// metaField is a field that is added beside those of the message.
type metaField struct {
	field string // its name in rows
	name  string // of what it holds
}

// metadata are the fields that are added, sorted by name.
type metadata []metaField

// metadataField is the key "metadata".
func metadataField(names string) catalog.Field {
	return catalog.Field{Name: "metadata", Type: catalog.Object, Doc: "Fields to add beside the message's, each with what it holds: " + names + "."}
}

// readMetadata reads the key "metadata", of which there are those names. message are the fields beside which they stand.
func readMetadata(config map[string]any, message column.Schema, names ...string) (metadata, error) {
	given, _ := config["metadata"].(map[string]any)
	var out metadata
	var errs []error
	bad := func(code diag.Code, hint, text string, args ...any) {
		errs = append(errs, &catalog.Problem{Key: "metadata", Code: code, Text: fmt.Sprintf(text, args...), Hint: hint})
	}
	for _, field := range sortedKeys(given) {
		name, ok := given[field].(string)
		known := false
		for _, n := range names {
			known = known || n == name
		}
		switch {
		case !ok || !known:
			bad(diag.BadValue, diag.DidYouMean(name, "metadata", names), "there is no metadata %v for the field %q", given[field], field)
		case message.Index(field) >= 0:
			bad(diag.FieldExists, "Give the metadata another name.", "the message has a field %q, too", field)
		default:
			out = append(out, metaField{field, name})
		}
	}
	return out, errors.Join(errs...)
}

// schema returns the fields.
func (m metadata) schema() column.Schema {
	var out column.Schema
	for _, f := range m {
		out = append(out, column.Field{Name: f.field, Type: metaTypes[f.name]})
	}
	return out
}

// wants reports whether any field holds what has that name.
func (m metadata) wants(name string) bool {
	for _, f := range m {
		if f.name == name {
			return true
		}
	}
	return false
}

// pick returns those of the fields that a plan wants, in its order.
func (m metadata) pick(fields column.Schema) metadata {
	var out metadata
	for _, wanted := range fields {
		for _, f := range m {
			if f.field == wanted.Name {
				out = append(out, f)
			}
		}
	}
	return out
}

// note is what is known of a message beside its bytes. It is kept with it in the log, so its names must not change.
type note struct {
	Bad     string            `json:"bad,omitempty"`     // what is wrong with it: it is no message
	Text    map[string]string `json:"text,omitempty"`    // metadata that are texts
	Headers map[string]string `json:"headers,omitempty"` // of the request or answer
	Time    *int64            `json:"time,omitempty"`    // that of a CloudEvent
	State   string            `json:"state,omitempty"`   // where a poll goes on once this message is kept
}

// set keeps a text, where it is wanted and there.
func (n *note) set(m metadata, name, value string) {
	if value == "" && metaTypes[name].Nullable || !m.wants(name) {
		return
	}
	if n.Text == nil {
		n.Text = map[string]string{}
	}
	n.Text[name] = value
}

// value returns the metadata of that name.
func (n *note) value(name string) column.Value {
	switch name {
	case metaHeaders:
		out := &column.MapValue{}
		for _, k := range sortedKeys(n.Headers) {
			out.Keys, out.Elems = append(out.Keys, k), append(out.Elems, n.Headers[k])
		}
		return out
	case metaTime:
		if n.Time != nil {
			return column.Instant(*n.Time)
		}
		return nil
	}
	if v, ok := n.Text[name]; ok || !metaTypes[name].Nullable {
		return v
	}
	return nil
}
