"""What this machine is, has and feels: processor, memory, heat. Reads files; changes nothing, starts nothing.

Every reader takes `root`, the folder in which the kernel's `proc` and `sys` trees stand, so that the files of
another machine can be read. What cannot be read is `None` with the reason, never 0.
"""

from galago.device.gpu import gpu_driver
from galago.device.hardware import Machine, machine
from galago.device.memory import ProcessMemory, address_space, available_memory, process_memory, total_memory
from galago.device.sensed import Sensed
from galago.device.sensors import clock, state, temperature, throttled

__all__ = [
    "Machine",
    "ProcessMemory",
    "Sensed",
    "address_space",
    "available_memory",
    "clock",
    "gpu_driver",
    "machine",
    "process_memory",
    "state",
    "temperature",
    "throttled",
    "total_memory",
]
