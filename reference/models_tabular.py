"""Makes small models of tables with scikit-learn, XGBoost and LightGBM, and records what these libraries predict.

Usage: python reference/models_tabular.py task/testdata

Writes for each model a folder tabular/NAME with model.onnx, config.json and cases.json: rows of features (null is NaN), and what the
library itself, not ONNX, predicts for them: "labels", and "scores" by "classes"; or "numbers". Numbers are rounded to single
precision, as the graphs take them, before the library sees them. ONNX Runtime has to agree within 1e-5, relative to the size of a number
above 1.
"""

import json
import pathlib
import shutil
import sys
import warnings

import lightgbm
import numpy as np
import onnx
import onnxmltools
import onnxruntime as ort
import pandas as pd
import skl2onnx
import sklearn
import xgboost
from onnxmltools.convert.common.data_types import FloatTensorType as MLFloatTensorType
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, HistGradientBoostingRegressor, RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, PolynomialFeatures, StandardScaler

SEED = 4
OPSET = 17
WITHIN = 1e-5
VERSIONS = {m.__name__: m.__version__ for m in (sklearn, xgboost, lightgbm, skl2onnx, onnxmltools)} | {"onnxruntime": ort.__version__}


def whole_flags():
    """Lets skl2onnx give flags as truth values, which the protobuf library no longer takes for whole numbers."""
    make = onnx.helper.make_attribute

    def attribute(key, value, *args, **more):
        if isinstance(value, list):
            value = [int(v) if isinstance(v, (bool, np.bool_)) else v for v in value]
        return make(key, value, *args, **more)

    onnx.helper.make_attribute = attribute


def single(x):
    """Numbers as the graphs take them, in double precision."""
    return np.asarray(x, np.float32).astype(np.float64)


def cases(x, nan):
    """Rows of the data, mixtures of them, and rows far off; with missing values where the library takes them."""
    rng = np.random.default_rng(SEED)
    rows = [x[rng.choice(len(x), 40, replace=False)]]
    mix = x[rng.integers(len(x), size=(20, x.shape[1])), np.arange(x.shape[1])]
    rows.append(mix)
    low, high = x.min(0), x.max(0)
    rows.append(np.array([low, high, np.zeros_like(low), -high, 1000 * high, (low + high) / 2]))
    rows = np.concatenate(rows)
    rows = np.array([[float(f"{v:.6g}") for v in row] for row in rows])
    if nan:
        holes = rows[:16].copy()
        holes[rng.random(holes.shape) < 0.3] = np.nan
        holes[0] = np.nan
        rows = np.concatenate([rows, holes])
    return rows


def with_holes(x):
    """The data with a tenth of its values missing, to train on."""
    x = x.copy()
    x[np.random.default_rng(SEED).random(x.shape) < 0.1] = np.nan
    return x


def number(v):
    return float(f"{v:.7g}")


def value(v):
    if isinstance(v, str):
        return v
    return None if np.isnan(v) else v if isinstance(v, int) else float(v)


def lines(rows):
    return "[\n" + ",\n".join("  " + json.dumps(r, ensure_ascii=False, separators=(",", ":")) for r in rows) + "\n ]"


