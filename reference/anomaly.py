"""Records what Beam's anomaly detectors answer, for kernel/anomaly_test.go.

    python reference/anomaly.py > kernel/testdata/anomaly.json
"""
import json
import math
import random
import warnings

import apache_beam as beam
from apache_beam.ml.anomaly.detectors.iqr import IQR
from apache_beam.ml.anomaly.detectors.robust_zscore import RobustZScore
from apache_beam.ml.anomaly.detectors.zscore import ZScore
from apache_beam.ml.anomaly.thresholds import FixedThreshold, QuantileThreshold
from apache_beam.ml.anomaly.univariate.mad import MadTracker
from apache_beam.ml.anomaly.univariate.mean import *
from apache_beam.ml.anomaly.univariate.median import MedianTracker
from apache_beam.ml.anomaly.univariate.quantile import *
from apache_beam.ml.anomaly.univariate.stdev import *

warnings.simplefilter("ignore")


def sequences():
    rng = random.Random(5)
    yield "short", [1, 2, 2, 4, 9]
    yield "constant", [3.5] * 12 + [3.6] + [3.5] * 5
    yield "ties", [rng.choice([1.0, 2.0, 2.0, 3.0]) for _ in range(60)] + [50.0]
    yield "missing", [None if rng.random() < 0.1 else rng.gauss(0, 1) for _ in range(80)]
    yield "large", [1e12 + rng.gauss(0, 1) for _ in range(80)]
    yield "tiny", [rng.gauss(0, 1) * 1e-14 for _ in range(40)]
    yield "long", [rng.gauss(20, 3) + (40 if i % 97 == 96 else 0) for i in range(1500)]


def spec(typ, **config):
    return {"type": typ, "config": config}


# Each is the configuration as YAML has it, and the same as objects.
def detectors():
    yield spec("ZScore"), lambda: ZScore()
    yield spec("IQR"), lambda: IQR()
    yield spec("RobustZScore"), lambda: RobustZScore()
    for n in (1, 2, 7):
        yield (spec("ZScore", sub_stat_tracker=spec("IncSlidingMeanTracker", window_size=n + 1), stdev_tracker=spec("IncSlidingStdevTracker", window_size=n + 1),
                    threshold_criterion=spec("FixedThreshold", cutoff=2)),
               lambda n=n: ZScore(sub_stat_tracker=IncSlidingMeanTracker(n + 1), stdev_tracker=IncSlidingStdevTracker(n + 1), threshold_criterion=FixedThreshold(2)))
        yield (spec("IQR", q1_tracker=spec("BufferedSlidingQuantileTracker", window_size=n, q=0.25)), lambda n=n: IQR(q1_tracker=BufferedSlidingQuantileTracker(n, 0.25)))
    yield (spec("ZScore", sub_stat_tracker=spec("IncLandmarkMeanTracker"), stdev_tracker=spec("IncLandmarkStdevTracker"), threshold_criterion=spec("QuantileThreshold")),
           lambda: ZScore(sub_stat_tracker=IncLandmarkMeanTracker(), stdev_tracker=IncLandmarkStdevTracker(), threshold_criterion=QuantileThreshold()))
    yield (spec("ZScore", sub_stat_tracker=spec("SimpleSlidingMeanTracker", window_size=9), stdev_tracker=spec("SimpleSlidingStdevTracker", window_size=9)),
           lambda: ZScore(sub_stat_tracker=SimpleSlidingMeanTracker(9), stdev_tracker=SimpleSlidingStdevTracker(9)))
    yield (spec("IQR", q1_tracker=spec("BufferedLandmarkQuantileTracker", q=0.25), q3_tracker=spec("BufferedSlidingQuantileTracker", window_size=20, q=0.75),
                threshold_criterion=spec("QuantileThreshold", quantile=0.8, outlier_label=7)),
           lambda: IQR(q1_tracker=BufferedLandmarkQuantileTracker(0.25), q3_tracker=BufferedSlidingQuantileTracker(20, 0.75),
                       threshold_criterion=QuantileThreshold(quantile=0.8, outlier_label=7)))
    yield (spec("RobustZScore", mad_tracker=spec("MadTracker", median_tracker=spec("MedianTracker", quantile_tracker=spec("BufferedSlidingQuantileTracker", window_size=15, q=0.5)),
                                                 diff_median_tracker=spec("MedianTracker", quantile_tracker=spec("BufferedSlidingQuantileTracker", window_size=10, q=0.5)))),
           lambda: RobustZScore(mad_tracker=MadTracker(MedianTracker(BufferedSlidingQuantileTracker(15, 0.5)), MedianTracker(BufferedSlidingQuantileTracker(10, 0.5)))))


def plain(x):
    if x is None:
        return None
    return repr(float(x))


def main():
    out = []
    for config, make in detectors():
        for name, values in sequences():
            if name == "long" and config["config"]:
                continue  # only the default windows are as long
            d = make()
            results = []
            for v in values:
                v = math.nan if v is None else float(v)
                row = beam.Row(v=v)
                try:
                    score = d.score_one(row)
                except ValueError:  # the square root of a sum that rounding has made negative
                    break
                label = d._threshold_criterion.apply(score)
                results.append([plain(score), label, plain(d._threshold_criterion.threshold)])
                d.learn_one(row)
            out.append({"detector": config, "name": name, "values": [plain(v) for v in values], "results": results})
    print(json.dumps(out, separators=(",", ":")))


main()
