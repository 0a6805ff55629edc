package model

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// ValueKind is the outermost constructor of a graph's input or output.
type ValueKind uint8

// The kinds of value.
const (
	TensorValue ValueKind = iota
	SequenceValue
	MapValue
	OptionalValue
	SparseValue
	OpaqueValue
)

// ValueInfo describes an input or output of a graph.
type ValueInfo struct {
	Name  string
	Kind  ValueKind
	DType DType // of a tensor's elements; of a map's values
	// Shape has -1 where a dimension is dynamic, and nil where nothing is known of it. Dims holds the names of dynamic
	// dimensions, "" where they have none.
	Shape []int64
	Dims  []string
	Key   DType      // of a map
	Elem  *ValueInfo // of a sequence or an optional value
}

// String prints the type as ONNX writes it: float[batch,3,224,224], seq(map(int64,float)).
func (v *ValueInfo) String() string {
	switch v.Kind {
	case SequenceValue, OptionalValue:
		name := "seq"
		if v.Kind == OptionalValue {
			name = "optional"
		}
		if v.Elem == nil {
			return name + "(?)"
		}
		return name + "(" + v.Elem.String() + ")"
	case MapValue:
		return fmt.Sprintf("map(%s,%s)", v.Key, v.DType)
	case SparseValue:
		return "sparse " + v.tensor()
	case OpaqueValue:
		return "opaque"
	}
	return v.tensor()
}

func (v *ValueInfo) tensor() string {
	if v.Shape == nil {
		return v.DType.String()
	}
	dims := make([]string, len(v.Shape))
	for i, n := range v.Shape {
		switch {
		case n >= 0:
			dims[i] = fmt.Sprint(n)
		case v.Dims[i] != "":
			dims[i] = v.Dims[i]
		default:
			dims[i] = "?"
		}
	}
	return v.DType.String() + "[" + strings.Join(dims, ",") + "]"
}

// Graph is what an ONNX file tells of itself, read without the runtime.
type Graph struct {
	Inputs   []ValueInfo // those that a caller has to give: initialisers are left out
	Outputs  []ValueInfo
	Opsets   map[string]int64 // by domain, "ai.onnx" for ONNX's own
	Ops      []string         // the operators that it uses, in all its graphs, sorted
	External []string         // files that hold its weights, relative to its own, sorted
	Classes  []string         // the class labels that a classifier of ai.onnx.ml holds, integers as text
	Producer string
	Metadata map[string]string
}

// MaxGraphDepth is how deep messages of an ONNX file may be nested (a graph within If or Loop nests four).
const MaxGraphDepth = 200

// Quantised reports whether the graph quantises while it runs, so that what one row gets depends on the others of
// its batch.
func (g *Graph) Quantised() bool {
	return slices.ContainsFunc(g.Ops, func(op string) bool {
		return op == "DynamicQuantizeLinear" || op == "DynamicQuantizeMatMul" || op == "DynamicQuantizeLSTM" || op == "MatMulIntegerToFloat"
	})
}

// Input returns the input of that name, or nil.
func (g *Graph) Input(name string) *ValueInfo { return find(g.Inputs, name) }

// Output returns the output of that name, or nil.
func (g *Graph) Output(name string) *ValueInfo { return find(g.Outputs, name) }

func find(values []ValueInfo, name string) *ValueInfo {
	for i := range values {
		if values[i].Name == name {
			return &values[i]
		}
	}
	return nil
}

// ReadGraph reads an ONNX file (a ModelProto). It checks the structure of the whole file, not what the operators mean.
func ReadGraph(file []byte) (*Graph, error) {
	r := &graphReader{graph: &Graph{Opsets: map[string]int64{}, Metadata: map[string]string{}}, ops: map[string]bool{}, external: map[string]bool{}}
	if err := r.model(file); err != nil {
		return nil, fmt.Errorf("not an ONNX model: %w", err)
	}
	if !r.found {
		return nil, errors.New("not an ONNX model: it holds no graph")
	}
	r.graph.Ops, r.graph.External = sortedKeys(r.ops), sortedKeys(r.external)
	return r.graph, nil
}

