"""Runs the cases of spec/ in the reference, Apache Beam, and tells where its answers are not ours.

Run from the root of the repository, with apache-beam[yaml] 2.77.0 installed:

    python3 reference/beam_spec.py [-v] [TEXT ...]      only cases with TEXT in their file or title

A case is equal, differs, or is refused (the reference fails where we give rows). Rows and lines of outputs are
compared as multisets, floats exactly. Cases of failures and problems are not compared: texts and places are ours. A
case that differs must name a line of docs/DIFFERENCES.md in its title, as D4; else the exit status is 1.
"""

import glob
import logging
import os
import re
import signal
import sys
import tempfile

import apache_beam as beam
import yaml
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.yaml import yaml_provider, yaml_transform

RUNNER = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"
SECONDS = 60  # of a case


def parse(path):
    """The cases of a specification file: lists of title and sections (kind, name, text)."""
    cases = []
    for line in open(path, encoding="utf-8"):
        if line.startswith("=== "):
            cases.append((line[4:].strip(), []))
        elif cases and line.startswith("--- "):
            kind, _, name = line[4:].strip().partition(" ")
            cases[-1][1].append([kind, name, ""])
        elif cases and cases[-1][1]:
            cases[-1][1][-1][2] += line
    return cases


def unescape(text):
    """The bytes that a section stands for."""
    text = text.rstrip("\n") + "\n"
    text = text.removesuffix("\\c\n")
    return re.sub(rb"\\x([0-9a-fA-F]{2})", lambda m: bytes.fromhex(m[1].decode()), text.encode())


def show(v):
    """v as Collect shows it: a row of any class as Row(…)."""
    if hasattr(v, "item") and not isinstance(v, (bytes, str)):
        v = v.item()  # a number of numpy's
    if hasattr(v, "_fields") or isinstance(v, beam.Row):
        fields = v._asdict() if hasattr(v, "_asdict") else v.as_dict()
        return "Row(" + ", ".join(f"{name}={show(value)}" for name, value in fields.items()) + ")"
    if isinstance(v, (list, tuple)) or type(v).__name__ == "ndarray":
        return "[" + ", ".join(show(e) for e in v) + "]"
    if isinstance(v, dict):
        return "{" + ", ".join(f"{show(k)}: {show(e)}" for k, e in v.items()) + "}"
    return repr(v)


def milliseconds(t):
    return t.micros // 1000


COLLECTED = {}  # the rows of each name; the workers are threads of this process


class Keep(beam.DoFn):
    def __init__(self, name, time, window):
        self.name, self.time, self.window = name, time, window

    def process(self, row, timestamp=beam.DoFn.TimestampParam, window=beam.DoFn.WindowParam):
        line = show(row)
        if not line.startswith("Row("):
            line = "Row(element=" + line + ")"
        if self.time:
            line += f" @ {milliseconds(timestamp)}"
        if self.window and hasattr(window, "start"):
            line += f" [{milliseconds(window.start)}, {milliseconds(window.end)})"
        COLLECTED.setdefault(self.name, []).append(line)


class Collect(beam.PTransform):
    """The Collect of spec/collect.go."""

    def __init__(self, **config):
        super().__init__()
        self.config = config

    def expand(self, rows):
        c = self.config
        rows | "Keep" >> beam.ParDo(Keep(c.get("as", ""), c.get("time", False), c.get("window", False)))
        return rows


def run(sections, folder):
    """Runs the pipeline of a case; returns what came out instead of the text of each section compared."""
    COLLECTED.clear()
    text = ""
    for kind, name, content in sections:
        if kind == "pipeline":
            text = content
        elif kind == "file":
            path = os.path.join(folder, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as f:
                f.write(unescape(content))
    text = yaml_transform.expand_jinja(text, {"dir": folder}, [folder])
    spec = yaml.load(text, Loader=yaml_transform.SafeLineLoader)
    providers = {"Collect": [yaml_provider.InlineProvider({"Collect": sys.modules["beam_spec"].Collect})]}
    options = PipelineOptions(
        ["--runner=" + RUNNER], pickle_library="cloudpickle",
        **yaml_transform.SafeLineLoader.strip_metadata(spec.get("options", {})))
    with beam.Pipeline(options=options) as p:
        yaml_transform.expand_pipeline(p, spec, providers, pipeline_path=os.path.join(folder, "pipeline.yaml"))
    out = []
    for kind, name, _ in sections:
        if kind == "rows":
            out.append(COLLECTED.get(name, []))
        elif kind == "output":
            shards = glob.glob(os.path.join(folder, re.sub(r"-\d+-of-\d+$", "-*-of-*", name)))
            out.append([line for s in shards for line in open(s, encoding="utf-8", errors="replace").read().splitlines()])
    return out


def wanted(sections):
    out = []
    for kind, _, text in sections:
        if kind in ("rows", "output"):
            lines = [line for line in text.rstrip("\n").split("\n") if line]
            if kind == "rows" and lines and lines[0].startswith("(") and not lines[0].startswith("Row("):
                lines = lines[1:]  # the schema
            out.append(lines)
    return out


def compare(sections):
    """Returns equal, differs or refused, and why."""
    with tempfile.TemporaryDirectory() as folder:
        signal.alarm(SECONDS)
        try:
            got = run(sections, folder)
        except Exception as e:
            cause = e
            while cause.__cause__ is not None:
                cause = cause.__cause__
            return "refused", str(cause or e).strip().replace(folder, "DIR")
        finally:
            signal.alarm(0)
        want = wanted(sections)
        why = ""
        for ours, beams in zip(want, got):
            beams = [line.replace(folder, "DIR") for line in beams]
            if sorted(ours) != sorted(beams):
                why += f"ours: {sorted(ours)}\nBeam: {sorted(beams)}\n"
        return ("differs", why) if why else ("equal", "")


def timed_out(*_):
    raise TimeoutError(f"no end after {SECONDS} s")


def main(arguments):
    logging.disable(logging.CRITICAL)
    signal.signal(signal.SIGALRM, timed_out)
    verbose, only = "-v" in arguments, [a for a in arguments if a != "-v"]
    counts = {"equal": 0, "differs": 0, "refused": 0}
    unlisted = 0
    root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "spec")
    for path in sorted(glob.glob(root + "/*.txt") + glob.glob(root + "/*/*.txt")):
        file = os.path.relpath(path, root)
        for title, sections in parse(path):
            name = f"{file}: {title}"
            if only and not any(text in name for text in only):
                continue
            kinds = {kind for kind, _, _ in sections}
            if not kinds & {"rows", "output"} or "error" in kinds:
                continue
            answer, why = compare(sections)
            counts[answer] += 1
            unlisted += answer == "differs" and not re.search(r"\bD\d+\b", title)
            if verbose or answer != "equal":
                print(f"{answer}: {name}", flush=True)
                for line in why.splitlines()[:12]:
                    print("    " + line[:400])
    print(", ".join(f"{n} {answer}" for answer, n in counts.items()) + f"; {unlisted} differ that are not listed")
    return 1 if unlisted else 0


if __name__ == "__main__":
    # The workers must find this module by its name, so that they share COLLECTED.
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import beam_spec

    sys.exit(beam_spec.main(sys.argv[1:]))
