package message

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
)

// orderFile is a schema with one field of each kind.
const orderFile = `
name: "shop.proto" package: "shop" syntax: "proto3" dependency: "google/protobuf/timestamp.proto"
enum_type { name: "Kind" value { name: "NONE" number: 0 } value { name: "FAST" number: 1 } }
message_type {
  name: "Order"
  field { name: "id" number: 1 type: TYPE_UINT64 label: LABEL_OPTIONAL }
  field { name: "name" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "price" number: 3 type: TYPE_DOUBLE label: LABEL_OPTIONAL }
  field { name: "kind" number: 4 type: TYPE_ENUM type_name: ".shop.Kind" label: LABEL_OPTIONAL }
  field { name: "lines" number: 5 type: TYPE_MESSAGE type_name: ".shop.Line" label: LABEL_REPEATED }
  field { name: "at" number: 6 type: TYPE_MESSAGE type_name: ".google.protobuf.Timestamp" label: LABEL_OPTIONAL }
  field { name: "card" number: 7 type: TYPE_STRING label: LABEL_OPTIONAL oneof_index: 0 }
  field { name: "cash" number: 8 type: TYPE_BOOL label: LABEL_OPTIONAL oneof_index: 0 }
  field { name: "tags" number: 9 type: TYPE_MESSAGE type_name: ".shop.Order.TagsEntry" label: LABEL_REPEATED }
  field { name: "raw" number: 10 type: TYPE_BYTES label: LABEL_OPTIONAL }
  nested_type { name: "TagsEntry" options { map_entry: true }
    field { name: "key" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
    field { name: "value" number: 2 type: TYPE_INT32 label: LABEL_OPTIONAL } }
  oneof_decl { name: "paid" }
}
message_type { name: "Line" field { name: "n" number: 1 type: TYPE_SINT32 label: LABEL_OPTIONAL } }
message_type { name: "Tree" field { name: "left" number: 1 type: TYPE_MESSAGE type_name: ".shop.Tree" label: LABEL_OPTIONAL } }
`

// descriptors writes a descriptor set.
func descriptors(t testing.TB) string {
	t.Helper()
	var file descriptorpb.FileDescriptorProto
	if err := prototext.Unmarshal([]byte(orderFile), &file); err != nil {
		t.Fatal(err)
	}
	set := &descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{protodesc.ToFileDescriptorProto(timestamppb.File_google_protobuf_timestamp_proto), &file}}
	data, err := proto.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "set.pb")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestProto(t *testing.T) {
	f := open(t, map[string]any{"format": "PROTO", "file_descriptor_path": descriptors(t), "message_name": "shop.Order"})
	const schema = "id: int, name: string, price: float, kind: string, lines: list<row<n: int>>, at: timestamp?, card: string?, cash: bool?, tags: map<int>, raw: bytes"
	if got := f.Schema().String(); got != schema {
		t.Errorf("%s, wanted %s", got, schema)
	}
	line := func(n int64) column.Value {
		return &column.RowValue{Names: []string{"n"}, Elems: []column.Value{n}}
	}
	rows := [][]column.Value{
		{int64(7), "a", 1.5, "FAST", &column.ListValue{Elems: []column.Value{line(-1), line(2)}}, column.Instant(-1500), "visa", nil,
			&column.MapValue{Keys: []column.Value{"x", "y"}, Elems: []column.Value{int64(1), int64(2)}}, []byte("r")},
		{int64(0), "", 0.0, "NONE", &column.ListValue{}, nil, nil, true, &column.MapValue{}, []byte{}},
	}
	got := roundTrip(t, f, f, f.Schema(), rows...)
	same(t, "rows", got, []string{
		"0: 7 a 1.5 FAST [Row(n=-1), Row(n=2)] Timestamp(-1.500000) visa None {'x': 1, 'y': 2} b'r'",
		"1: 0  0.0 NONE [] None None True {} b''"})
	part, faults := decode(t, f.NewDecoder(f.Schema()[1:2]), "\x12\x01a", "\xff", "", "\x12\x05a", "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")
	same(t, "rows of one field", part, []string{"0: a", "2: ", "4: "})
	if len(faults) != 2 {
		t.Errorf("faults: %q", faults)
	}
	_, faults = decode(t, f.NewDecoder(f.Schema()), "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")
	same(t, "a number that does not fit", faults, []string{`0: field "id": a number beyond 63 bits`})
}

func TestProtoProblems(t *testing.T) {
	path := descriptors(t)
	for name, key := range map[string]string{"shop.Ordr": "message_name", "shop.Tree": "message_name", "": "format"} {
		_, err := Open(map[string]any{"format": "PROTO", "file_descriptor_path": path, "message_name": name})
		var p *catalog.Problem
		if !errors.As(err, &p) || p.Key != key {
			t.Errorf("%q: %v", name, err)
		}
	}
	f := open(t, map[string]any{"format": "PROTO", "file_descriptor_path": path, "message_name": "shop.Order"})
	for _, field := range []column.Field{{Name: "idd", Type: column.IntType}, {Name: "id", Type: column.StringType}} {
		var p *catalog.Problem
		if _, err := f.NewEncoder(column.Schema{field}); !errors.As(err, &p) {
			t.Errorf("%v: %v", field, err)
		}
	}
}