func sortedKeys(set map[string]bool) []string {
	var out []string
	for k := range set {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// graphReader collects what the messages of onnx.proto say. Field numbers are those of that file.
type graphReader struct {
	graph         *Graph
	found         bool
	ops, external map[string]bool
}

// protoField is one field of a message: bytes of a length-delimited one, else its number.
type protoField struct {
	num    protowire.Number
	bytes  []byte
	number uint64
}

var errDamaged = errors.New("its bytes are damaged or cut off")

// eachField calls f with the fields of a message.
func eachField(b []byte, f func(protoField) error) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return errDamaged
		}
		b = b[n:]
		field := protoField{num: num}
		switch typ {
		case protowire.VarintType:
			field.number, n = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			field.bytes, n = protowire.ConsumeBytes(b)
		default:
			n = protowire.ConsumeFieldValue(num, typ, b)
		}
		if n < 0 {
			return errDamaged
		}
		b = b[n:]
		if err := f(field); err != nil {
			return err
		}
	}
	return nil
}

func (r *graphReader) model(b []byte) error {
	return eachField(b, func(f protoField) error {
		switch f.num {
		case 2:
			r.graph.Producer = string(f.bytes)
		case 7:
			r.found = true
			return r.graphProto(f.bytes, 0)
		case 8:
			return r.opset(f.bytes)
		case 14:
			key, value, err := entry(f.bytes)
			r.graph.Metadata[key] = value
			return err
		case 25: // functions: their nodes
			return eachField(f.bytes, func(f protoField) error {
				if f.num == 7 {
					return r.node(f.bytes, 1)
				}
				return nil
			})
		}
		return nil
	})
}

func (r *graphReader) opset(b []byte) error {
	domain, version := "ai.onnx", int64(0)
	err := eachField(b, func(f protoField) error {
		switch {
		case f.num == 1 && len(f.bytes) > 0:
			domain = string(f.bytes)
		case f.num == 2:
			version = int64(f.number)
		}
		return nil
	})
	r.graph.Opsets[domain] = version
	return err
}

// entry reads a StringStringEntryProto.
func entry(b []byte) (key, value string, err error) {
	err = eachField(b, func(f protoField) error {
		switch f.num {
		case 1:
			key = string(f.bytes)
		case 2:
			value = string(f.bytes)
		}
		return nil
	})
	return key, value, err
}

// graphProto reads a graph. Only the outermost one, at depth 0, has inputs and outputs that matter.
func (r *graphReader) graphProto(b []byte, depth int) error {
	if depth > MaxGraphDepth {
		return fmt.Errorf("graphs are nested more than %d deep", MaxGraphDepth)
	}
	initialised := map[string]bool{}
	var inputs, outputs []ValueInfo
	err := eachField(b, func(f protoField) error {
		switch f.num {
		case 1:
			return r.node(f.bytes, depth+1)
		case 5:
			name, err := r.tensor(f.bytes)
			initialised[name] = true
			return err
		case 11, 12:
			v, err := valueInfo(f.bytes)
			if f.num == 11 {
				inputs = append(inputs, v)
			} else {
				outputs = append(outputs, v)
			}
			return err
		}
		return nil
	})
	if depth == 0 {
		for _, in := range inputs {
			if !initialised[in.Name] {
				r.graph.Inputs = append(r.graph.Inputs, in)
			}
		}
		r.graph.Outputs = outputs
	}
	return err
}

func (r *graphReader) node(b []byte, depth int) error {
	var op string
	err := eachField(b, func(f protoField) error {
		switch f.num {
		case 4:
			op = string(f.bytes)
			r.ops[op] = true
		case 5:
			return r.setting(f.bytes, depth)
		}
		return nil
	})
	if err == nil && strings.HasPrefix(op, "TreeEnsemble") {
		err = checkTrees(op, b)
	}
	return err
}

