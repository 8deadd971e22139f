"""Scripts in processes of their own that need not import PyTorch and MMDetection anew.

A server imports them once, before it computes anything; each script is a fork of it, which starts
at once where a new interpreter takes many seconds. What differs from a new interpreter: the hash
seed is the server's. Tests of killed processes and of repeated runs start new interpreters.
"""

import multiprocessing
import os
import runpy
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SERVER = multiprocessing.get_context('forkserver')
SERVER.set_forkserver_preload([
    *('mmdet_frn', 'mmdet.apis', 'mmdet.datasets', 'mmdet.evaluation', 'mmdet.visualization'),
    *('mmdet_frn.engine.train', 'mmdet_frn.engine.evaluate', 'mmdet_frn.experiments.table6'),
])  # fmt: skip


def run_script(*words: object, processes: int = 1) -> subprocess.CompletedProcess:
    """Run a script of this project with arguments, and return what ``subprocess.run`` would.

    Args:
        words: The script, relative to the root, and its arguments.
        processes: As many, with the variables that torchrun sets. Output is the first one's;
            the status is the first that is not 0.
    """
    with tempfile.TemporaryDirectory() as folder:
        port = _free_port()
        children = []
        for rank in range(processes):
            env = dict(os.environ)
            if processes > 1:
                env |= {'MASTER_ADDR': '127.0.0.1', 'MASTER_PORT': str(port)}
                env |= {'RANK': str(rank), 'LOCAL_RANK': str(rank), 'WORLD_SIZE': str(processes)}
            args = ([str(word) for word in words], env, f'{folder}/{rank}')
            children.append(SERVER.Process(target=_run, args=args))
        for child in children:
            child.start()
        for child in children:
            child.join(600)
            child.kill()
        status = next((c.exitcode for c in children if c.exitcode != 0), 0)
        out, err = (Path(f'{folder}/0.{name}').read_text() for name in ('out', 'err'))
    return subprocess.CompletedProcess(words, status, out, err)


def _run(words: list[str], env: dict[str, str], output: str) -> None:
    for descriptor, name in ((1, 'out'), (2, 'err')):
        os.dup2(os.open(f'{output}.{name}', os.O_WRONLY | os.O_CREAT), descriptor)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(ROOT)
    sys.argv = words
    sys.path.insert(0, str(Path(words[0]).parent))
    runpy.run_path(words[0], run_name='__main__')


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(('127.0.0.1', 0))
        return found.getsockname()[1]
