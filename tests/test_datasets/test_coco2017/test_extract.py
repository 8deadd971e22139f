import io
import stat
import zipfile

import pytest

from mmdet_frn.datasets.coco2017 import extract as module
from mmdet_frn.datasets.coco2017.errors import FetchError
from mmdet_frn.datasets.coco2017.extract import extract, size_to_unpack

MEMBERS = {'set/a.jpg': b'a' * 1000, 'set/b.jpg': b'b' * 2000, 'set/c.jpg': b'c' * 3000}


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / 'set.zip'
    with zipfile.ZipFile(path, 'w') as file:
        file.mkdir('set') if hasattr(file, 'mkdir') else file.writestr('set/', b'')
        for name, content in MEMBERS.items():
            file.writestr(name, content)
    return path


@pytest.fixture
def root(tmp_path):
    (tmp_path / 'root').mkdir()
    return tmp_path / 'root'


def contents(root):
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob('*') if p.is_file()}


def test_all_members_once(archive, root):
    assert size_to_unpack(archive, root) == 6000
    extract(archive, root)
    assert contents(root) == MEMBERS
    assert size_to_unpack(archive, root) == 0
    written = (root / 'set' / 'a.jpg').stat().st_ino
    extract(archive, root)
    assert (root / 'set' / 'a.jpg').stat().st_ino == written


def test_a_stopped_run_leaves_whole_files_and_is_gone_on_with(archive, root, monkeypatch):
    copy = module.shutil.copyfileobj

    def stopped(source, target, length):
        if source.name.endswith('b.jpg'):
            target.write(b'half')
            raise KeyboardInterrupt
        copy(source, target, length)

    with monkeypatch.context() as patch:
        patch.setattr(module.shutil, 'copyfileobj', stopped)
        with pytest.raises(KeyboardInterrupt):
            extract(archive, root)
    assert contents(root) == {'set/a.jpg': MEMBERS['set/a.jpg'], 'set/.b.jpg.part': b'half'}
    assert size_to_unpack(archive, root) == 5000
    extract(archive, root)
    assert contents(root) == MEMBERS


def test_files_that_differ_are_left(archive, root):
    (root / 'set').mkdir()
    (root / 'set' / 'a.jpg').write_bytes(b'mine')
    (root / 'set' / 'c.jpg').write_bytes(b'x' * 3000)
    with pytest.raises(FetchError) as error:
        extract(archive, root)
    assert str(error.value) == (
        f'set/a.jpg, set/c.jpg of {root} differ from those of set.zip, and were left as they are; '
        f'move them away and run the same command again'
    )
    assert (root / 'set' / 'a.jpg').read_bytes() == b'mine'
    assert (root / 'set' / 'b.jpg').read_bytes() == MEMBERS['set/b.jpg']


@pytest.mark.parametrize('name', ['/etc/x', '../x', 'set/../../x', '..\\x', 'C:\\x', 'set/..'])
def test_a_member_that_leads_outside_is_refused(tmp_path, root, name):
    path = tmp_path / 'evil.zip'
    with zipfile.ZipFile(path, 'w') as file:
        file.writestr('set/a.jpg', b'fine')
        file.writestr(name, b'evil')
    with pytest.raises(FetchError, match=r'is refused, as its member .* leads out of the folder'):
        extract(path, root)
    assert contents(root) == {}
    assert sorted(p.name for p in tmp_path.iterdir()) == ['evil.zip', 'root']


def test_a_link_is_refused(tmp_path, root):
    path = tmp_path / 'link.zip'
    info = zipfile.ZipInfo('set')
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, 'w') as file:
        file.writestr(info, '/etc')
        file.writestr('set/passwd', 'x')
    with pytest.raises(FetchError, match=r"its member 'set' is a link"):
        extract(path, root)
    assert contents(root) == {}


@pytest.mark.parametrize('compression', [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_damaged_member(tmp_path, root, compression):
    content = bytes(range(256)) * 40
    file = io.BytesIO()
    with zipfile.ZipFile(file, 'w', compression) as archive:
        archive.writestr('set/a.jpg', content)
    damaged = bytearray(file.getvalue())
    damaged[100] ^= 0xFF
    path = tmp_path / 'damaged.zip'
    path.write_bytes(damaged)
    with pytest.raises(FetchError, match=r'damaged.zip is damaged: .*; remove it and run') as error:
        extract(path, root)
    assert len(str(error.value).splitlines()) == 1
    assert contents(root) == {}


@pytest.mark.parametrize('content', [b'', b'<html>no zip</html>'])
def test_no_zip(tmp_path, root, content):
    (tmp_path / 'no.zip').write_bytes(content)
    for call in (extract, size_to_unpack):
        with pytest.raises(FetchError, match=r'no.zip is damaged: File is not a zip file'):
            call(tmp_path / 'no.zip', root)
