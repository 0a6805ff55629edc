"""Runs ONNX's backend tests and the real models in Python's onnxruntime and lists what becomes of each.

Usage: python reference/onnx_cases.py ../shared/data/onnx > infer/onnx/testdata/cases.txt

Needs the program zstd. An outcome is
  no-load   the model does not load
  fails     it loads, and running it fails
  differs   it runs, and an output is not the stored one
  matches   all outputs are the stored ones
  runs      it runs, and no answer is stored
Rule of comparison, that of onnx's backend test runner: equal types, equal shapes, |found - stored| <= 1e-7 + 1e-3 |stored|
(2**-6 for bfloat16), NaN equals NaN; strings, and elements of eight bits or less that are no integers of NumPy's, exactly.
"""

import ctypes
import io
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, numpy_helper

PLAIN = {np.dtype(t) for t in "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64".split()}
READERS = {"tensor_type": TensorProto, "sequence_type": onnx.SequenceProto, "optional_type": onnx.OptionalProto, "map_type": onnx.MapProto}


class Raw:
    """A tensor of a type that NumPy does not have: its elements as they lie in memory."""

    def __init__(self, kind, shape, data):
        self.kind, self.shape, self.data = kind, tuple(shape), data

    @staticmethod
    def read(tensor):
        if not tensor.HasField("raw_data"):
            tensor = numpy_helper.from_array(numpy_helper.to_array(tensor))
        return Raw(tensor.data_type, tensor.dims, tensor.raw_data)

    def values(self):
        if self.kind == TensorProto.BFLOAT16:
            return (np.frombuffer(self.data, "<u2").astype("<u4") << 16).view("<f4")
        bits = {TensorProto.INT4: 4, TensorProto.UINT4: 4, TensorProto.FLOAT4E2M1: 4, TensorProto.INT2: 2, TensorProto.UINT2: 2}.get(self.kind, 8)
        return [self.data[i * bits // 8] >> i * bits % 8 & (1 << bits) - 1 for i in range(int(np.prod(self.shape)))]

    def ort(self):
        value = onnxruntime.OrtValue.ortvalue_from_shape_and_type(self.shape, self.kind)
        ctypes.memmove(value.data_ptr(), self.data, len(self.data))
        return value


def decode(message):
    if isinstance(message, onnx.SequenceProto):
        field = {1: "tensor_values", 3: "sequence_values", 4: "map_values", 5: "optional_values"}.get(message.elem_type)
        return [decode(m) for m in getattr(message, field)] if field else []
    if isinstance(message, onnx.OptionalProto):
        field = {1: "tensor_value", 3: "sequence_value", 4: "map_value", 5: "optional_value"}.get(message.elem_type)
        return decode(getattr(message, field)) if field and message.HasField(field) else None
    if isinstance(message, onnx.MapProto):
        keys = message.string_keys or message.keys
        return dict(zip(keys, numpy_helper.to_array(message.values.tensor_values[0])))
    array = numpy_helper.to_array(message)
    return array if array.dtype in PLAIN or array.dtype == object else Raw.read(message)


def from_ort(value):
    kind = value.element_type()
    if kind == TensorProto.STRING or np.dtype(plain(kind)) in PLAIN:
        return value.numpy()
    return Raw(kind, value.shape(), ctypes.string_at(value.data_ptr(), value.tensor_size_in_bytes()))


def plain(kind):
    try:
        return onnx.helper.tensor_dtype_to_np_dtype(kind)
    except KeyError:
        return object


def run(session, feeds):
    """Tensors that NumPy does not have go by OrtValue; sequences, strings and optional values only as Python's own."""
    types = [v.type for v in session.get_inputs() + session.get_outputs()]
    if all(t.startswith("tensor(") and t != "tensor(string)" for t in types):
        values = {k: v.ort() if isinstance(v, Raw) else onnxruntime.OrtValue.ortvalue_from_numpy(v) for k, v in feeds.items()}
        return [from_ort(v) for v in session.run_with_ort_values(None, values)]
    return session.run(None, feeds)


def close(found, stored):
    if isinstance(stored, list):
        return isinstance(found, list) and len(found) == len(stored) and all(map(close, found, stored))
    if stored is None or isinstance(stored, dict):
        return found == stored
    if type(found) is not type(stored) or tuple(found.shape) != tuple(stored.shape):
        return False
    rtol = 1e-3
    if isinstance(stored, Raw):
        if found.kind != stored.kind:
            return False
        if found.kind != TensorProto.BFLOAT16:
            return found.values() == stored.values()
        found, stored, rtol = found.values(), stored.values(), 2**-6
    elif found.dtype != stored.dtype:
        return False
    elif stored.dtype == object:
        return found.tolist() == stored.tolist()
    found, stored = np.asarray(found, "float64"), np.asarray(stored, "float64")
    return bool(np.isclose(found, stored, rtol=rtol, atol=1e-7, equal_nan=True).all())


def outcome(model, feed, answer):
    """feed and answer make of a session its inputs and the stored outputs by name (no output: no answer is stored)."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception:
        return "no-load"
    try:
        names = [v.name for v in session.get_outputs()]
        found = dict(zip(names, run(session, feed(session))))
    except Exception as e:
        print(e, file=sys.stderr)
        return "fails"
    stored = answer(session)
    if not stored:
        return "runs"
    return "matches" if all(close(found[k], v) for k, v in stored.items()) else "differs"


def ramp(session):
    """The input of models that have none: 0 to 1 in even steps; a free dimension is 1."""
    feeds = {}
    for v in session.get_inputs():
        shape = [d if isinstance(d, int) and d > 0 else 1 for d in v.shape]
        n = int(np.prod(shape))
        feeds[v.name] = (np.arange(n).reshape(shape) / n).astype("float32")
    return feeds


def stored_case(files, folder):
    graph = onnx.load_from_string(files[folder + "model.onnx"]).graph

    def read(kind, infos):
        values = []
        for info in infos:
            data = files.get(f"{folder}test_data_set_0/{kind}_{len(values)}.pb")
            if data is None:
                break
            values.append(decode(READERS[info.type.WhichOneof("value")].FromString(data)))
        return values

    def feed(session):
        names = [v.name for v in session.get_inputs()]
        return {k: v for k, v in zip(names, read("input", graph.input)) if v is not None}

    return outcome(files[folder + "model.onnx"], feed, lambda s: dict(zip([v.name for v in s.get_outputs()], read("output", graph.output))))


def light_case(files, path):
    answer = decode(TensorProto.FromString(files[path.removesuffix(".onnx") + "_output_0.pb"]))
    return outcome(files[path], ramp, lambda s: {s.get_outputs()[0].name: answer})


def real_case(path):
    npz = path.with_suffix("").with_suffix(".io.npz")
    if not npz.exists():
        return outcome(path.read_bytes(), ramp, lambda s: {})
    io_ = np.load(npz)

    def part(prefix):
        return lambda s: {k.removeprefix(prefix): io_[k] for k in io_.files if k.startswith(prefix)}

    return outcome(path.read_bytes(), part("in:"), part("out:"))


def main():
    root = Path(sys.argv[1])
    packed = subprocess.run(["zstd", "-dc", root / "backend-tests/onnx-backend-tests.tar.zst"], stdout=subprocess.PIPE, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        files = {m.name.removeprefix("onnx-backend/"): tar.extractfile(m).read() for m in tar if m.isfile()}
    print("# What becomes of each case in Python's onnxruntime " + onnxruntime.__version__ + ", made by reference/onnx_cases.py.")
    for path in sorted(files):
        if path.endswith("/model.onnx"):
            print(path.removesuffix("/model.onnx"), stored_case(files, path.removesuffix("model.onnx")), flush=True)
        elif path.startswith("light/") and path.endswith(".onnx"):
            print(path.removesuffix(".onnx"), light_case(files, path), flush=True)
    for path in sorted((root / "models").glob("*.onnx")):
        print("models/" + path.stem, real_case(path), flush=True)


if __name__ == "__main__":
    onnxruntime.set_default_logger_severity(4)
    main()
