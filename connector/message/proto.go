package message

import (
	"fmt"
	"os"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
)

// protoFormat is a message of a descriptor set.
type protoFormat struct {
	message protoreflect.MessageDescriptor
	schema  column.Schema
}

// openProto reads the descriptor set.
func (f *Format) openProto(config map[string]any) error {
	path, _ := config["file_descriptor_path"].(string)
	name, _ := config["message_name"].(string)
	for key, value := range map[string]string{"file_descriptor_path": path, "message_name": name} {
		if value == "" {
			return &catalog.Problem{Key: "format", Code: diag.MissingKey, Text: fmt.Sprintf("format PROTO wants the key %q", key),
				Hint: "protoc --include_imports --descriptor_set_out=FILE writes a descriptor set; message_name is the full name of the message in it."}
		}
	}
	message, problem := findMessage(path, name)
	if problem != nil {
		return problem
	}
	schema, err := protoSchema(message, nil)
	if err != nil {
		return &catalog.Problem{Key: "message_name", Code: diag.BadSchema, Text: fmt.Sprintf("message %s: %v", name, err)}
	}
	f.proto, f.schema = &protoFormat{message, schema}, schema
	return nil
}

func findMessage(path, name string) (protoreflect.MessageDescriptor, error) {
	bad := func(key string, code diag.Code, hint, text string, args ...any) (protoreflect.MessageDescriptor, error) {
		return nil, &catalog.Problem{Key: key, Code: code, Text: fmt.Sprintf(text, args...), Hint: hint}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return bad("file_descriptor_path", diag.NoSuchFile, "", "the descriptor set cannot be read: %v", err)
	}
	var set descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal(data, &set); err != nil {
		return bad("file_descriptor_path", diag.BadFile, "protoc --include_imports --descriptor_set_out=FILE writes one.", "%s is no descriptor set: %v", path, err)
	}
	files, err := protodesc.NewFiles(&set)
	if err != nil {
		return bad("file_descriptor_path", diag.BadFile, "protoc needs --include_imports, so that all files are in the set.", "%s: %v", path, err)
	}
	d, err := files.FindDescriptorByName(protoreflect.FullName(name))
	if message, ok := d.(protoreflect.MessageDescriptor); ok && err == nil {
		return message, nil
	}
	var names []string
	files.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		for i := range f.Messages().Len() {
			names = append(names, string(f.Messages().Get(i).FullName()))
		}
		return true
	})
	return bad("message_name", diag.BadValue, diag.DidYouMean(name, "messages", names), "the descriptor set has no message %q", name)
}

const timestampName = "google.protobuf.Timestamp"

// protoSchema returns the fields of rows. around are the messages that hold this one: a row cannot hold itself.
func protoSchema(m protoreflect.MessageDescriptor, around []protoreflect.FullName) (column.Schema, error) {
	for _, name := range around {
		if name == m.FullName() {
			return nil, fmt.Errorf("it holds itself, which rows cannot: %s", name)
		}
	}
	around = append(around, m.FullName())
	var schema column.Schema
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		t, err := protoField(f, around)
		if err != nil {
			return nil, err
		}
		schema = append(schema, column.Field{Name: string(f.Name()), Type: t})
	}
	return schema, nil
}

func protoField(f protoreflect.FieldDescriptor, around []protoreflect.FullName) (column.Type, error) {
	if f.IsMap() {
		t, err := protoValue(f.MapValue(), around)
		return column.MapOf(t), err
	}
	t, err := protoValue(f, around)
	switch {
	case f.IsList():
		t = column.ListOf(t)
	case f.HasPresence() && f.Cardinality() != protoreflect.Required:
		t = t.OrNull()
	}
	return t, err
}

// protoValue returns the type of one value of a field.
func protoValue(f protoreflect.FieldDescriptor, around []protoreflect.FullName) (column.Type, error) {
	switch f.Kind() {
	case protoreflect.BoolKind:
		return column.BoolType, nil
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		return column.FloatType, nil
	case protoreflect.StringKind, protoreflect.EnumKind:
		return column.StringType, nil
	case protoreflect.BytesKind:
		return column.BytesType, nil
	case protoreflect.MessageKind, protoreflect.GroupKind:
		if f.Message().FullName() == timestampName {
			return column.TimeType, nil
		}
		fields, err := protoSchema(f.Message(), around)
		return column.RowOf(fields), err
	}
	return column.IntType, nil
}

// protoDecoder decodes messages by their descriptor.
type protoDecoder struct {
	message protoreflect.MessageDescriptor
	fields  []protoreflect.FieldDescriptor
	cols    []*column.Builder
	values  []column.Value
	out     []*column.Vector
	rows    []int32
}

func (p *protoFormat) newDecoder(fields column.Schema) *protoDecoder {
	d := &protoDecoder{message: p.message, values: make([]column.Value, len(fields)), out: make([]*column.Vector, len(fields))}
	for _, f := range fields {
		d.fields = append(d.fields, p.message.Fields().ByName(protoreflect.Name(f.Name)))
		d.cols = append(d.cols, column.NewBuilder(f.Type))
	}
	return d
}

// Decode makes a row of each message.
func (d *protoDecoder) Decode(messages [][]byte, bad func(i int, err error) error) ([]*column.Vector, []int32, error) {
	d.rows = d.rows[:0]
	for _, c := range d.cols {
		c.Reset()
	}
	m := dynamicpb.NewMessage(d.message)
	for i, data := range messages {
		if err := d.unmarshal(m, data); err != nil {
			if err := bad(i, err); err != nil {
				return nil, nil, err
			}
			continue
		}
		d.rows = append(d.rows, int32(i))
	}
	for i, c := range d.cols {
		d.out[i] = c.Finish()
	}
	return d.out, d.rows, nil
}

// unmarshal appends one message, or nothing.
func (d *protoDecoder) unmarshal(m *dynamicpb.Message, data []byte) error {
	if err := proto.Unmarshal(data, m); err != nil {
		return fmt.Errorf("the message is no %s: %w", d.message.FullName(), err)
	}
	for i, f := range d.fields {
		v, err := protoToValue(f, m)
		if err != nil {
			return fmt.Errorf("field %q: %w", f.Name(), err)
		}
		d.values[i] = v
	}
	for i, c := range d.cols {
		if err := c.Append(d.values[i]); err != nil {
			return fmt.Errorf("field %q: %w", d.fields[i].Name(), err)
		}
	}
	return nil
}
