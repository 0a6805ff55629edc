"""Says which expressions Python can parse: reads a JSON string per line, writes "" or the text of the SyntaxError."""

import ast
import json
import sys
import warnings

warnings.simplefilter("ignore")



def wrong(text):
    """Returns what is wrong with a text as an expression that may stretch over lines, or ""."""
    try:
        tree = ast.parse("(" + text + " \n)", mode="eval").body
        inner = ast.parse("[" + text + " \n]", mode="eval").body  # a)(b is none
        if isinstance(inner, ast.ListComp) or isinstance(inner, ast.List) and not inner.elts:
            return "not an expression by itself"
        compile(ast.Expression(tree), "<expr>", "eval")
    except SyntaxError as e:
        return e.msg
    except (ValueError, MemoryError, RecursionError) as e:
        return repr(e)
    return ""


for line in sys.stdin:
    sys.stdout.write(json.dumps(wrong(json.loads(line))) + "\n")
