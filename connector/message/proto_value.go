package message

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
)

var errUint64 = errors.New("a number beyond 63 bits")

// protoToValue returns what a field of a message holds.
func protoToValue(f protoreflect.FieldDescriptor, m protoreflect.Message) (column.Value, error) {
	switch {
	case f.IsList():
		list := m.Get(f).List()
		out := &column.ListValue{}
		for i := range list.Len() {
			v, err := protoOne(f, list.Get(i))
			if err != nil {
				return nil, err
			}
			out.Elems = append(out.Elems, v)
		}
		return out, nil
	case f.IsMap():
		return protoMap(f, m.Get(f).Map())
	case f.HasPresence() && !m.Has(f):
		return nil, nil
	}
	return protoOne(f, m.Get(f))
}

// protoMap returns a map with its keys in order, so that the same message gives the same row.
func protoMap(f protoreflect.FieldDescriptor, entries protoreflect.Map) (column.Value, error) {
	type entry struct {
		key   string
		value protoreflect.Value
	}
	var sorted []entry
	for k, v := range entries.Range {
		sorted = append(sorted, entry{k.String(), v})
	}
	slices.SortFunc(sorted, func(a, b entry) int { return strings.Compare(a.key, b.key) })
	out := &column.MapValue{}
	for _, e := range sorted {
		v, err := protoOne(f.MapValue(), e.value)
		if err != nil {
			return nil, err
		}
		out.Keys, out.Elems = append(out.Keys, e.key), append(out.Elems, v)
	}
	return out, nil
}

func protoOne(f protoreflect.FieldDescriptor, v protoreflect.Value) (column.Value, error) {
	switch f.Kind() {
	case protoreflect.BoolKind:
		return v.Bool(), nil
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		return v.Float(), nil
	case protoreflect.StringKind:
		return v.String(), nil
	case protoreflect.BytesKind:
		return append([]byte{}, v.Bytes()...), nil
	case protoreflect.EnumKind:
		if e := f.Enum().Values().ByNumber(v.Enum()); e != nil {
			return string(e.Name()), nil
		}
		return fmt.Sprint(v.Enum()), nil // of a newer schema
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind, protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		if v.Uint() > math.MaxInt64 {
			return nil, errUint64
		}
		return int64(v.Uint()), nil
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return protoRow(f.Message(), v.Message())
	}
	return v.Int(), nil
}

func protoRow(d protoreflect.MessageDescriptor, m protoreflect.Message) (column.Value, error) {
	fields := d.Fields()
	if d.FullName() == timestampName {
		seconds, nanos := m.Get(fields.ByNumber(1)).Int(), m.Get(fields.ByNumber(2)).Int()
		if seconds > math.MaxInt64/1000-1 || seconds < math.MinInt64/1000+1 {
			return nil, errors.New("a timestamp out of range")
		}
		ms := nanos / 1e6
		if nanos%1e6 < 0 {
			ms--
		}
		return column.Instant(seconds*1000 + ms), nil
	}
	row := &column.RowValue{}
	for i := range fields.Len() {
		v, err := protoToValue(fields.Get(i), m)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", fields.Get(i).Name(), err)
		}
		row.Names, row.Elems = append(row.Names, string(fields.Get(i).Name())), append(row.Elems, v)
	}
	return row, nil
}

// protoEncoding makes messages of rows.
type protoEncoding struct {
	message protoreflect.MessageDescriptor
	fields  []protoreflect.FieldDescriptor
}

func (p *protoFormat) newEncoder(schema column.Schema) (*Encoder, error) {
	e := protoEncoding{message: p.message}
	for _, f := range schema {
		d := p.message.Fields().ByName(protoreflect.Name(f.Name))
		i := p.schema.Index(f.Name)
		if d == nil || i < 0 {
			return nil, &catalog.Problem{Key: "message_name", Code: diag.UnknownField, Text: fmt.Sprintf("message %s has no field %q", p.message.FullName(), f.Name),
				Hint: diag.DidYouMean(f.Name, "fields", p.schema.Names())}
		}
		if want := p.schema[i].Type; !column.Holds(want.OrNull(), f.Type) && f.Type.Kind != column.Any && f.Type.Kind != want.Kind {
			return nil, &catalog.Problem{Key: "message_name", Code: diag.TypeMismatch, Text: fmt.Sprintf("field %q is %s, and message %s has %s", f.Name, f.Type, p.message.FullName(), want)}
		}
		e.fields = append(e.fields, d)
	}
	return &Encoder{e}, nil
}

func (e protoEncoding) append(dst []byte, b *column.Batch, i int) ([]byte, error) {
	m := dynamicpb.NewMessage(e.message)
	for c, f := range e.fields {
		if err := protoSet(m, f, b.Cols[c].Value(i)); err != nil {
			return dst, fmt.Errorf("field %q: %w", f.Name(), err)
		}
	}
	return proto.MarshalOptions{Deterministic: true}.MarshalAppend(dst, m)
}

