"""The evidence protocol: its plan, without training."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_plan_has_six_seeds_of_each_detector_and_a_duration(tmp_path):
    command = [sys.executable, 'tools/evidence.py', '--plan', '--work-dir', str(tmp_path)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    rows = re.findall(r'^ *(\d+) +(\S.*?) +2 +([0-5]) ', done.stdout, re.MULTILINE)
    norms = ['BN', 'GN', 'GN+TLU', 'FRN (tau 0)', 'FRN (tau -0.5)', 'FRN (tau -1)']
    assert [(norm, int(seed)) for _, norm, seed in rows] == [
        (norm, seed) for norm in norms for seed in range(6)
    ]
    assert re.search(r'Left: \S+ GPU-hours, \S+ days \(\d+:\d\d:\d\d\)', done.stdout)
