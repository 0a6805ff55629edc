"""Evaluates expressions with Python itself, for the differential test of expr.

Reads a JSON object per line, {"expr": TEXT, "rows": [ROW, ...]}, and writes a JSON list per line with an outcome for
each row: {"v": VALUE}, or {"e": CLASS, "m": MESSAGE}. Values carry their types: {"i": "1"}, {"f": HEX}, {"b": HEX},
{"t": [...]}, {"s": [...]}, {"d": [[K, V], ...]}, {"r": [[NAME, V], ...]}; null, booleans, strings and lists are as in JSON.

Integers are limited to 64 bits, as in leat: every operation is checked, and what leaves the range is an OverflowError.
"""

import ast
import json
import operator
import re
import resource
import signal
import sys
import warnings

warnings.simplefilter("ignore")

LIMIT = 256 << 20


class Row:
    """A row: fields as attributes, as Beam's rows have them, and by name as leat adds."""

    def __init__(self, fields):
        self.__dict__.update(fields)

    def __getitem__(self, name):
        if not isinstance(name, str):
            raise TypeError("row indices must be strings, not " + type(name).__name__)
        return self.__dict__[name]

    def __eq__(self, other):
        return isinstance(other, Row) and self.__dict__ == other.__dict__

    def __hash__(self):
        return hash(tuple(self.__dict__.values()))

    def __len__(self):
        return len(self.__dict__)

    def __contains__(self, _):
        raise TypeError("argument of type 'Row' is not iterable")

    def __iter__(self):
        raise TypeError("'Row' object is not iterable")

    def __repr__(self):
        return "Row(" + ", ".join(f"{k}={v!r}" for k, v in self.__dict__.items()) + ")"


def decode(v):
    if isinstance(v, list):
        return [decode(x) for x in v]
    if not isinstance(v, dict):
        return v
    ((kind, x),) = v.items()
    if kind == "i":
        return int(x)
    if kind == "f":
        return float.fromhex(x)
    if kind == "b":
        return bytes.fromhex(x)
    if kind == "t":
        return tuple(decode(e) for e in x)
    if kind == "d":
        return {decode(k): decode(e) for k, e in x}
    if kind == "r":
        return Row({k: decode(e) for k, e in x})
    raise ValueError(kind)


def encode(v):
    if v is None or isinstance(v, (bool, str)):
        return v
    if isinstance(v, int):
        return {"i": str(v)}
    if isinstance(v, float):
        return {"f": v.hex()}
    if isinstance(v, bytes):
        return {"b": v.hex()}
    if isinstance(v, list):
        return [encode(x) for x in v]
    if isinstance(v, tuple):
        return {"t": [encode(x) for x in v]}
    if isinstance(v, set):
        return {"s": [encode(x) for x in v]}
    if isinstance(v, dict):
        return {"d": [[encode(k), encode(x)] for k, x in v.items()]}
    if isinstance(v, Row):
        return {"r": [[k, encode(x)] for k, x in v.__dict__.items()]}
    raise TypeError("a '%s' object cannot be the value of a field" % type(v).__name__)


class Skip(BaseException):
    """Ends what cannot be compared: the order of a set is not defined."""


def too_long(*_):
    raise Skip


class Beyond(OverflowError):
    pass


def check(v):
    """Refuses integers beyond 64 bits, in lists and tuples too."""
    if type(v) is int:
        if not -(1 << 63) <= v < 1 << 63:
            raise Beyond("beyond 64 bits")
    elif type(v) is tuple:
        for x in v:
            check(x)
    return v


def is_int(v):
    return isinstance(v, int)


def power(a, b):
    if is_int(a) and is_int(b) and b > 64 and abs(a) > 1:
        raise Beyond("beyond 64 bits")
    v = a**b
    if isinstance(v, complex):
        raise ValueError("complex")
    return v


def shift(a, b):
    if is_int(a) and is_int(b) and b > 64 and a:
        raise Beyond("beyond 64 bits")
    return a << b


