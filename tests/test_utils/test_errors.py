"""What the tools make of an error that the user can fix."""

import errno

import pytest

from mmdet_frn.utils.errors import UsageError, one_line_errors


@pytest.mark.parametrize(
    ('error', 'line'),
    [
        (UsageError('--steps must be >= 1, got 0'), 'error: --steps must be >= 1, got 0\n'),
        (
            OSError(errno.ENOSPC, 'No space left on device', '/data/report.md'),
            'error: /data/report.md: No space left on device; free some space, then run the same '
            'command again to resume\n',
        ),
        (
            OSError(errno.EROFS, 'Read-only file system'),
            'error: Read-only file system; make it writable, then run the same command again to '
            'resume\n',
        ),
        (
            OSError(errno.EFBIG, 'File too large'),
            'error: File too large; raise the limit of file sizes (ulimit -f), then run the same '
            'command again to resume\n',
        ),
    ],
)
def test_an_error_is_one_line_and_status_2(error, line, capsys):
    with pytest.raises(SystemExit) as ended, one_line_errors():
        raise error
    assert ended.value.code == 2
    assert capsys.readouterr().err == line


def test_an_error_of_ours_keeps_its_traceback():
    with pytest.raises(FileNotFoundError), one_line_errors():
        raise FileNotFoundError(errno.ENOENT, 'No such file', 'x')
