"""What displays show and how they are asked about: readings with units, LCD messages, and the wordings."""

from __future__ import annotations

import numpy as np

from galago.drawing.sample import Setting
from galago.drawing.sheet import NONE, Phrases, chance, pick
from galago.frozen import frozen

PHRASES: Phrases = {
    "read": (
        "What does the display read?", "What is the value?", "What number is shown?", "What is the reading?",
        "Read the display.", "What does the display show?", "What value is displayed?",
        "What does the meter read?", "Which number is on the display?", "Give the displayed value.",
        "What is the current reading?", "What does it read?", "Read the meter.",
    ),
    "with_unit": (
        "What is the reading with its unit?", "Read the display, unit included.",
        "What value and unit are shown?", "Give the value with its unit.",
        "What does the display show, with the unit?", "Reading and unit?",
        "State the measurement with its unit.", "What is the measured value, including the unit?",
        "Read the value and the unit.",
    ),
    "unit": (
        "What is the unit?", "Which unit is shown?", "In what unit is the value?",
        "What unit does the display use?", "Name the unit.", "Unit of the reading?",
        "What is the unit of measurement?", "Which unit is printed?", "In which unit is the reading given?",
    ),
    "caption": (
        "What is the caption of the display?", "What is the caption?", "What is the display labelled?",
        "Which label does the display have?", "What does the caption say?",
        "What name is printed on the device?", "What does the label say?", "Read the caption.",
        "Which caption does the device have?",
    ),
    "digits": (
        "How many digits are shown?", "How many digits does the display show?", "Count the digits.",
        "Number of digits?", "How many digits are lit?", "How many digits does the reading have?",
        "How many digits are on the display?", "Tell me the number of digits.",
    ),
    "negative": (
        "Is the value negative?", "Is there a minus sign?", "Is the reading below zero?",
        "Does the display show a minus sign?", "Is a negative number shown?", "Is it below zero?",
        "Is the number negative?", "Does the value have a minus sign?",
    ),
    "off": (
        "Is the display off?", "Is the display switched off?", "Is the display blank?",
        "Is the display dark?", "Does the display show nothing?", "Is the display empty?",
        "Is nothing shown?", "Is the screen off?",
    ),
    "ink": (
        "What colour are the digits?", "Which colour are the digits?",
        "Which colour does the display glow in?", "What is the colour of the display?",
        "What colour is the number?", "In what colour are the digits lit?", "Colour of the digits?",
        "Name the colour of the digits.",
    ),
    "backlight": (
        "What colour is the backlight?", "Which colour is the backlight?",
        "What is the colour of the screen?", "Which colour does the backlight have?",
        "What colour is the screen?", "Colour of the backlight?",
        "What is the background colour of the display?", "Name the colour of the backlight.",
    ),
    "named": (
        "What is the {name}?", "What {name} is shown?", "Read the {name}.", "Which {name} does it show?",
        "Give the {name}.", "What is the value of the {name}?", "What {name} does the display show?",
        "How much is the {name}?", "Tell me the {name}.",
    ),
    "clock": (
        "What time is it?", "What time is shown?", "What does the clock say?", "Read the time.",
        "Which time does the display show?", "What time does it show?", "What is the time on the display?",
        "Give the time shown.",
    ),
    "upper": (
        "What does the upper display read?", "What is the upper value?", "Read the top display.",
        "What number is on top?", "What is shown on the upper display?", "What does the top display show?",
        "Give the upper reading.", "What is the first reading?",
    ),
    "lower": (
        "What does the lower display read?", "What is the lower value?", "Read the bottom display.",
        "What number is at the bottom?", "What is shown on the lower display?",
        "What does the bottom display show?", "Give the lower reading.", "What is the second reading?",
    ),
    "both": (
        "Read both displays.", "What do the displays read?", "What are the two values?",
        "Which numbers are shown?", "Give both readings.", "What are the readings?", "Read all displays.",
        "What values do the displays show?",
    ),
    "displays": (
        "How many displays are there?", "How many readings are shown?", "Count the displays.",
        "Number of displays?", "How many displays does the device have?", "How many values are shown?",
        "How many screens are there?", "Tell me the number of displays.",
    ),
    "text": (
        "What does the display say?", "Read the display.", "What is on the screen?", "Read the screen.",
        "What text is displayed?", "What is written on the display?", "What does the screen say?",
        "Read all text on the display.", "What message is shown?", "What does the display show?",
    ),
    "line": (
        "What is in the {ordinal} line?", "What does the {ordinal} line say?", "Read the {ordinal} line.",
        "What is on the {ordinal} line?", "Give the text of the {ordinal} line.",
        "Text of the {ordinal} line?", "What does line {number} say?", "Read line {number}.",
    ),
    "lines": (
        "How many lines of text are shown?", "How many lines are on the display?", "Count the lines of text.",
        "Number of text lines?", "How many lines does the text have?", "How many lines are there?",
        "How many lines does the display show?", "Tell me the number of lines.",
    ),
    "icon": (
        "Is there a {icon} icon?", "Is a {icon} symbol shown?", "Does the display show a {icon} icon?",
        "Can you see a {icon} symbol?", "Is the {icon} icon on?", "Is the {icon} symbol visible?",
        "Is there a {icon} symbol on the screen?", "Is the {icon} icon displayed?",
    ),
    "icons": (
        "How many icons are shown?", "How many symbols are on the display?", "Count the icons.",
        "Number of icons?", "How many icons does the screen show?", "How many icons are there?",
        "How many symbols are shown?", "Tell me the number of icons.",
    ),
}  # fmt: skip
"""Every question about a display in its wordings."""


