"""What the machine feels: temperature, throttling, clock. No sensor that fails may fail an answer."""

from __future__ import annotations

from pathlib import Path

from galago.device.sensed import ROOT, Sensed, fields, read_int, read_text
from galago.types import DeviceState

PROCESSOR_ZONES = ("x86_pkg_temp", "cpu", "soc", "tj")
PROCESSOR_CHIPS = ("coretemp", "k10temp", "zenpower", "cpu_thermal")
THROTTLED_NOW = 0b1111
"""Of the Raspberry Pi's word: under-voltage, capped frequency, throttled, soft temperature limit. The higher
bits are what has happened since boot."""


def state(root: Path = ROOT) -> DeviceState:
    """All sensors at once, as an answer records them."""
    return DeviceState(
        temperature_c=temperature(root).value, throttled=throttled(root).value, clock_hz=clock(root).value
    )


def temperature(root: Path = ROOT) -> Sensed[float]:
    """Degrees Celsius of the processor, or of the hottest zone where none is called the processor's."""
    zones: dict[str, float] = {}
    for folder in sorted((root / "sys/class/thermal").glob("thermal_zone*")):
        _keep(zones, read_text(folder / "type"), read_int(folder / "temp"))
    for folder in sorted((root / "sys/class/hwmon").glob("hwmon*")):
        chip = read_text(folder / "name")
        if chip in PROCESSOR_CHIPS:
            _keep(zones, f"cpu {chip}", read_int(folder / "temp1_input"))
    if not zones:
        return Sensed(None, "the system shows no thermal zone")
    own = [value for kind, value in zones.items() if kind.lower().startswith(PROCESSOR_ZONES)]
    return Sensed(max(own or zones.values()))


def _keep(zones: dict[str, float], kind: str | None, millidegrees: int | None) -> None:
    """Take the value where it can be one: a zone that is switched off tells -256 degrees or 0."""
    if kind and millidegrees is not None and 0 < millidegrees < 200_000:
        zones[kind] = max(zones.get(kind, 0.0), millidegrees / 1000)


def throttled(root: Path = ROOT) -> Sensed[bool]:
    """Whether the machine is slowing itself now. Known from a Raspberry Pi's firmware alone."""
    word = read_text(root / "sys/devices/platform/soc/soc:firmware/get_throttled")
    command = root / "usr/bin/vcgencmd"
    if word is None and command.exists():
        import subprocess  # a Raspberry Pi alone needs it

        try:
            told = subprocess.run(  # noqa: S603 - the firmware's own command, by its full path
                [command, "get_throttled"], capture_output=True, text=True, timeout=1, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return Sensed(None, f"{command} failed: {error}")
        word = told.stdout.strip().removeprefix("throttled=")
    if word is None:
        return Sensed(None, "only a Raspberry Pi's firmware tells it")
    try:
        return Sensed(bool(int(word, 16) & THROTTLED_NOW))
    except ValueError:
        return Sensed(None, f"the firmware told {word!r}")


def clock(root: Path = ROOT) -> Sensed[int]:
    """Hertz of the fastest processor now."""
    folder = root / "sys/devices/system/cpu"
    kilohertz = [read_int(path) for path in folder.glob("cpu[0-9]*/cpufreq/scaling_cur_freq")]
    known = [value for value in kilohertz if value]
    if known:
        return Sensed(max(known) * 1000)
    megahertz = fields(root / "proc/cpuinfo").get("cpu MHz", "")
    if megahertz.replace(".", "", 1).isdecimal():
        return Sensed(round(float(megahertz) * 1e6))
    return Sensed(None, "the system shows no processor clock")