def times(a, b):
    for x, n in ((a, b), (b, a)):
        if isinstance(x, (str, bytes, list, tuple)) and is_int(n) and len(x) * n > LIMIT // 16:
            raise MemoryError("too big")
    return a * b


VIEWS = (type({}.keys()), type({}.items()))


def of_sets(operation):
    def apply(a, b):
        if isinstance(a, VIEWS) or isinstance(b, VIEWS):
            raise Skip
        return operation(a, b)

    return apply


def modulo(a, b):
    if isinstance(b, Row):
        b = (b,)
    v = a % b
    if isinstance(a, str) and re.search("%[^a-zA-Z%]*[lhL]?[diu]", a):
        for x in b if isinstance(b, tuple) else (b,):
            if isinstance(x, float) and abs(x) >= 2**63 and x - x == 0 and str(int(x)) in v and "." not in v:
                raise Beyond("beyond 64 bits")
    return v


BINARY = {
    ast.Add: operator.add, ast.Sub: of_sets(operator.sub), ast.Mult: times, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: modulo, ast.Pow: power, ast.LShift: shift,
    ast.RShift: operator.rshift, ast.BitOr: of_sets(operator.or_), ast.BitXor: of_sets(operator.xor), ast.BitAnd: of_sets(operator.and_),
}


def sum_checked(values, start=0):
    if isinstance(start, str):
        raise TypeError("sum() can't sum strings [use ''.join(seq) instead]")
    if isinstance(start, bytes):
        raise TypeError("sum() can't sum bytes [use b''.join(seq) instead]")
    total = start
    for v in values:
        total = check(total + v)
    return total


def sum_named(*args, **keywords):
    if not 1 <= len(args) <= 2:
        raise TypeError("sum() takes at most 2 arguments")
    return sum_checked(*args, **keywords)


class Instrument(ast.NodeTransformer):
    """Routes operators and calls through the checks."""

    def visit_BinOp(self, node):
        self.generic_visit(node)
        name = ast.Name(id="__op_" + type(node.op).__name__, ctx=ast.Load())
        return self.checked(ast.Call(func=name, args=[node.left, node.right], keywords=[]))

    def visit_UnaryOp(self, node):
        self.generic_visit(node)
        if isinstance(node.op, ast.Not):
            return node
        return self.checked(node)

    def visit_Call(self, node):
        self.generic_visit(node)
        return self.checked(node)

    def checked(self, node):
        return ast.Call(func=ast.Name(id="__check", ctx=ast.Load()), args=[node], keywords=[])


def pow_checked(base, exp, mod=None):
    if mod is None:
        return power(base, exp)
    return pow(base, exp, mod)


HELPERS = {"__op_" + k.__name__: f for k, f in BINARY.items()}
HELPERS.update(__check=check, sum=sum_named, pow=pow_checked, abs=lambda v: check(abs(v)))


def outcomes(text, rows):
    try:
        tree = Instrument().visit(ast.parse("(" + text + ")", mode="eval"))
        code = compile(ast.fix_missing_locations(tree), "<expr>", "eval")
    except SyntaxError as e:
        return [{"e": "SyntaxError", "m": str(e)} for _ in rows]
    except MemoryError as e:
        return [{"e": "SyntaxError", "m": "too deep"} for _ in rows]
    out = []
    signal.setitimer(signal.ITIMER_REAL, 3, 3)
    for row in rows:
        names = dict(HELPERS)
        names.update(row.__dict__)
        names["__row__"] = row
        try:
            out.append({"v": encode(eval(code, names))})
        except Skip:
            out.append({"skip": True})
        except Beyond as e:
            out.append({"e": "OverflowError", "m": str(e), "beyond": True})
        except MemoryError:
            out.append({"skip": True})
        except Exception as e:
            out.append({"e": type(e).__name__, "m": str(e)})
    signal.setitimer(signal.ITIMER_REAL, 0)
    return out


def main():
    resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
    signal.signal(signal.SIGALRM, too_long)
    for line in sys.stdin:
        job = json.loads(line)
        rows = [decode(r) for r in job["rows"]]
        sys.stdout.write(json.dumps(outcomes(job["expr"], rows)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
