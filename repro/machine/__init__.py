"""What this process may use of the machine: processors, memory, threads. Does not import torch."""

from repro.machine.memory import available_memory, shared_memory
from repro.machine.process import lives, this_process
from repro.machine.processors import processors
from repro.machine.threads import allowed, limit, prepare, prepared, told
from repro.machine.variables import number

__all__ = [
    "allowed",
    "available_memory",
    "limit",
    "lives",
    "number",
    "prepare",
    "prepared",
    "processors",
    "shared_memory",
    "this_process",
    "told",
]
