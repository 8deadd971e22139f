"""A tiny COCO, and a server for it that can be told to misbehave."""

import hashlib
import io
import json
import threading
import zipfile
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from mmdet_frn.datasets.coco2017 import Archive, CocoTable, Split, prepare_coco
from mmdet_frn.datasets.coco2017 import download as download_module

SIZE = (40, 30)


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
    """The files of a server, what it was asked for, and its faults."""

    files: dict
    url: str = ''
    etags: dict = field(default_factory=dict)
    ranges: bool = True
    # The number of bytes after which each of the next answers breaks off.
    breaks: list = field(default_factory=list)
    # Called with the path before each answer.
    before: object = None
    # After this many bytes an answer waits until it is released.
    hold_after: int | None = None
    released: threading.Event = field(default_factory=threading.Event)
    requests: list = field(default_factory=list)

    def paths(self):
        return [path for path, _ in self.requests]


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
        if served.before is not None:
            served.before(name)
        content = served.files.get(name)
        if isinstance(content, int) or content is None:
            self.send_error(content or 404)
            return
        etag = served.etags.get(name, hashlib.md5(content).hexdigest())
        etag = f'"{etag}"'
        start = 0
        asked = self.headers.get('Range')
        if asked and served.ranges and self.headers.get('If-Range', etag) == etag:
            start = int(asked.removeprefix('bytes=').rstrip('-'))
            self.send_response(206)
            self.send_header('Content-Range', f'bytes {start}-{len(content) - 1}/{len(content)}')
        else:
            self.send_response(200)
        self.send_header('ETag', etag)
        self.send_header('Content-Length', str(len(content) - start))
        self.end_headers()
        end = start + served.breaks.pop(0) if served.breaks else len(content)
        for at in range(start, min(end, len(content)), 1 << 14):
            self.wfile.write(content[at : min(at + (1 << 14), end)])
            if served.hold_after is not None and at + (1 << 14) - start >= served.hold_after:
                served.released.wait(10)


@pytest.fixture
def coco():
    """The files of a tiny COCO by their paths on the server, and its table."""
    trees = {
        'train': {f'train2017/{i:012d}.jpg': jpeg(i) for i in range(20)},
        'val': {f'val2017/{i:012d}.jpg': jpeg(i) for i in range(100, 104)},
    }
    lists = {
        f'annotations/instances_{split}2017.json': coco_json([n.split('/')[1] for n in members])
        for split, members in trees.items()
    }
    files = {f'zips/{split}2017.zip': zip_of(members) for split, members in trees.items()}
    files['annotations/annotations_trainval2017.zip'] = zip_of(lists)

    def archive(path, folder=None):
        content = files[path]
        return Archive(
            path, folder, len(content), hashlib.sha256(content).hexdigest(), 2 * len(content)
        )

    splits = {
        name: Split(
            ann_file=f'annotations/instances_{name}2017.json',
            img_dir=f'{name}2017',
            images=len(members),
            annotations=len(members),
            archive=archive(f'zips/{name}2017.zip', f'{name}2017'),
        )
        for name, members in trees.items()
    }
    annotations = archive('annotations/annotations_trainval2017.zip')
    return files, CocoTable('http://127.0.0.1:1', splits, annotations, categories=1)


@pytest.fixture
def served(coco, monkeypatch):
    """A server of the tiny COCO on this machine."""
    monkeypatch.setattr(download_module, 'time', SimpleNamespace(sleep=lambda seconds: None))
    for name in ('http_proxy', 'HTTP_PROXY', 'all_proxy', 'ALL_PROXY'):
        monkeypatch.delenv(name, raising=False)
    server = Server(('127.0.0.1', 0), Handler)
    server.served = Served(dict(coco[0]), f'http://127.0.0.1:{server.server_port}')
    thread = threading.Thread(target=lambda: server.serve_forever(0.01), daemon=True)
    thread.start()
    yield server.served
    server.shutdown()
    server.server_close()


@pytest.fixture
def table(coco, served):
    return replace(coco[1], base_url=served.url)


@pytest.fixture
def prepare(table, tmp_path):
    """Prepare the folder of the tiny COCO; return the status and the lines."""

    def run(*, table=table, **options):
        said = []
        return prepare_coco(tmp_path / 'coco', table=table, say=said.append, **options), said

    return run


@pytest.fixture
def root(tmp_path, prepare):
    """A complete tree."""
    assert prepare(download=True)[0] == 0
    return tmp_path / 'coco'
