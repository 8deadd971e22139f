"""Every block of README.md and docs: Python runs, commands name what exists.

A comment `<!-- not run: reason -->` before a Python block has it compiled only.
"""

import functools
import importlib.util
import json
import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / 'README.md', *sorted([*ROOT.glob('docs/**/*.md'), *ROOT.glob('configs/**/*.md')])]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
TARGETS = re.findall(r'^([\w-]+):', (ROOT / 'Makefile').read_text(encoding='utf-8'), re.MULTILINE)
RUN = """
import json, os, pathlib, shutil, sys, tempfile, traceback
import mmdet_frn
from mmengine.config import Config
folder = tempfile.mkdtemp()
shutil.copytree('configs', f'{folder}/configs')
os.chdir(folder)
failed = []
for where, code in json.load(sys.stdin):
    try:
        if '_base_' in code:
            path = pathlib.Path('configs/shapes/mine.py')
            path.write_text(code)
            Config.fromfile(path)
        else:
            exec(compile(code, where, 'exec'), {'__name__': where})
    except Exception:
        failed.append(f'{where}: {traceback.format_exc().splitlines()[-1]}')
sys.exit('\\n'.join(failed) or 0)
"""


def blocks(page, language):
    """The blocks of a language, with what is before each on the page."""
    text = page.read_text(encoding='utf-8')
    for match in re.finditer(rf'^```{language}\n(.*?)^```', text, re.DOTALL | re.MULTILINE):
        yield match[1], text[: match.start()].rstrip().rpartition('\n')[2]


def commands(block):
    """The words of each command, with the variables that the lines before it set filled in."""
    variables = {}
    for line in block.replace('\\\n', ' ').splitlines():
        text = line
        for name, value in variables.items():
            text = re.sub(rf'\${name}\b', value, text)
        words = shlex.split(text, comments=True)
        while words and re.fullmatch(r'\w+=.*', words[0]):
            name, _, value = words.pop(0).partition('=')
            variables[name] = output_of(value) if value.startswith('$(') else value
        if words and words[0] != 'export':
            yield words


@functools.cache
def output_of(value):
    """What a shell makes of a value with a command in it, with this python first on its path."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ['PATH']])
    command = ['sh', '-c', f'printf %s "{value}"']
    return subprocess.check_output(command, text=True, env={**os.environ, 'PATH': path})


def help_of(words, monkeypatch, capsys):
    """What a tool prints for --help after the words before its first option."""
    first = next((i for i, word in enumerate(words) if word.startswith('--')), len(words))
    module = words[0] == '-m'
    given = [word for word in words[module:first] if not word.startswith('<')]
    monkeypatch.setattr(sys, 'argv', [*given, '--help'])
    monkeypatch.setattr(sys, 'path', [str(ROOT), *sys.path])
    run = runpy.run_module if module else runpy.run_path
    with pytest.raises(SystemExit) as done:
        run(given[0] if module else str(ROOT / given[0]), run_name='__main__')
    assert not done.value.code
    return capsys.readouterr().out


def check_command(words, monkeypatch, capsys):
    program, *rest = words
    for path in (word for word in words if word.startswith(('configs/', 'tools/'))):
        assert (ROOT / path).exists() or '*' in path, f'{path} does not exist'
    if program == 'make':
        targets = [word for word in rest if '=' not in word]
        assert set(targets) <= set(TARGETS), f'no such target: {targets}'
    elif program == 'python':
        if rest[0] == '-m':
            assert importlib.util.find_spec(rest[1]), f'no module {rest[1]}'
        else:
            assert (ROOT / rest[0]).is_file(), f'{rest[0]} does not exist'
        options = [word.partition('=')[0] for word in rest if word.startswith('--')]
        if options:
            try:
                said = help_of(rest, monkeypatch, capsys)
            except ModuleNotFoundError as error:
                if error.name != 'seaborn':
                    raise
                return  # imported by MMDetection 3.3's analyze_logs, whose package lacks it
            missing = [o for o in options if not re.search(rf'{re.escape(o)}\b', said)]
            assert not missing, f'{rest[:2]} has no {missing}'
    else:
        assert program == 'pip' or (ROOT / program).is_file(), f'unknown command {program}'


@pytest.mark.parametrize('page', PAGES, ids=NAMES)
def test_commands_name_tools_targets_options_and_files_that_exist(page, monkeypatch, capsys):
    # As one: a block may use the variables of an earlier one.
    for words in commands('\n'.join(block for block, _ in blocks(page, 'sh'))):
        check_command(words, monkeypatch, capsys)


def test_python_blocks_run():
    found = []
    for page, name in zip(PAGES, NAMES, strict=True):
        for number, (block, before) in enumerate(blocks(page, 'python'), 1):
            where = f'{name}, block {number}'
            compile(block, where, 'exec')
            if not before.startswith('<!-- not run: '):
                found.append((where, block))
    assert found
    command = [sys.executable, '-c', RUN]
    done = subprocess.run(
        command, input=json.dumps(found), cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_links_lead_to_files():
    for page in PAGES:
        for target in re.findall(r'\]\(([^)#:]+)\)', page.read_text(encoding='utf-8')):
            assert (page.parent / target).exists(), f'{page.name}: {target}'


@pytest.mark.parametrize(
    'line',
    [
        'make no-such-target',
        'python tools/no_such_tool.py',
        'python tools/train.py configs/none.py',
        'python tools/make_shapes.py data --no-such-option',
        'python -m no_such_module',
        'nothing --at-all',
    ],
)
def test_a_wrong_command_is_noticed(line, monkeypatch, capsys):
    with pytest.raises(AssertionError):
        check_command(next(commands(line)), monkeypatch, capsys)


def test_the_api_page_is_that_of_the_docstrings():
    page = runpy.run_path(str(ROOT / 'docs/make_api.py'))['make_page']()
    assert (ROOT / 'docs/api.md').read_text(encoding='utf-8') == page, 'python docs/make_api.py'
