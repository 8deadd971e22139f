"""A tiny COCO, and a server for it that can be told to misbehave."""

import hashlib
import io
import json
import shutil
import threading
import zipfile
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image

from mmdet_frn.datasets.coco2017 import download, prepare_coco
from mmdet_frn.datasets.coco2017.table import Archive, CocoTable, Split

SIZE = (40, 30)
ZIPS = ['annotations/annotations_trainval2017.zip', 'zips/train2017.zip', 'zips/val2017.zip']


def jpeg(seed):
    pixels = np.random.default_rng(seed).integers(0, 255, (*SIZE[::-1], 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, 'jpeg', quality=95)
    return file.getvalue()


def coco_json(names):
    images = [
        dict(id=i, file_name=name, width=SIZE[0], height=SIZE[1]) for i, name in enumerate(names)
    ]
    annotations = [
        dict(id=i, image_id=i, category_id=1, bbox=[1, 2, 3, 4], area=12, iscrowd=0)
        for i in range(len(names))
    ]
    categories = [dict(id=1, name='cat')]
    return json.dumps(dict(images=images, annotations=annotations, categories=categories))


def zip_of(members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, 'w') as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


@dataclass
class Served:
    """The files of a server (or an HTTP status), what it was asked for, and its faults."""

    files: dict
    url: str = ''
    ranges: bool = True
    # The number of bytes after which each of the next answers breaks off.
    breaks: list = field(default_factory=list)
    # Called before each answer.
    before: object = lambda: None
    # Whether the answer waits after 16 KiB, as for a process that is to be killed.
    hold: bool = False
    released: threading.Event = field(default_factory=threading.Event)
    requests: list = field(default_factory=list)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """Say nothing: clients that are killed hang up."""


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_GET(self):
        served = self.server.served
        name = self.path.lstrip('/')
        served.requests.append((name, self.headers.get('Range')))
        served.before()
        content = served.files.get(name, 404)
        if isinstance(content, int):
            self.send_error(content)
            return
        start = 0
        if served.ranges and self.headers.get('Range'):
            start = int(self.headers['Range'].removeprefix('bytes=').rstrip('-'))
            self.send_response(206)
            self.send_header('Content-Range', f'bytes {start}-{len(content) - 1}/{len(content)}')
        else:
            self.send_response(200)
        self.send_header('Content-Length', str(len(content) - start))
        self.end_headers()
        end = start + served.breaks.pop(0) if served.breaks else len(content)
        self.wfile.write(content[start : min(start + (1 << 14), end)])
        if served.hold:
            served.released.wait(20)
        self.wfile.write(content[start + (1 << 14) : end])


@pytest.fixture
def served(monkeypatch):
    """A server of a tiny COCO on this machine."""
    if not shutil.which('curl'):
        pytest.skip('no curl')
    trees = {
        'train': {f'train2017/{i:012d}.jpg': jpeg(i) for i in range(20)},
        'val': {f'val2017/{i:012d}.jpg': jpeg(i) for i in range(100, 104)},
    }
    lists = {
        f'annotations/instances_{split}2017.json': coco_json([n.split('/')[1] for n in members])
        for split, members in trees.items()
    }
    contents = (zip_of(lists), zip_of(trees['train']), zip_of(trees['val']))
    monkeypatch.setattr(download.time, 'sleep', lambda seconds: None)
    monkeypatch.setenv('no_proxy', '*')
    server = Server(('127.0.0.1', 0), Handler)
    url = f'http://127.0.0.1:{server.server_port}'
    server.served = Served(dict(zip(ZIPS, contents, strict=True)), url)
    threading.Thread(target=lambda: server.serve_forever(0.01), daemon=True).start()
    yield server.served
    server.served.released.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def table(served):
    def archive(path):
        content = served.files[path]
        sha256 = hashlib.sha256(content).hexdigest()
        return Archive(path, len(content), 2 * len(content), sha256)

    splits = dict(
        train=Split('train2017', 20, 20, archive(ZIPS[1])),
        val=Split('val2017', 4, 4, archive(ZIPS[2])),
    )
    return CocoTable(served.url, splits, archive(ZIPS[0]), categories=1)


@pytest.fixture
def prepare(table, tmp_path, capsys):
    """Prepare the folder of the tiny COCO; return the status and the lines."""

    def run(*splits, download=False, **options):
        capsys.readouterr()
        if download:
            options.setdefault('base_url', '')
        status = prepare_coco(tmp_path / 'coco', splits or ('train', 'val'), table=table, **options)
        return status, capsys.readouterr().out.splitlines()

    return run


@pytest.fixture
def root(tmp_path, prepare):
    """A complete folder."""
    assert prepare(download=True)[0] == 0
    return tmp_path / 'coco'
