"""The machine, read from the files that named kinds of machines show."""

from __future__ import annotations

import pytest

from galago import device

GB = 1 << 30

PI = {  # the files of a Raspberry Pi 5, as its kernel writes them
    "proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0",
    "proc/cpuinfo": "processor\t: 0\nBogoMIPS\t: 108.00\n\nModel\t\t: Raspberry Pi 5 Model B Rev 1.0\n",
    "proc/meminfo": "MemTotal:        8255980 kB\nMemFree:  100 kB\nMemAvailable:    6000000 kB\n",
    "proc/self/status": "VmHWM:\t 2048 kB\nRssAnon:\t 512 kB\nVmSwap:\t 256 kB\nCpus_allowed_list:\t0-3\n",
    "proc/self/cgroup": "0::/user.slice/session-1.scope\n",
    "sys/fs/cgroup/user.slice/session-1.scope/memory.max": "max\n",
    "sys/fs/cgroup/user.slice/session-1.scope/cpu.max": "max 100000\n",
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "sys/class/thermal/thermal_zone0/temp": "61850\n",
    "sys/devices/platform/soc/soc:firmware/get_throttled": "50000\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "1500000\n",
    "sys/devices/system/cpu/cpu3/cpufreq/scaling_cur_freq": "2400000\n",
}
PC = {  # four threads on two cores; one zone is not the processor's and hotter
    "proc/cpuinfo": "model name\t: Imagined CPU\ncpu MHz\t\t: 2600.000\n",
    "proc/meminfo": "MemTotal: 16777216 kB\nMemAvailable: 8388608 kB\n",
    "proc/self/status": "Cpus_allowed_list:\t0-3\n",
    "sys/class/thermal/thermal_zone0/type": "acpitz\n",
    "sys/class/thermal/thermal_zone0/temp": "90000\n",
    "sys/class/thermal/thermal_zone1/type": "x86_pkg_temp\n",
    "sys/class/thermal/thermal_zone1/temp": "45000\n",
    **{
        f"sys/devices/system/cpu/cpu{n}/topology/thread_siblings_list": f"{n % 2},{n % 2 + 2}\n"
        for n in range(4)
    },
}


@pytest.fixture
def plant(tmp_path):
    def plant(files):
        for path, text in files.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text)
        return tmp_path

    return plant


def test_a_raspberry_pi_tells_all_it_feels(plant):
    root = plant(PI)
    state = device.state(root)
    assert (state.temperature_c, state.clock_hz) == (61.85, 2_400_000_000)
    assert state.throttled is False  # bits 16 and 18: it was throttled once, it is not now


def test_a_raspberry_pi_on_a_weak_supply_says_so(plant):
    root = plant({**PI, "sys/devices/platform/soc/soc:firmware/get_throttled": "50005"})
    assert device.throttled(root).value is True


def test_the_firmware_command_is_asked_where_the_file_is_missing(plant):
    root = plant({"usr/bin/vcgencmd": "#!/bin/sh\necho throttled=0x4\n"})
    (root / "usr/bin/vcgencmd").chmod(0o755)
    assert device.throttled(root).value is True


def test_the_machine_is_described_by_its_files(plant):
    machine = device.machine(plant(PI))
    assert machine.name == "Raspberry Pi 5 Model B Rev 1.0"
    assert (machine.cores, machine.threads) == (4, 4)
    assert machine.total_bytes.value == 8255980 * 1024
    assert machine.available_bytes.value == 6_000_000 * 1024


def test_threads_of_one_core_are_one_core(plant):
    machine = device.machine(plant(PC))
    assert (machine.cores, machine.threads) == (2, 4)


def test_the_processors_zone_is_preferred_to_a_hotter_one(plant):
    assert device.temperature(plant(PC)).value == 45.0


def test_a_zone_that_is_switched_off_is_no_temperature(plant):
    root = plant(
        {"sys/class/thermal/thermal_zone0/type": "cpu", "sys/class/thermal/thermal_zone0/temp": "-256000"}
    )
    assert device.temperature(root).value is None


@pytest.mark.parametrize(
    "limits",
    [
        {
            "proc/self/cgroup": "0::/\n",
            "sys/fs/cgroup/memory.max": str(2 * GB),
            "sys/fs/cgroup/memory.current": str(GB),
            "sys/fs/cgroup/memory.stat": f"anon 1\ninactive_file {GB // 2}\n",
            "sys/fs/cgroup/cpu.max": "150000 100000\n",
        },
        {
            "proc/self/cgroup": "4:memory:/docker/abc\n1:cpu,cpuacct:/docker/abc\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": str(2 * GB),
            "sys/fs/cgroup/memory/memory.usage_in_bytes": str(GB),
            "sys/fs/cgroup/memory/memory.stat": f"inactive_file 7\ntotal_inactive_file {GB // 2}\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "150000",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
        },
    ],
    ids=["v2", "v1"],
)
def test_a_container_has_what_its_control_group_grants(plant, limits):
    machine = device.machine(plant({**PC, **limits}))
    assert machine.total_bytes.value == 2 * GB
    assert machine.available_bytes.value == 2 * GB - GB // 2
    assert machine.threads == 2


def test_memory_of_the_process_is_what_the_kernel_counts(plant):
    assert device.process_memory(plant(PI)) == device.ProcessMemory(2048 * 1024, 768 * 1024)


def test_what_cannot_be_read_says_why(tmp_path):
    for reading in (
        device.temperature(tmp_path),
        device.throttled(tmp_path),
        device.clock(tmp_path),
        device.total_memory(tmp_path),
        device.available_memory(tmp_path),
        device.gpu_driver(tmp_path),
    ):
        assert reading.value is None
        assert reading.reason


def test_this_machine_can_be_described():
    machine = device.machine()
    assert machine.threads >= 1
    assert machine.total_bytes.value > 0
    assert device.process_memory().peak_bytes > 1 << 20


@pytest.mark.parametrize("module", ["Kernel Module", "Open Kernel Module for x86_64"])
def test_the_driver_of_a_gpu_tells_its_version(plant, module):
    told = f"NVRM version: NVIDIA UNIX {module}  570.86.15  Thu Jan 23 2025\nGCC version:  gcc 12.2.0\n"
    assert device.gpu_driver(plant({"proc/driver/nvidia/version": told})).value == "570.86.15"
    assert "no version" in device.gpu_driver(plant({"proc/driver/nvidia/version": "?"})).reason