@frozen
class Reading:
    """What a display of digits shows.

    `text` is the answer, `shown` the characters in the window (blanks included). `unit` is its spelling in
    answers, `drawn_unit` on the device. `names` are the words for the quantity; `caption` is printed, and may
    be empty.
    """

    text: str
    shown: str
    unit: str = ""
    drawn_unit: str = ""
    caption: str = ""
    names: tuple[str, ...] = ()
    kind: str = "number"


@frozen
class _Quantity:
    """A quantity: its names, its unit, and (whole digits, decimals) of the displays that show it."""

    names: tuple[str, ...]
    unit: str
    formats: tuple[tuple[int, int], ...]
    signed: bool = False
    drawn_unit: str = ""


_QUANTITIES = (
    _Quantity(("voltage",), "V", ((1, 2), (2, 1), (2, 2), (3, 0), (3, 1))),
    _Quantity(("current",), "A", ((1, 1), (1, 2), (2, 1), (2, 2))),
    _Quantity(("power",), "W", ((2, 0), (3, 0), (4, 0))),
    _Quantity(("power",), "kW", ((1, 1), (1, 2), (2, 1))),
    _Quantity(("energy",), "kWh", ((3, 1), (4, 0), (4, 1), (5, 0), (5, 1), (6, 0))),
    _Quantity(("temperature",), "C", ((1, 1), (2, 0), (2, 1), (3, 0)), signed=True, drawn_unit="°C"),
    _Quantity(("temperature",), "F", ((2, 0), (2, 1), (3, 0)), signed=True, drawn_unit="°F"),
    _Quantity(("humidity",), "%", ((2, 0), (2, 1))),
    _Quantity(("weight", "mass"), "kg", ((1, 1), (1, 3), (2, 1), (2, 2), (3, 1))),
    _Quantity(("weight", "mass"), "g", ((1, 1), (2, 0), (3, 0), (3, 1), (4, 0))),
    _Quantity(("pressure",), "bar", ((1, 1), (1, 2), (2, 1))),
    _Quantity(("pressure",), "kPa", ((2, 1), (3, 0), (3, 1))),
    _Quantity(("pressure",), "psi", ((2, 0), (2, 1), (3, 0))),
    _Quantity(("flow",), "L/min", ((1, 1), (2, 1), (3, 0))),
    _Quantity(("speed",), "rpm", ((3, 0), (4, 0))),
    _Quantity(("speed",), "km/h", ((1, 0), (2, 0), (2, 1), (3, 0))),
    _Quantity(("level",), "%", ((1, 0), (2, 0), (2, 1))),
    _Quantity(("level",), "mm", ((2, 0), (3, 0), (4, 0))),
    _Quantity(("frequency",), "Hz", ((2, 1), (2, 2), (3, 0))),
    _Quantity(("distance",), "m", ((1, 2), (2, 1), (2, 2), (3, 1))),
    _Quantity(("volume",), "L", ((1, 1), (2, 1), (3, 0), (4, 1))),
    _Quantity(("volume",), "m3", ((2, 1), (3, 1), (3, 2), (4, 1))),
    _Quantity(("concentration",), "ppm", ((2, 0), (3, 0), (4, 0))),
    _Quantity(("acidity",), "pH", ((1, 1), (1, 2), (2, 1))),
    _Quantity(("count", "counter"), "", ((2, 0), (3, 0), (4, 0), (5, 0), (6, 0))),
)

NAMES: tuple[str, ...] = tuple(sorted({name for quantity in _QUANTITIES for name in quantity.names}))
"""Every word for a quantity that a display may show."""

_STATES = (
    "READY", "RUNNING", "STOPPED", "STANDBY", "HEATING", "COOLING", "CHARGING", "PAUSED", "LOCKED",
    "OPEN DOOR", "PRESS START", "LOW BATTERY", "NO SIGNAL", "PUMP ON", "PUMP OFF", "FAN ON", "FAN OFF",
    "FILTER FULL", "ALARM", "AUTO MODE", "MANUAL MODE", "CONNECTED", "OFFLINE", "ENTER CODE", "INSERT CARD",
    "PLEASE WAIT", "TANK EMPTY", "Ready", "Please wait", "Connected", "Door open", "Low battery",
    "Insert coin", "Heating", "Print done",
)  # fmt: skip

