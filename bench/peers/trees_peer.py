"""Tables by scikit-learn and XGBoost.   (pip install -r requirements-trees.txt)

    trees_peer.py make MODELS READINGS            trains both on the first rows, and exports XGBoost's as ONNX
    trees_peer.py run MODELS READINGS OUT WORK    a line of JSON for each way to run it; starting and loading are not counted.
                                                  WORK is sklearn or xgboost
"""
import json
import pathlib
import pickle
import sys
import time

import numpy as np
import pandas as pd

GRADES = {"L": 0, "M": 1, "H": 2}
TRAINING = 20_000  # rows
STREAMED = 2_000  # rows that are predicted one by one


def features(rows, work):
    """The readings as the models take them; scikit-learn's with the grade and what models/machine-failure computes."""
    x = rows.iloc[:, 1:].to_numpy(np.float32)
    if work == "xgboost":
        return x
    air, process, speed, torque, wear = x.T
    grade = rows["Type"].map(GRADES).to_numpy(np.float32)
    return np.column_stack([grade, x, torque * speed * np.float32(2 * np.pi / 60), process - air, wear * torque])


def make(folder, readings):
    import onnxmltools
    from onnxmltools.convert.common.data_types import FloatTensorType
    from sklearn.ensemble import GradientBoostingClassifier
    from xgboost import XGBClassifier

    folder = pathlib.Path(folder)
    (folder / "xgboost").mkdir(parents=True, exist_ok=True)
    rows = pd.read_csv(readings, nrows=TRAINING)
    air, process, speed, torque, wear = rows.iloc[:, 1:].to_numpy().T
    failed = ((torque * speed > 7e4) | (wear * torque > 9000) | (process - air < 7)).astype(int)
    trees = GradientBoostingClassifier(n_estimators=60, random_state=0).fit(features(rows, "sklearn"), failed)
    (folder / "sklearn.pickle").write_bytes(pickle.dumps(trees))
    boosted = XGBClassifier(n_estimators=100, max_depth=6).fit(features(rows, "xgboost"), failed)
    boosted.save_model(folder / "xgboost.json")
    graph = onnxmltools.convert_xgboost(boosted, initial_types=[("x", FloatTensorType([None, 5]))], target_opset=15)
    (folder / "xgboost/model.onnx").write_bytes(graph.SerializeToString())
    leat = {"task": "tabular-classification", "features": list(rows.columns[1:])}
    (folder / "xgboost/config.json").write_text(json.dumps({"leat": leat, "id2label": {"0": "ok", "1": "failure"}}))


def load(folder, work):
    if work == "sklearn":
        return pickle.loads(pathlib.Path(folder, "sklearn.pickle").read_bytes())
    from xgboost import XGBClassifier

    model = XGBClassifier()
    model.load_model(f"{folder}/xgboost.json")
    return model.set_params(n_jobs=1)


def write(scores, out):
    best = scores.argmax(1)
    table = {"label": np.array(["ok", "failure"])[best], "score": scores[np.arange(len(best)), best]}
    pd.DataFrame(table).to_json(out, orient="records", lines=True)


def whole(model, work, readings, out):
    rows = pd.read_csv(readings)
    write(model.predict_proba(features(rows, work)), out)
    return len(rows)


def streamed(model, work, readings, out):
    rows = pd.read_csv(readings, nrows=STREAMED)
    x = features(rows, work)
    write(np.concatenate([model.predict_proba(x[i : i + 1]) for i in range(len(x))]), out)
    return len(rows)


def run(folder, readings, out, work):
    model = load(folder, work)
    for name, way in {"all rows at once": whole, "row by row": streamed}.items():
        cpu, wall = time.process_time(), time.perf_counter()
        rows = way(model, work, readings, out)
        print(json.dumps({"way": name, "cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall, "rows": rows}))


if __name__ == "__main__":
    {"make": make, "run": run}[sys.argv[1]](*sys.argv[2:])
