"""The emulation sees bugs: each is planted in a copy of the sources, and one case must fail."""

from collections.abc import Callable
from dataclasses import dataclass

import build_library
import pytest
import test_evonorm_emulation as evonorm
import test_group_norm_emulation as group
import test_pointwise_emulation as pointwise
import torch
from emulator import SM_80, Emulator
from frn_equations import channels_last
from test_cuda_emulation import Case, assert_case_matches, assert_ties_go_to_y

HALF, SINGLE = torch.float16, torch.float32


@dataclass(frozen=True)
class Bug:
    file: str
    old: str
    new: str
    unit: str  # the one .cu file compiled again
    case: Case | group.Case | evonorm.Case | pointwise.Case
    seen: str  # a pattern of the message
    check: Callable = assert_case_matches


BUGS = {
    'dropped barrier': Bug(
        'reduce.cuh',
        '  __syncthreads();\n',
        '',
        'frn_forward.cu',
        Case((1, 2, 1600), SINGLE),
        'race',
    ),
    'cluster not waited for': Bug(
        'reduce.cuh',
        '  __cluster_barrier_wait();',
        '',
        'frn_forward.cu',
        Case((1, 1, 8400), SINGLE),
        'exit before barrier_wait|may not have started|two arrivals',
    ),
    'barrier of a block in place of the cluster': Bug(
        'reduce.cuh',
        '  cluster.sync();\n',
        '  __syncthreads();\n',
        'frn_forward.cu',
        Case((1, 1, 8400), SINGLE),
        'race|has exited',
    ),
    'wrong lane': Bug(
        'row_io.cuh',
        'const int next = (g.lane + 1) & (g.width - 1);',
        'const int next = (g.lane + 2) & (g.width - 1);',
        'frn_forward.cu',
        Case((1, 8, 401), SINGLE),
        ': error',
    ),
    'read past a row': Bug(
        'row_io.cuh',
        'if (e >= 0 && e + Packed<T>::kSize <= len) return',
        'if (e >= 0 && e < len) return',
        'frn_forward.cu',
        Case((1, 1, 401), SINGLE),
        'read outside',
    ),
    'write into the row before': Bug(
        'row_io.cuh',
        'store_part(row, e, back, len - e, slot);',
        'store_part(row, e, 0, len - e, slot);',
        'frn_forward.cu',
        Case((1, 8, 401), SINGLE, shift=1),
        'write outside|race|: error',
    ),
    'no opt-in for clusters of 16': Bug(
        'launch.h',
        'if (cluster > 8)',
        'if (cluster > 16)',
        'frn_forward.cu',
        Case((1, 1, 16400 * 8), HALF),
        'cluster of 16',
    ),
    'tie to tau': Bug(
        'math.cuh',
        'return y < tau || tau != tau;',
        'return y <= tau || tau != tau;',
        'frn_backward.cu',
        Case((2, 8, 5, 4), SINGLE),
        'bias: error',
        check=assert_ties_go_to_y,
    ),
    'unaligned access': Bug(
        'launch.h',
        '(reinterpret_cast<uintptr_t>(ptrs) % 16 == 0)',
        '(reinterpret_cast<uintptr_t>(ptrs) % 4 == 0)',
        'frn_forward.cu',
        Case((1, 2, 400), SINGLE, shift=1),
        'unaligned access',
    ),
    'two chunks in one place': Bug(
        'channels_kernel.cuh',
        '(shape, static_cast<int>(blockIdx.x));\n  A pivot[kSize]',
        '(shape, 0);\n  A pivot[kSize]',
        'frn_channels.cu',
        Case((2, 8, 33, 33), SINGLE, channels_last),
        'race',
    ),
    'coefficients read before they are there': Bug(
        'channels_kernel.cuh',
        '__syncthreads();\n  if (p.channel >= shape.channels) return;\n  Coef coef[kSize];\n  read',
        'if (p.channel >= shape.channels) return;\n  Coef coef[kSize];\n  read',
        'frn_channels.cu',
        Case((1, 8, 33, 33), SINGLE, channels_last),
        'race',
    ),
    'warps of a slab in one place': Bug(
        'slab_kernel.cuh',
        'parts[s][i][warp * lanes + thread]',
        'parts[s][i][thread]',
        'frn_channels.cu',
        Case((1, 16, 9, 9), SINGLE, channels_last),
        'race',
    ),
    'coefficients of another block': Bug(
        'channels.cuh',
        'const int c = p.first + i;',
        'const int c = i;',
        'frn_channels.cu',
        Case((1, 136, 33, 32), SINGLE, channels_last),
        ': error',
    ),
    'sums of another group': Bug(
        'group_sums_kernel.cuh',
        'group * params.group * shape.channel_step;',
        'group * shape.channel_step;',
        'group_norm.cu',
        group.Case((2, 6, 9, 700), 3, SINGLE, device=SM_80),
        ': error',
        check=group.assert_case_matches,
    ),
    'warps of a group not waited for': Bug(
        'group_rows.cuh',
        '  __syncthreads();\n',
        '',
        'group_norm_rows.cu',
        group.Case((1, 3, 600), 1, SINGLE),
        'race',
        check=group.assert_case_matches,
    ),
    'zeros past a row in the variance': Bug(
        'group_rows.cuh',
        'i < left ? add_rn',
        'i < kSize ? add_rn',
        'group_norm_rows.cu',
        group.Case((2, 4, 9), 2, SINGLE),
        ': error',
        check=group.assert_case_matches,
    ),
    'blocks of a cluster at the same rows': Bug(
        'group_rows.cuh',
        'thread += static_cast<int>(blockIdx.x) % blocks',
        'thread += static_cast<int>(blockIdx.x) % 1',
        'group_norm_rows.cu',
        group.Case((1, 2, 4800), 1, SINGLE),
        'race|: error',
        check=group.assert_case_matches,
    ),
    'parts of a row in one place': Bug(
        'group_rows_kernel.cuh',
        ' * shape.parts + p.part)',
        ' * shape.parts)',
        'group_norm_rows.cu',
        group.Case((1, 2, 1200), 1, SINGLE),
        'race',
        check=group.assert_case_matches,
    ),
    'tie of a ReLU to y': Bug(
        'group_norm.cuh',
        ' || (coef.relu && y == A(0))',
        '',
        'group_norm_rows.cu',
        group.Case((2, 8, 5, 4), 2, SINGLE, act='relu'),
        'bias: error',
        check=group.assert_ties_go_where_they_should,
    ),
    'gradient of v without the weight': Bug(
        'sums_kernel.cuh',
        'if (!Norm::kThreshold && blockIdx.y == 2)',
        'if (false)',
        'evonorm.cu',
        evonorm.Case((2, 8, 5, 4), 2, SINGLE, channels_last),
        'v: error',
        check=evonorm.assert_case_matches,
    ),
    'sigmoid without v in the gradient of x': Bug(
        'evonorm.cuh',
        'fma_rn(coef.v, bend(mul_rn(x, s), s), s)',
        'fma_rn(A(1), bend(mul_rn(x, s), s), s)',
        'evonorm_rows.cu',
        evonorm.Case((2, 8, 5, 4), 2, SINGLE),
        'x: error',
        check=evonorm.assert_case_matches,
    ),
    'tie to the line': Bug(
        'pointwise.cuh',
        'const bool below = x < fma_rn',
        'const bool below = x <= fma_rn',
        'pointwise.cu',
        pointwise.Case('affine_tlu', (2, 8, 5, 4), SINGLE),
        'a tie of x',
        check=pointwise.assert_ties_go_to_x,
    ),
    'gradient of another parameter': Bug(
        'pointwise.cuh',
        'sums[kTau] = add_rn(sums[kTau], g);',
        'sums[kKappa] = add_rn(sums[kKappa], g);',
        'pointwise.cu',
        pointwise.Case('affine_tlu', (2, 8, 5, 4), SINGLE),
        'kappa: error',
        check=pointwise.assert_case_matches,
    ),
    'read past a part': Bug(
        'pointwise_kernel.cuh',
        's.len - begin < elements(s) ? s.len - begin : elements(s)',
        'elements(s)',
        'pointwise.cu',
        pointwise.Case('affine_tlu', (1, 1, 45), SINGLE),
        'read outside',
        check=pointwise.assert_case_matches,
    ),
    'rows taken for whole packs': Bug(
        'pointwise.cu',
        'args.hw, a.x, a.z)',
        '16, a.x, a.z)',
        'pointwise.cu',
        pointwise.Case('affine_tlu', (2, 3, 21), SINGLE),
        'unaligned access',
        check=pointwise.assert_case_matches,
    ),
    'sums of pixels without a barrier': Bug(
        'channels.cuh',
        'shared[i][thread] = value[i];\n  __syncthreads();\n',
        'shared[i][thread] = value[i];\n',
        'pointwise.cu',
        pointwise.Case('affine_tlu', (2, 8, 5, 4), SINGLE, channels_last),
        'race',
        check=pointwise.assert_case_matches,
    ),
    'parts of two images in one place': Bug(
        'pointwise_kernel.cuh',
        'place = image * s.parts + part;',
        'place = part;',
        'pointwise.cu',
        pointwise.Case('affine_tlu', (2, 3, 20), SINGLE),
        'race|: error',
        check=pointwise.assert_case_matches,
    ),
}


@pytest.mark.parametrize('bug', BUGS.values(), ids=BUGS)
def test_a_planted_bug_is_seen(emulator, tmp_path, bug):
    planted = (bug.file, bug.old, bug.new)
    library = build_library.build(tmp_path, bug.unit, emulator.path.parent, planted)
    broken = Emulator(library)
    with pytest.raises(AssertionError, match=bug.seen):
        bug.check(broken, bug.case)
