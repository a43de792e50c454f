"""`doctor`: what this machine offers, what is installed, and where things are kept."""

from __future__ import annotations

import json
import platform
from importlib import metadata
from typing import Any

from galago.cli.settings import flag
from galago.frozen import frozen

EXTRAS = {"train": "torch", "cuda": "torch"}
"""An extra and the package that shows whether it is installed."""

Report = dict[str, dict[str, Any]]


@frozen(kw_only=True)
class Settings:
    """Show what this machine offers: instruction sets, threads, memory, sensors, extras, caches.

    Exit code 1 where something is missing that every answer needs.
    """

    json: bool = flag("Print one JSON object.")


def run(settings: Settings) -> int:
    """Look, and print what was seen."""
    report = {"galago": _software(), "machine": _machine(), "gpu": _gpu(), "sensors": _sensors()}
    report |= {"extras": _extras(), "cache": _cache()}
    print(_as_json(report) if settings.json else _as_text(report))
    return 0 if report["galago"]["instruction_sets"].value else 1


def _software() -> dict[str, Any]:
    from galago import MissingDependencyError, __version__, kernels
    from galago.device import Sensed

    try:
        found = Sensed(kernels.available())
    except MissingDependencyError as error:
        found = Sensed(None, f"{error} (try: {error.hint})")
    return {"version": __version__, "python": platform.python_version(), "instruction_sets": found}


def _machine() -> dict[str, Any]:
    from galago import device

    return dict(vars(device.machine()))


def _gpu() -> dict[str, Any]:
    """The first GPU; the only place outside training and `--device` that imports torch."""
    from galago import DeviceError, MissingDependencyError, kernels
    from galago.device import Sensed, gpu_driver

    try:
        found = kernels.gpu()
    except (DeviceError, MissingDependencyError) as error:
        seen = {"model": Sensed[Any](None, f"{error} (try: {error.hint})")}
        seen |= dict.fromkeys(("memory_bytes", "capability"), Sensed[Any](None, "no GPU was found"))
    else:
        seen = {
            "model": Sensed[Any](found.name),
            "memory_bytes": Sensed[Any](found.total_bytes),
            "capability": Sensed[Any](found.capability),
        }
    return {**seen, "driver": gpu_driver()}


def _sensors() -> dict[str, Any]:
    from galago import device

    return {
        "temperature_c": device.temperature(),
        "throttled": device.throttled(),
        "clock_hz": device.clock(),
    }


def _extras() -> dict[str, Any]:
    from galago.device import Sensed

    def version(extra: str, package: str) -> Sensed[str]:
        try:
            return Sensed(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            return Sensed(None, f"not installed: pip install 'galago[{extra}]'")

    return {extra: version(extra, package) for extra, package in EXTRAS.items()}


def _cache() -> dict[str, Any]:
    from galago.engine.cache import cache_folder

    return {"image_features": str(cache_folder() / "features")}


def _as_json(report: Report) -> str:
    """The values; what could not be read is null, and `unread` has the reasons."""
    from galago.device import Sensed

    unread = {
        name: value.reason
        for rows in report.values()
        for name, value in rows.items()
        if isinstance(value, Sensed) and value.value is None
    }
    plain = {
        title: {name: value.value if isinstance(value, Sensed) else value for name, value in rows.items()}
        for title, rows in report.items()
    }
    return json.dumps({**plain, "unread": unread}, ensure_ascii=False)


def _as_text(report: Report) -> str:
    lines = []
    for title, rows in report.items():
        lines.append(title)
        lines += (f"  {_label(name):<18}{_shown(name, value)}" for name, value in rows.items())
    return "\n".join(lines)


UNITS = {"bytes": (1e-9, "GB"), "hz": (1e-9, "GHz"), "c": (1, "°C")}
"""Last word of a name -> factor and unit for people."""


def _label(name: str) -> str:
    quantity, _, unit = name.rpartition("_")
    return (quantity if unit in UNITS else name).replace("_", " ")


def _shown(name: str, value: Any) -> str:
    from galago.device import Sensed

    if isinstance(value, Sensed):
        return f"unknown: {value.reason}" if value.value is None else _shown(name, value.value)
    if isinstance(value, tuple):
        return ", ".join(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    unit = name.rpartition("_")[2]
    if unit in UNITS:
        factor, symbol = UNITS[unit]
        return f"{value * factor:.1f} {symbol}"
    return str(value)