class Maker:
    """Writes packages below a folder, each after its graph has agreed with the library."""

    def __init__(self, root):
        self.root = root

    def package(self, name, task, features, graph, rows, names=None, missing=False, **answers):
        """Writes one. names are those of labels that are numbers; rows are lists of values by feature."""
        folder = self.root / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        graph.graph.name = name
        imports = sorted(graph.opset_import, key=lambda i: i.domain)  # the converters' order differs from run to run
        del graph.opset_import[:]
        graph.opset_import.extend(imports)
        (folder / "model.onnx").write_bytes(graph.SerializeToString(deterministic=True))
        onnx.checker.check_model(graph)
        worst = compare(folder / "model.onnx", rows, names, answers)
        leat = {"task": task, "features": features} | ({"missing": "nan"} if missing else {})
        config = {"leat": leat} | ({"id2label": {str(i): n for i, n in enumerate(names)}, "label2id": {n: i for i, n in enumerate(names)}} if names else {})
        (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        head = json.dumps({"task": task, "versions": VERSIONS} | ({"classes": answers.pop("classes")} if "classes" in answers else {}))
        body = [f'"rows": {lines([[value(v) for v in r] for r in rows])}'] + [f'"{k}": {lines(a)}' for k, a in answers.items()]
        (folder / "cases.json").write_text(head[:-1] + ",\n " + ",\n ".join(body) + "\n}\n")
        json.loads((folder / "cases.json").read_text())
        size = sum(f.stat().st_size for f in folder.iterdir())
        session = ort.InferenceSession(str(folder / "model.onnx"))
        ports = lambda values: ", ".join(f"{v.name} {v.type}{v.shape or ''}" for v in values)
        print(f"{name}: {len(rows)} rows; ONNX within {worst:.1e}; {size} bytes; {ports(session.get_inputs())} -> {ports(session.get_outputs())}", flush=True)

    def classifier(self, name, m, graph, features, rows, names=None, missing=False):
        """Records the labels and scores of a classifier over one matrix."""
        x = single(rows)
        given = list(m.classes_) if not hasattr(m, "named_steps") else list(m[-1].classes_)
        show = lambda c: str(c) if isinstance(c, str) else names[int(c)]
        self.package(name, "tabular-classification", features, graph, rows, names, missing, classes=[show(c) for c in given],
                     labels=[show(c) for c in m.predict(x)], scores=[[number(v) for v in r] for r in m.predict_proba(x)])

    def regressor(self, name, m, graph, features, rows, missing=False):
        y = m.predict(single(rows))
        self.package(name, "tabular-regression", features, graph, rows, missing=missing,
                     numbers=[number(v) if y.ndim == 1 else [number(e) for e in v] for v in y])


def feed(session, rows):
    """The inputs of a graph: one matrix, or a column for each."""
    types = {"tensor(float)": np.float32, "tensor(int64)": np.int64, "tensor(string)": object}
    inputs = session.get_inputs()
    if len(inputs) == 1:
        return {inputs[0].name: np.array(rows, np.float32)}
    return {i.name: np.array([r[k] for r in rows], types[i.type]).reshape(-1, 1) for k, i in enumerate(inputs)}


def compare(path, rows, names, answers):
    """How far ONNX Runtime is from the library at the most."""
    session = ort.InferenceSession(str(path))
    found = session.run(None, feed(session, rows))
    if "numbers" in answers:
        expected = np.array(answers["numbers"]).reshape(len(rows), -1)
        worst = np.abs((found[0].reshape(expected.shape) - expected) / np.maximum(1, np.abs(expected))).max()
    else:
        scores = found[1]
        if isinstance(scores, list):
            scores = np.array([list(s.values()) for s in scores])
        expected = np.array(answers["scores"])
        worst = np.abs(scores - expected).max()
        clear = np.sort(expected, 1)[:, -1] - np.sort(expected, 1)[:, -2] > 1e-3
        labels = [names[v] if isinstance(v, int) else v for v in found[0].tolist()]
        assert all(a == b for a, b, c in zip(labels, answers["labels"], clear) if c), f"{path}: labels differ"
    assert worst < WITHIN, f"{path}: ONNX Runtime is {worst} from the library"
    return worst


def to_onnx(m, width, zipmap=None):
    options = {} if zipmap is None else {"options": {id(m): {"zipmap": zipmap}}}
    return skl2onnx.convert_sklearn(m, initial_types=[("X", FloatTensorType([None, width]))], target_opset={"": OPSET, "ai.onnx.ml": 3}, **options)


def machines(n):
    """A seeded table of machine readings with columns of three types."""
    rng = np.random.default_rng(SEED)
    table = pd.DataFrame({
        "site": rng.choice(["north", "south", "Zürich", ""], n), "kind": rng.choice(["pump", "press", "mill"], n),
        "temperature": np.round(rng.normal(60, 12, n), 2), "vibration": np.round(rng.exponential(2, n), 3), "starts": rng.integers(0, 500, n),
    })
    score = 0.08 * (table.temperature - 60) + 0.5 * table.vibration + (table.kind == "mill") + 0.9 * (table.site == "Zürich") + rng.normal(0, 0.5, n)
    return table, score


def columns():
    return ColumnTransformer([("kinds", OneHotEncoder(handle_unknown="ignore"), ["site", "kind"]), ("numbers", StandardScaler(), ["temperature", "vibration", "starts"])])


def tables(make):
    """Pipelines over named columns of strings, numbers and whole numbers: a graph has an input for each."""
    table, score = machines(600)
    state = np.where(score > 2, "alarm", np.where(score > 1, "watch", "ok"))
    types = {"site": StringTensorType, "kind": StringTensorType, "temperature": FloatTensorType, "vibration": FloatTensorType, "starts": Int64TensorType}
    initial = [(c, types[c]([None, 1])) for c in table.columns]
    features = [{"name": "site", "dtype": "string"}, {"name": "kind", "dtype": "string"}] + [{"name": c, "dtype": t} for c, t in (("temperature", "float32"), ("vibration", "float32"), ("starts", "int64"))]
    rows = [[str(r[0]), str(r[1]), float(r[2]), float(r[3]), int(r[4])] for r in machines(50)[0].itertuples(index=False)]
    rows += [["unknown", "pump", 60.0, 1.0, 10], ["", "", 0.0, 0.0, 0], ["Zürich", "mill", 1e6, -5.5, -3], ["Zu\u0308rich", "MILL", 61.25, 2.5, 499]]
    given = pd.DataFrame(rows, columns=table.columns).astype({"temperature": np.float32, "vibration": np.float32}).astype({"temperature": float, "vibration": float})

    m = make_pipeline(columns(), LogisticRegression(max_iter=500)).fit(table, state)
    graph = skl2onnx.convert_sklearn(m, initial_types=initial, target_opset={"": OPSET, "ai.onnx.ml": 3}, options={"zipmap": False})
    make.package("columns-classifier", "tabular-classification", features, graph, rows, classes=list(m.classes_), labels=list(m.predict(given)), scores=[[number(v) for v in r] for r in m.predict_proba(given)])
    m = make_pipeline(columns(), Ridge()).fit(table, score)
    graph = skl2onnx.convert_sklearn(m, initial_types=initial, target_opset={"": OPSET, "ai.onnx.ml": 3})
    make.package("columns-regressor", "tabular-regression", [f["name"] for f in features], graph, rows, numbers=[number(v) for v in m.predict(given)])


def classifiers(make):
    iris, cancer = load_iris(), load_breast_cancer()
    flowers, kinds = [n.removesuffix(" (cm)") for n in iris.feature_names], iris.target_names.tolist()
    cells, finding = cancer.feature_names.tolist(), cancer.target_names.tolist()
    ix, cx = single(iris.data), single(cancer.data)
    irows, crows = cases(iris.data, False), cases(cancer.data, False)
    strings = iris.target_names[iris.target]

    m = LogisticRegression(max_iter=1000).fit(ix, iris.target)
    make.classifier("logistic-map", m, to_onnx(m, 4), flowers, irows, kinds)
    m = LogisticRegression(max_iter=1000).fit(ix, strings)
    make.classifier("logistic", m, to_onnx(m, 4, False), flowers, irows)
    m = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(cx, cancer.target)
    make.classifier("scaled-binary", m, to_onnx(m, 30, False), cells, crows, finding)
    m = RandomForestClassifier(12, max_depth=6, random_state=SEED).fit(cx, cancer.target)
    make.classifier("forest-binary", m, to_onnx(m, 30), cells, crows, finding)
    m = RandomForestClassifier(12, max_depth=6, random_state=SEED).fit(ix, strings)
    make.classifier("forest-strings", m, to_onnx(m, 4), flowers, irows)
    m = GradientBoostingClassifier(n_estimators=15, random_state=SEED).fit(cx, cancer.target)
    make.classifier("gradient-boosting", m, to_onnx(m, 30, False), cells, crows, finding)
    m = make_pipeline(StandardScaler(), MLPClassifier((16, 16), max_iter=200, random_state=SEED)).fit(ix, strings)
    make.classifier("perceptron", m, to_onnx(m, 4, False), flowers, irows, kinds)  # its graph does not tell the classes as trees and lines do
    m = HistGradientBoostingClassifier(max_iter=12, random_state=SEED).fit(with_holes(ix), iris.target)
    make.classifier("hist-gradient-boosting", m, to_onnx(m, 4, False), flowers, cases(iris.data, True), kinds, missing=True)

    inputs = lambda n: [("input", MLFloatTensorType([None, n]))]
    for name, x, y, features, names in (("multi", ix, iris.target, flowers, kinds), ("binary", cx, cancer.target, cells, finding)):
        rows = cases(x, True)
        m = xgboost.XGBClassifier(n_estimators=12, max_depth=4, random_state=SEED).fit(with_holes(x), y)
        make.classifier("xgboost-" + name, m, onnxmltools.convert_xgboost(m, initial_types=inputs(x.shape[1]), target_opset=15), features, rows, names, missing=True)
        m = lightgbm.LGBMClassifier(n_estimators=12, num_leaves=8, random_state=SEED, verbose=-1).fit(with_holes(x), y)
        make.classifier("lightgbm-" + name, m, onnxmltools.convert_lightgbm(m, initial_types=inputs(x.shape[1]), target_opset=15, zipmap=name == "multi"), features, rows, names, missing=True)


def regressors(make):
    data = load_diabetes(scaled=False)
    x, y, features = single(data.data), data.target, data.feature_names
    rows = cases(data.data, False)
    m = LinearRegression().fit(x, y)
    make.regressor("linear", m, to_onnx(m, 10), features, rows)
    m = LinearRegression().fit(x, np.stack([y, y**0.5 - x[:, 2]], 1))
    make.regressor("two-targets", m, to_onnx(m, 10), features, rows)
    m = RandomForestRegressor(10, max_depth=6, random_state=SEED).fit(x, y)
    make.regressor("forest-regressor", m, to_onnx(m, 10), features, rows)
    m = make_pipeline(StandardScaler(), PolynomialFeatures(2), Ridge(10)).fit(x, y)
    make.regressor("polynomial", m, to_onnx(m, 10), features, rows[:60])  # the squares of rows far off leave single precision

    rows = cases(data.data, True)
    m = HistGradientBoostingRegressor(max_iter=12, max_leaf_nodes=15, random_state=SEED).fit(with_holes(x), y)
    make.regressor("hist-gradient-boosting-regressor", m, to_onnx(m, 10), features, rows, missing=True)
    inputs = [("input", MLFloatTensorType([None, 10]))]
    m = xgboost.XGBRegressor(n_estimators=12, max_depth=4, random_state=SEED).fit(with_holes(x), y)
    make.regressor("xgboost-regressor", m, onnxmltools.convert_xgboost(m, initial_types=inputs, target_opset=15), features, rows, missing=True)
    m = lightgbm.LGBMRegressor(n_estimators=12, num_leaves=8, random_state=SEED, verbose=-1).fit(with_holes(x), y)
    make.regressor("lightgbm-regressor", m, onnxmltools.convert_lightgbm(m, initial_types=inputs, target_opset=15), features, rows, missing=True)


def main(folder):
    warnings.simplefilter("ignore")
    whole_flags()
    make = Maker(pathlib.Path(folder) / "tabular")
    classifiers(make)
    regressors(make)
    tables(make)


if __name__ == "__main__":
    main(sys.argv[1])
