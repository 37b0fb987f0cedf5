"""L112: documents and scripts held different limits; every limit is defined once and used by its name."""

import ast
from pathlib import Path

import darkhaloscope.gates as package
from darkhaloscope.gates.thresholds import DEFAULTS


def test_judges_name_limits_that_exist_and_every_limit_is_used():
    text = ""
    used = set()
    for path in sorted(Path(package.__file__).parent.rglob("*.py")):
        if path.name == "thresholds.py":
            continue
        source = path.read_text()
        text += source
        for node in ast.walk(ast.parse(source)):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if node.func.attr in {"get", "value"} and len(node.args) == 2:
                values = [a.value for a in node.args if isinstance(a, ast.Constant)]
                if len(values) == 2 and all(isinstance(v, str) for v in values):
                    used.add(tuple(values))
    assert used <= set(DEFAULTS), used - set(DEFAULTS)
    unused = {
        (gate, name)
        for gate, name in set(DEFAULTS) - used
        # names put together from a control kind or a side
        if not any(part in text for part in (f'"{name}"', 'f"max_abs_d_', "_ratio_matched_light"))
    }
    assert unused == set()