// protoSet sets a field; null leaves it unset.
func protoSet(m protoreflect.Message, f protoreflect.FieldDescriptor, v column.Value) error {
	if v == nil {
		return nil
	}
	switch {
	case f.IsList():
		l, ok := v.(*column.ListValue)
		if !ok {
			return wrongValue(f, v)
		}
		list := m.Mutable(f).List()
		for _, elem := range l.Elems {
			p, err := protoFrom(f, elem, list.NewElement)
			if err != nil {
				return err
			}
			list.Append(p)
		}
		return nil
	case f.IsMap():
		return protoSetMap(m, f, v)
	}
	p, err := protoFrom(f, v, func() protoreflect.Value { return m.NewField(f) })
	if err == nil {
		m.Set(f, p)
	}
	return err
}

func protoSetMap(m protoreflect.Message, f protoreflect.FieldDescriptor, v column.Value) error {
	given, ok := v.(*column.MapValue)
	if !ok {
		return wrongValue(f, v)
	}
	if f.MapKey().Kind() != protoreflect.StringKind {
		return errors.New("only maps with keys of strings are written")
	}
	entries := m.Mutable(f).Map()
	for i, key := range given.Keys {
		text, ok := any(key).(string)
		if !ok {
			return wrongValue(f, key)
		}
		p, err := protoFrom(f.MapValue(), given.Elems[i], entries.NewValue)
		if err != nil {
			return err
		}
		entries.Set(protoreflect.ValueOfString(text).MapKey(), p)
	}
	return nil
}

func wrongValue(f protoreflect.FieldDescriptor, v column.Value) error {
	return fmt.Errorf("%s cannot hold a value of type %s", f.Kind(), column.TypeOf(v))
}

// protoFrom returns a value as a field holds it. fresh makes a message for it.
func protoFrom(f protoreflect.FieldDescriptor, v column.Value, fresh func() protoreflect.Value) (protoreflect.Value, error) {
	switch v := v.(type) {
	case bool:
		if f.Kind() == protoreflect.BoolKind {
			return protoreflect.ValueOfBool(v), nil
		}
	case int64:
		return protoInt(f, v)
	case float64:
		switch f.Kind() {
		case protoreflect.FloatKind:
			return protoreflect.ValueOfFloat32(float32(v)), nil
		case protoreflect.DoubleKind:
			return protoreflect.ValueOfFloat64(v), nil
		}
	case string:
		switch f.Kind() {
		case protoreflect.StringKind:
			return protoreflect.ValueOfString(v), nil
		case protoreflect.EnumKind:
			if e := f.Enum().Values().ByName(protoreflect.Name(v)); e != nil {
				return protoreflect.ValueOfEnum(e.Number()), nil
			}
			return protoreflect.Value{}, fmt.Errorf("%q is no value of the enum %s", v, f.Enum().FullName())
		}
	case []byte:
		if f.Kind() == protoreflect.BytesKind {
			return protoreflect.ValueOfBytes(v), nil
		}
	case column.Instant:
		if f.Message() != nil && f.Message().FullName() == timestampName {
			return protoTime(fresh(), int64(v)), nil
		}
	case *column.RowValue:
		if f.Message() != nil {
			return protoMessage(fresh(), v)
		}
	}
	return protoreflect.Value{}, wrongValue(f, v)
}

func protoTime(out protoreflect.Value, ms int64) protoreflect.Value {
	seconds, rest := ms/1000, ms%1000
	if rest < 0 {
		seconds, rest = seconds-1, rest+1000
	}
	m, fields := out.Message(), out.Message().Descriptor().Fields()
	m.Set(fields.ByNumber(1), protoreflect.ValueOfInt64(seconds))
	m.Set(fields.ByNumber(2), protoreflect.ValueOfInt32(int32(rest*1e6)))
	return out
}

func protoMessage(out protoreflect.Value, row *column.RowValue) (protoreflect.Value, error) {
	m := out.Message()
	for i, name := range row.Names {
		f := m.Descriptor().Fields().ByName(protoreflect.Name(name))
		if f == nil {
			return out, fmt.Errorf("message %s has no field %q", m.Descriptor().FullName(), name)
		}
		if err := protoSet(m, f, row.Elems[i]); err != nil {
			return out, fmt.Errorf("%s: %w", name, err)
		}
	}
	return out, nil
}

func protoInt(f protoreflect.FieldDescriptor, v int64) (protoreflect.Value, error) {
	outside := fmt.Errorf("%d does not fit %s", v, f.Kind())
	switch f.Kind() {
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return protoreflect.ValueOfInt64(v), nil
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		if v != int64(int32(v)) {
			return protoreflect.Value{}, outside
		}
		return protoreflect.ValueOfInt32(int32(v)), nil
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		if v < 0 {
			return protoreflect.Value{}, outside
		}
		return protoreflect.ValueOfUint64(uint64(v)), nil
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		if v != int64(uint32(v)) {
			return protoreflect.Value{}, outside
		}
		return protoreflect.ValueOfUint32(uint32(v)), nil
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(float64(v)), nil
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(float32(v)), nil
	}
	return protoreflect.Value{}, wrongValue(f, v)
}
