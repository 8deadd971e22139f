"""Write docs/api.md: every public name with the first line of its docstring."""

import importlib
import inspect
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MODULES = {
    'mmdet_frn.layers': 'Norms, activations and convolutions',
    'mmdet_frn.norms': 'The table of norms',
    'mmdet_frn.ops': 'Fused ops',
    'mmdet_frn.models': 'Models',
    'mmdet_frn.convert': 'From BN to FRN',
    'mmdet_frn.engine': 'Hooks, optimisers and samplers',
    'mmdet_frn.datasets': 'Datasets',
}
HEAD = """# API reference

Written by `python docs/make_api.py` from the docstrings; a test compares. Each link leads to the
source, whose docstring has arguments, shapes and errors. Classes registered with MMEngine are named
in configs by `type='NAME'`. `mmdet_frn.convert` is also the function of that name.
"""


def make_page() -> str:
    """Return the page."""
    return '\n'.join([HEAD, *(section(name, title) for name, title in MODULES.items())])


def section(name: str, title: str) -> str:
    """Return a module's heading and table."""
    module = importlib.import_module(name)
    public = [n for n in module.__all__ if not n.startswith('__')]
    rows = [row(n, getattr(module, n)) for n in sorted(public, key=str.lower)]
    return '\n'.join([f'## {name}: {title}\n', '| name | |', '|:--|:--|', *rows, ''])


def row(name: str, value: object) -> str:
    """Return a row: the name with its source, and one line."""
    if not (inspect.isclass(value) or inspect.isroutine(value)):
        return f'| `{name}` | {type(value).__name__} |'
    path = Path(inspect.getsourcefile(inspect.unwrap(value))).relative_to(ROOT)
    first = inspect.getdoc(value).splitlines()[0].replace('|', r'\|')
    call = '' if inspect.isclass(value) else '()'
    return f'| [`{name}{call}`](../{path}) | {first} |'


if __name__ == '__main__':
    (ROOT / 'docs/api.md').write_text(make_page(), encoding='utf-8')