_SHORT = (
    ("TEMP", "C", "temperature"), ("SET", "C", "set temperature"), ("FLOW", "L/h", "flow"),
    ("SPEED", "rpm", "speed"), ("LEVEL", "%", "level"), ("VOLT", "V", "voltage"), ("HUM", "%", "humidity"),
    ("PRES", "bar", "pressure"), ("WEIGHT", "kg", "weight"), ("POWER", "W", "power"),
    ("BATT", "%", "battery level"), ("DEPTH", "m", "depth"),
)  # fmt: skip

_DAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")


@frozen
class Message:
    """Lines of a dot-matrix display, and the values in them by name."""

    lines: tuple[str, ...]
    values: tuple[tuple[str, str], ...] = ()


def reading(rng: np.random.Generator, setting: Setting) -> Reading:
    """What a display of up to six digits may show; fewer digits when it is easy."""
    draw = float(rng.random())
    if draw < 0.03:
        return Reading(NONE, " " * int(rng.integers(3, 6)), kind="off")
    if draw < 0.13:
        time = f"{int(rng.integers(0, 24)):02d}:{int(rng.integers(0, 60)):02d}"
        return Reading(time, time, names=("time",), caption=pick(rng, ("", "TIME", "CLOCK")), kind="clock")
    if draw < 0.17:
        code = f"{pick(rng, 'EFHPAC')}{int(rng.integers(1, 100)):02d}"
        return Reading(code, code, names=("code", "error code"), caption=pick(rng, ("", "CODE")), kind="code")
    most = round(setting.between(3, 6))
    while True:
        quantity = pick(rng, _QUANTITIES)
        formats = [item for item in quantity.formats if sum(item) <= most]
        if formats:
            return _quantity_reading(rng, quantity, pick(rng, formats))


def _quantity_reading(rng: np.random.Generator, quantity: _Quantity, form: tuple[int, int]) -> Reading:
    whole, decimals = form
    text = number(rng, whole, decimals)
    if quantity.signed and chance(rng, 0.35) and float(text):
        text = f"-{text}"
    shown = text
    if chance(rng, 0.35):
        shown = " " * int(rng.integers(1, 3)) + text if len(text) < 6 else text
    elif not quantity.unit and chance(rng, 0.5):
        text = shown = text.zfill(whole + int(rng.integers(0, 2)))
    unit = quantity.unit if chance(rng, 0.85) else ""
    name = pick(rng, quantity.names)
    caption = ""
    if chance(rng, 0.6):
        caption = pick(rng, (name.upper(), name.capitalize()))
    return Reading(
        text=text,
        shown=shown,
        unit=unit,
        drawn_unit=(quantity.drawn_unit or unit) if unit else "",
        caption=caption,
        names=quantity.names,
    )


def number(rng: np.random.Generator, whole: int, decimals: int) -> str:
    """A number of up to `whole` digits (all of them four times in five) and exactly `decimals` decimals."""
    if whole > 1 and chance(rng, 0.2):
        whole -= 1
    low = 0 if whole == 1 else 10 ** (whole - 1)
    digits = str(int(rng.integers(low, 10**whole)))
    return digits + (f".{int(rng.integers(0, 10**decimals)):0{decimals}d}" if decimals else "")


def message(rng: np.random.Generator, setting: Setting, most: int) -> Message:
    """One or two lines of at most `most` characters."""
    count = 1 if setting.height < 80 or chance(rng, setting.between(0.7, 0.35)) else 2
    lines: list[str] = []
    values: list[tuple[str, str]] = []
    used: set[str] = set()
    while len(lines) < count:
        line, name, value = _lcd_line(rng)
        if len(line) <= most and (name or line) not in used:
            used.add(name or line)
            lines.append(line)
            if name:
                values.append((name, value))
    return Message(tuple(lines), tuple(values))


def _lcd_line(rng: np.random.Generator) -> tuple[str, str, str]:
    """A line, and the name and value that it holds (both empty if it holds none)."""
    kind = float(rng.random())
    if kind < 0.4:
        name, unit, words = pick(rng, _SHORT)
        value = number(rng, int(rng.integers(1, 4)), int(rng.integers(0, 2)))
        colon = pick(rng, (" ", ": ", ":", "="))
        with_unit = chance(rng, 0.6)
        shown = name if chance(rng, 0.7) else name.capitalize()
        return f"{shown}{colon}{value}{pick(rng, ('', ' ')) + unit if with_unit else ''}", words, value
    if kind < 0.62:
        return pick(rng, _STATES), "", ""
    if kind < 0.75:
        time = f"{int(rng.integers(0, 24)):02d}:{int(rng.integers(0, 60)):02d}"
        day = pick(rng, _DAYS)
        return pick(rng, (time, f"{day} {time}", f"{time} {day}")), "time", time
    if kind < 0.85:
        code = f"{pick(rng, 'EFPS')}{int(rng.integers(1, 100)):02d}"
        return pick(rng, (f"ERROR {code}", f"Error {code}", f"ERR:{code}")), "error code", code
    length = int(rng.integers(3, 11))
    alphabet = "ABCDEFGHIJKLMNPQRSTUVWXYZ0123456789" if kind < 0.95 else "abcdefghijklmnopqrstuvwxyz"
    return "".join(alphabet[int(i)] for i in rng.integers(0, len(alphabet), length)), "", ""
