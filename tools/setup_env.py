#!/usr/bin/env python3
"""Set up .venv for this checkout: what `make setup` runs.

Needs nothing but the standard library of python 3.10, 3.11 or 3.12. This file keeps to syntax that
any python 3 can read, so that an unsupported one gets an answer instead of a SyntaxError.
"""

import argparse
import os
import sys

OLDEST = (3, 10)
NEWEST = (3, 12)


def unsupported_python(version: tuple) -> str:
    """Return what is wrong with a python of this (major, minor, ...) version, '' if nothing is."""
    if OLDEST <= tuple(version[:2]) <= NEWEST:
        return ''
    return (
        'python {}.{} cannot be used: the pinned stack is tested on python {}.{} to {}.{}. '
        'Name one of those: make setup PYTHON=python{}.{}'
    ).format(*version[:2], *OLDEST, *NEWEST, *NEWEST)


def parse_args(argv: list) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description='Create .venv with the pinned stack of constraints.txt, mmcv built with its '
        'ops, and this package in editable form. Safe to repeat: takes seconds when nothing '
        'changed, and goes on where a stopped run left off.',
        epilog='The environment variables FORCE_CUDA, TORCH_CUDA_ARCH_LIST and MAX_JOBS reach the '
        'builds as they are; the index is the one that pip is configured with.',
    )
    parser.add_argument(
        '--mmcv-wheel',
        metavar='WHEEL',
        default=os.environ.get('MMCV_WHEEL', ''),
        help='a prebuilt onedl-mmcv wheel file (.whl) to install instead of building mmcv; '
        'default: the environment variable MMCV_WHEEL',
    )
    parser.add_argument(
        '--check-python',
        action='store_true',
        help='only say, by the exit status, whether this python can be used',
    )
    return parser.parse_args(argv)


def main(argv: list) -> int:
    """Run the set-up and return the exit status."""
    args = parse_args(argv)
    problem = unsupported_python(sys.version_info)
    if problem:
        sys.stderr.write('make setup: ' + problem + '\n')
        return 1
    if args.check_python:
        return 0
    from setup_steps.run import run  # its syntax is python 3.10's

    return run(mmcv_wheel=args.mmcv_wheel)


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
