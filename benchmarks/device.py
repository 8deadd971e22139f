"""What the figures were measured on."""

from __future__ import annotations

import platform
import re
from pathlib import Path

import torch


def device_name(device: torch.device) -> str:
    """Name of the GPU, or of the CPU with the number of threads that torch uses."""
    if device.type == 'cuda':
        return torch.cuda.get_device_name(device)
    return f'{_cpu_name()}, {torch.get_num_threads()} threads'


def file_stem(kind: str, device: torch.device) -> str:
    """Return ``<kind>-<device>-<torch>``, of characters that every file system takes."""
    parts = (kind, device_name(device), f'torch-{torch.__version__}')
    return '-'.join(re.sub(r'[^a-z0-9.]+', '-', part.lower()).strip('-.') for part in parts)


def _cpu_name() -> str:
    try:
        text = Path('/proc/cpuinfo').read_text(encoding='utf-8')
    except OSError:
        text = ''
    match = re.search(r'^model name\s*: (.+)$', text, re.MULTILINE)
    return match.group(1).strip() if match else platform.processor() or platform.machine()
