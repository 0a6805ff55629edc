"""Records what models with a state give over many steps and keys: a plain loop over onnxruntime.

    python reference/states.py --models ../shared/data/onnx/models task/testdata/states.json

Inputs are a formula, so that the test makes them again; of each output the sum and the first numbers are kept.
"""

import argparse
import json
import pathlib

import numpy as np
import onnxruntime

STEPS, KEYS = 24, 3

# model: fed input and its shape for one key, and states as (output, input, axis of the keys)
MODELS = {
    "dtln_1": ("input_2", [1, 1, 257], [("tf_op_layer_stack_2", "input_3")]),
    "dtln_2": ("input_4", [1, 1, 512], [("tf_op_layer_stack_5", "input_5")]),
    "gtcrn_simple": ("mix", [1, 257, 1, 2], [("conv_cache_out", "conv_cache"), ("tra_cache_out", "tra_cache"), ("inter_cache_out", "inter_cache")]),
    "gonnx_gru": ("data_input", [1, 1, 3], [("hidden_out", "init_hidden")]),
}


def fed(shape, key, step):
    """The input of one step: every element a sixth decimal."""
    n = int(np.prod(shape))
    x = [round(0.5 * np.sin(0.1 * (i + 1) * (key + 1) + step), 6) for i in range(n)]
    return np.array(x, np.float32).reshape(shape)


def run(path, name):
    session = onnxruntime.InferenceSession(str(path / f"{name}.onnx"))
    feed, shape, states = MODELS[name]
    shapes = {i.name: [d if isinstance(d, int) else 1 for d in i.shape] for i in session.get_inputs()}
    out = [o.name for o in session.get_outputs()]
    steps = []
    held = [{i: np.zeros(shapes[i], np.float32) for _, i in states} for _ in range(KEYS)]
    for step in range(STEPS):
        for key in range(KEYS):
            given = session.run(out, {feed: fed(shape, key, step), **held[key]})
            given = dict(zip(out, given))
            held[key] = {i: given[o] for o, i in states}
            main = next(given[o] for o in out if o not in {o for o, _ in states})
            flat = main.ravel().astype(np.float64)
            steps.append({"step": step, "key": key, "sum": float(flat.sum()), "first": [float(v) for v in flat[:3]]})
    return {"input": feed, "shape": shape, "states": [{"output": o, "input": i} for o, i in states], "steps": steps}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=pathlib.Path, required=True)
    parser.add_argument("to", type=pathlib.Path)
    args = parser.parse_args()
    args.to.parent.mkdir(parents=True, exist_ok=True)
    args.to.write_text(json.dumps({name: run(args.models, name) for name in MODELS}, separators=(",", ":")) + "\n")


main()
