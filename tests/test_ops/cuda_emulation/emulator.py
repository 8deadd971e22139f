"""Run the emulated ops on torch tensors, forward and backward."""

import ctypes
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import torch
from evonorm_equations import EvoNormInputs
from frn_equations import Inputs
from group_equations import GroupInputs
from pointwise_equations import PointwiseInputs
from torch import Tensor

# Places in kDevices of machine/machine.h.
SM_90, SM_90_CLUSTERS_OF_8, SM_80, SMALL_SM_75 = range(4)
ASCENDING, DESCENDING, RANDOM = 0, 1, 2  # order of threads; above 2: other random ones
TYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
READ, WRITE = 1, 2
OPS = ('frn', 'group_norm', 'evonorm_s0', 'tlu', 'affine_tlu', 'dyt')  # kOps of entry.cpp


class Buffer(ctypes.Structure):
    _fields_ = [('data', ctypes.c_void_p), ('count', ctypes.c_int64), ('type', ctypes.c_int)]


class Call(ctypes.Structure):
    """The struct Call of entry.cpp."""

    TENSORS = (
        *('x', 'weight', 'bias', 'eps', 'tau', 'residual', 'kappa', 'alpha', 'v', 'z', 'stats'),
        *('dz', 'dx', 'dweight', 'dbias', 'deps', 'dtau', 'dresidual', 'dkappa', 'dalpha', 'dv'),
    )
    _fields_ = [
        *((name, Buffer) for name in TENSORS),
        ('eps_value', ctypes.c_double),
        *((name, ctypes.c_int64) for name in ('n', 'c', 'hw', 'groups')),
        *((name, ctypes.c_int) for name in ('channels_last', 'centered', 'relu', 'op')),
    ]


@dataclass(frozen=True)
class Launch:
    kernel: str  # with its template arguments
    blocks: int
    threads: int
    cluster: int
    read: int  # bytes of global memory
    written: int


@dataclass
class Emulator:
    """The library that build_library.py made.

    Attributes:
        launches: what the last call launched.
        reached: every kernel launched so far.
    """

    path: Path
    launches: list[Launch] = field(default_factory=list)
    reached: set[str] = field(default_factory=set)

    def __post_init__(self):
        self.library = ctypes.CDLL(str(self.path))
        for name in ('call', 'error', 'log'):
            getattr(self.library, f'emulation_{name}').restype = ctypes.c_char_p
        allocate = self.library.emulation_allocate
        allocate.restype = ctypes.c_void_p
        allocate.argtypes = [ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int]

    def kernels(self, of: str) -> set[str]:
        """Return the names of the kernels of a family, 'frn' for instance, as in ``reached``."""
        command = ['nm', '--demangle', '--defined-only', str(self.path)]
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        names = (line.split(' ', 2)[2] for line in listed.splitlines() if '_kernel<' in line)
        return {name for name in names if _family(name) == of}

    def run(
        self,
        inputs: Inputs | GroupInputs | EvoNormInputs | PointwiseInputs,
        device: int = SM_90,
        order: int = ASCENDING,
        shift: dict[str, int] | None = None,
        unwanted: tuple[str, ...] = (),
    ) -> dict[str, Tensor]:
        """Return z, the kept statistics and the gradient of each tensor in ``inputs``, by name.

        Args:
            inputs: dense tensors; tau of FRN may be None here.
            shift: elements by which a tensor misses a multiple of 256 bytes, by name, those of
                gradients being dx and dresidual. Default none.
            unwanted: arguments whose gradient is not asked for.

        Raises:
            AssertionError: an error that the machine saw: a race, an access outside, a deadlock.
        """
        shift = shift or {}
        x = inputs.x.detach()
        acc = torch.float64 if x.dtype == torch.float64 else torch.float32
        self.library.emulation_reset(device, order)
        call = Call(n=x.shape[0], c=x.shape[1], hw=x[0, 0].numel())
        call.channels_last = x.shape[1] > 1 and (call.hw == 1 or not x.is_contiguous())
        op, stats = 'frn', x.shape[:2]
        if isinstance(inputs, GroupInputs):
            op, stats = 'group_norm', (2, x.shape[0], inputs.groups)
            call.groups, call.centered = inputs.groups, inputs.centered
            call.relu = inputs.act == 'relu'
        elif isinstance(inputs, EvoNormInputs):
            op, stats = 'evonorm_s0', (2, x.shape[0], inputs.groups)
            call.groups = inputs.groups
        elif isinstance(inputs, PointwiseInputs):
            op, stats = inputs.function, None
        call.op = OPS.index(op)
        given = {name: t.detach() for name, t in {**inputs.tensors(), 'dz': inputs.dz}.items()}
        for name, tensor in given.items():
            given[name] = tensor if name in {'x', 'residual', 'dz'} else tensor.to(acc)
            self._place(call, name, given[name], READ, shift)
        if 'eps' not in given and hasattr(inputs, 'eps'):
            call.eps_value = abs(inputs.eps)
        outputs = {'z': torch.empty_like(x)}
        if stats is not None:
            outputs['stats'] = x.new_empty(stats, dtype=acc)
        grads = {
            f'd{name}': torch.empty_like(given[name])
            for name in given
            if name != 'dz' and name not in unwanted
        }
        for name, tensor in {**outputs, **grads}.items():
            self._place(call, name, tensor, READ | WRITE, shift)
        self._call(call, backward=0)
        self.launches = self._read_launches()
        self._call(call, backward=1)
        self.launches = self._read_launches()
        self.reached.update(launch.kernel for launch in self.launches)
        for name, tensor in {**outputs, **grads}.items():
            ctypes.memmove(tensor.data_ptr(), getattr(call, name).data, tensor.nbytes)
        return outputs | {name[1:]: tensor for name, tensor in grads.items()}

    def _place(self, call: Call, name: str, tensor: Tensor, rights: int, shift: dict) -> None:
        """Copy a dense tensor into the machine's memory, in the order that it has in ours."""
        offset = shift.get(name, 0) * tensor.element_size()
        data = self.library.emulation_allocate(tensor.nbytes, offset, rights)
        if rights == READ:
            ctypes.memmove(data, tensor.data_ptr(), tensor.nbytes)
        setattr(call, name, Buffer(data, tensor.numel(), TYPES.index(tensor.dtype)))

    def _call(self, call: Call, backward: int) -> None:
        thrown = self.library.emulation_call(ctypes.byref(call), backward).decode()
        seen = self.library.emulation_error().decode()
        if seen or thrown:
            raise AssertionError(seen or thrown)

    def _read_launches(self) -> list[Launch]:
        lines = self.library.emulation_log().decode().splitlines()
        cells = [line.split('\t') for line in lines]
        return [Launch(name, *map(int, numbers)) for name, *numbers in cells]


def _family(kernel: str) -> str:
    if 'pointwise_' in kernel or 'fold_parts_kernel<' in kernel:
        return 'pointwise'
    if 'mmdet_frn::EvoNorm' in kernel:
        return 'evonorm'
    return 'group' if 'mmdet_frn::Group' in kernel else 'frn'