// setting looks for tensors, graphs and the labels of classes among the settings of a node (AttributeProto).
func (r *graphReader) setting(b []byte, depth int) error {
	var name string
	var labels []string
	err := eachField(b, func(f protoField) error {
		switch f.num {
		case 1:
			name = string(f.bytes)
		case 5, 10:
			_, err := r.tensor(f.bytes)
			return err
		case 6, 11:
			return r.graphProto(f.bytes, depth+1)
		case 8:
			labels = appendInts(labels, f)
		case 9:
			labels = append(labels, string(f.bytes))
		}
		return nil
	})
	if strings.HasPrefix(name, "classlabels_") && len(labels) > 0 {
		r.graph.Classes = labels
	}
	return err
}

// appendInts appends the numbers of a repeated field, packed or not, as text.
func appendInts(to []string, f protoField) []string {
	if f.bytes == nil {
		return append(to, fmt.Sprint(int64(f.number)))
	}
	for b := f.bytes; len(b) > 0; {
		n, size := protowire.ConsumeVarint(b)
		if size < 0 {
			return to
		}
		to, b = append(to, fmt.Sprint(int64(n))), b[size:]
	}
	return to
}

// tensor reads a TensorProto's name, and where it keeps its data.
func (r *graphReader) tensor(b []byte) (name string, err error) {
	external := false
	var location string
	err = eachField(b, func(f protoField) error {
		switch f.num {
		case 8:
			name = string(f.bytes)
		case 13:
			key, value, err := entry(f.bytes)
			if key == "location" {
				location = value
			}
			return err
		case 14:
			external = f.number == 1
		}
		return nil
	})
	if external || location != "" {
		r.external[location] = true
	}
	return name, err
}

func valueInfo(b []byte) (ValueInfo, error) {
	v := ValueInfo{}
	err := eachField(b, func(f protoField) error {
		switch f.num {
		case 1:
			v.Name = string(f.bytes)
		case 2:
			return v.typeProto(f.bytes, 0)
		}
		return nil
	})
	return v, err
}

// typeProto reads a TypeProto.
func (v *ValueInfo) typeProto(b []byte, depth int) error {
	if depth > MaxGraphDepth {
		return fmt.Errorf("types are nested more than %d deep", MaxGraphDepth)
	}
	return eachField(b, func(f protoField) error {
		switch f.num {
		case 1:
			return v.tensorType(f.bytes)
		case 8:
			v.Kind = SparseValue
			return v.tensorType(f.bytes)
		case 4, 9:
			v.Kind = SequenceValue
			if f.num == 9 {
				v.Kind = OptionalValue
			}
			v.Elem = &ValueInfo{}
			return eachField(f.bytes, func(f protoField) error {
				if f.num == 1 {
					return v.Elem.typeProto(f.bytes, depth+1)
				}
				return nil
			})
		case 5:
			v.Kind = MapValue
			return v.mapType(f.bytes, depth)
		case 7:
			v.Kind = OpaqueValue
		}
		return nil
	})
}

func (v *ValueInfo) mapType(b []byte, depth int) error {
	return eachField(b, func(f protoField) error {
		switch f.num {
		case 1:
			v.Key = dtype(f.number)
		case 2:
			var value ValueInfo
			err := value.typeProto(f.bytes, depth+1)
			v.DType = value.DType
			return err
		}
		return nil
	})
}

// tensorType reads TypeProto.Tensor: the element type and the shape.
func (v *ValueInfo) tensorType(b []byte) error {
	return eachField(b, func(f protoField) error {
		switch f.num {
		case 1:
			v.DType = dtype(f.number)
		case 2:
			v.Shape, v.Dims = []int64{}, []string{}
			return eachField(f.bytes, func(f protoField) error {
				if f.num != 1 {
					return nil
				}
				size, name, err := dimension(f.bytes)
				v.Shape, v.Dims = append(v.Shape, size), append(v.Dims, name)
				return err
			})
		}
		return nil
	})
}

func dimension(b []byte) (size int64, name string, err error) {
	size = -1
	err = eachField(b, func(f protoField) error {
		switch f.num {
		case 1:
			if n := int64(f.number); n >= 0 {
				size = n
			}
		case 2:
			name = string(f.bytes)
		}
		return nil
	})
	return size, name, err
}

func dtype(n uint64) DType {
	if n > math.MaxUint8 {
		return Undefined
	}
	return DType(n)
}
