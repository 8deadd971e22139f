"""The virtual environment: where it is, whether it is whole, and what it was made from."""

import csv
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

# What decides the environment's contents; a change of one sets it up again.
SOURCES = ('constraints.txt', 'setup.py', 'mmdet_frn/version.py')
CSRC = 'mmdet_frn/ops/csrc'


def base_python() -> Path:
    """Return the interpreter outside any virtual environment that this one comes from."""
    if sys.prefix == sys.base_prefix:
        return Path(sys.executable)
    name = f'python{sys.version_info.major}.{sys.version_info.minor}'
    return Path(sys.base_prefix) / 'bin' / name


def recorded_files(metadata: Path) -> list[Path]:
    """Return the files that a package's ``.dist-info`` folder lists, its list itself included."""
    record = metadata / 'RECORD'
    if not record.is_file():
        return [record]
    with record.open(newline='', encoding='utf-8') as lines:
        # Compiled bytecode has no hash; it may be missing without harm.
        return [metadata.parent / path for path, digest, _ in csv.reader(lines) if digest]


class VirtualEnv:
    """The checkout's ``.venv`` and its stamp.

    The stamp says what the environment was made from. It becomes complete last, after the
    verification, so a set-up that was stopped anywhere leaves none that fits.

    Args:
        checkout: root folder of the checkout.
    """

    def __init__(self, checkout: Path) -> None:
        self.checkout = checkout
        self.root = checkout / '.venv'
        self.python = self.root / 'bin' / 'python'
        self.log = self.root / 'setup.log'
        self._stamp = self.root / 'setup.json'

    def damage(self) -> str:
        """Return why the environment cannot be completed and must be made anew, '' if it can."""
        if not self.root.exists():
            return 'there is none yet'
        if not self.answers('import pip'):
            return 'its python or pip does not run'
        if not self.answers(f'import sys; assert sys.version_info[:2] == {sys.version_info[:2]}'):
            return 'it is of another python version'
        if self.read_stamp().get('checkout', str(self.checkout)) != str(self.checkout):
            return 'it was made for another folder'
        return ''

    def answers(self, code: str) -> bool:
        """Return whether this code runs in the environment without an error."""
        try:
            process = subprocess.run([self.python, '-I', '-c', code], capture_output=True)
        except OSError:
            return False
        return process.returncode == 0

    def forget_incomplete(self) -> list[str]:
        """Remove the metadata of packages of which files are missing, so that pip installs them.

        pip takes a package for installed as soon as its metadata is there; one that a stopped run
        left in part it would never mend.

        Returns:
            The packages' names and versions.
        """
        incomplete = [
            metadata
            for metadata in self.root.glob('lib/python*/site-packages/*.dist-info')
            if not all(file.exists() for file in recorded_files(metadata))
        ]
        for metadata in incomplete:
            shutil.rmtree(metadata)
        return sorted(metadata.stem for metadata in incomplete)

    def has(self, pin: str) -> bool:
        """Return whether the package of a pin ``name==version`` is installed."""
        name, _, version = pin.replace('-', '_').partition('==')
        return any(self.root.glob(f'lib/python*/site-packages/{name}-{version}*.dist-info'))

    def fingerprint(self) -> str:
        """Return a hash of the files that decide the environment's contents."""
        digest = hashlib.sha256()
        kernels = (path for path in (self.checkout / CSRC).rglob('*') if path.is_file())
        for path in [*(self.checkout / name for name in SOURCES), *sorted(kernels)]:
            name = path.relative_to(self.checkout).as_posix()
            digest.update(name.encode() + b'\0' + path.read_bytes() + b'\0')
        return digest.hexdigest()

    def read_stamp(self) -> dict:
        """Return what the last complete set-up left, {} if there is nothing readable."""
        try:
            stamp = json.loads(self._stamp.read_text(encoding='utf-8'))
        except (OSError, ValueError):
            return {}
        return stamp if isinstance(stamp, dict) else {}

    def is_current(self, settings: Mapping[str, str]) -> bool:
        """Return whether the last complete set-up fits the sources, the python and the settings.

        Args:
            settings: what the user asks for; a setting that is not given is no wish to change it.
        """
        stamp = self.read_stamp()
        return (
            stamp.get('fingerprint') == self.fingerprint()
            and stamp.get('python') == list(sys.version_info[:2])
            and stamp.get('checkout') == str(self.checkout)
            and settings.items() <= stamp.get('settings', {}).items()
        )

    def write_stamp(self, settings: Mapping[str, str], complete: bool) -> None:
        """Note what the environment was made with.

        Args:
            settings: what the user asked for; added to what was asked for before.
            complete: whether it has been verified; if not, the next run goes on with it.
        """
        stamp = {
            'fingerprint': self.fingerprint() if complete else '',
            'python': list(sys.version_info[:2]),
            'checkout': str(self.checkout),
            'settings': {**self.read_stamp().get('settings', {}), **settings},
        }
        draft = self._stamp.with_suffix('.tmp')
        draft.write_text(json.dumps(stamp, indent=2) + '\n', encoding='utf-8')
        draft.replace(self._stamp)
