"""What small documents say: receipts, forms and tables with consistent values. Draws nothing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from galago.drawing import words
from galago.drawing.sheet import chance, pick, sample
from galago.frozen import frozen

Maker = Callable[[np.random.Generator], str]

_GIVEN = (
    "Anna", "Ben", "Clara", "David", "Emma", "Felix", "Greta", "Hugo", "Ida", "Jonas", "Kira", "Leo", "Mia",
    "Nina", "Oscar", "Paula", "Quentin", "Rosa", "Sam", "Tara", "Umar", "Vera", "Will", "Xenia", "Yuki",
    "Zoe", "Ali", "Bela", "Chen", "Dina", "Elif", "Fatma", "Goran", "Hana", "Ivan", "Jane", "Karl", "Lena",
    "Marco", "Noor", "Olga", "Pedro", "Rita", "Sofia", "Tom", "Ursula", "Victor", "Wendy", "Yara", "Amir",
)  # fmt: skip

_FAMILY = (
    "Berg", "Novak", "Silva", "Khan", "Meyer", "Rossi", "Tanaka", "Olsen", "Garcia", "Smith", "Jones",
    "Brown", "Wolf", "Fischer", "Weber", "Moreau", "Dubois", "Petrov", "Kim", "Lee", "Wang", "Singh", "Patel",
    "Costa", "Lopez", "Hall", "Young", "King", "Wright", "Green", "Baker", "Adams", "Nelson", "Carter",
    "Turner", "Stone", "Frost", "Lind", "Holm", "Dahl", "Bauer", "Koch", "Vogel", "Roth", "Sato", "Mori",
    "Okafor",
)  # fmt: skip

_CITIES = (
    "Berlin", "Paris", "London", "Oslo", "Rome", "Madrid", "Vienna", "Prague", "Dublin", "Lisbon", "Athens",
    "Zurich", "Milan", "Porto", "Lyon", "Ghent", "Turin", "Bergen", "Krakow", "Boston", "Dallas", "Denver",
    "Tokyo", "Osaka", "Delhi", "Lagos", "Cairo", "Lima", "Quito", "Perth", "Bonn", "Graz", "Basel", "York",
)  # fmt: skip

_COUNTRIES = (
    "Germany", "France", "Norway", "Italy", "Spain", "Austria", "Ireland", "Portugal", "Greece", "Poland",
    "Japan", "India", "Egypt", "Peru", "Brazil", "Canada", "Kenya", "Ghana", "Chile", "Turkey", "Sweden",
)  # fmt: skip

_GOODS = (
    "Milk", "Bread", "Butter", "Coffee", "Tea", "Sugar", "Rice", "Pasta", "Apples", "Bananas", "Eggs",
    "Cheese", "Yogurt", "Juice", "Water", "Soap", "Shampoo", "Paper", "Pens", "Batteries", "Lamp", "Socks",
    "Towel", "Honey", "Jam", "Salt", "Flour", "Onions", "Carrots", "Beans", "Tomatoes", "Potatoes", "Garlic",
    "Lemons", "Olive oil", "Red wine", "Beer", "Cola", "Chips", "Cookies", "Muesli", "Candles", "Tape",
    "Screws", "Glue", "Paint", "Brush", "Hammer", "Nails", "Cable", "Soup", "Salad", "Pizza", "Burger",
    "Fries", "Espresso", "Croissant", "Sandwich", "Donut", "Cake", "Notebook", "Stamps", "Magazine", "Plant",
    "Roses", "T-shirt",
)  # fmt: skip

_TRADES = (
    "Market", "Store", "Shop", "Cafe", "Bakery", "Foods", "Books", "Garden", "Bistro", "Pharmacy", "Tools",
    "Bar", "Deli", "Grill", "Kiosk", "Mart", "Sports", "Hotel", "Pizza", "Flowers", "Center", "Express",
)  # fmt: skip

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@frozen
class Receipt:
    """A receipt; amounts are spelled as printed, and what is not printed is None."""

    shop: str
    items: tuple[tuple[str, str], ...]
    total: str
    date: str | None = None
    time: str | None = None
    number: str | None = None
    phone: str | None = None
    vat: str | None = None
    payment: str | None = None
    paid: str | None = None
    change: str | None = None

    @property
    def fields(self) -> dict[str, str | None]:
        """What can be asked for by name."""
        return {
            "shop": self.shop, "date": self.date, "time": self.time, "number": self.number,
            "phone": self.phone, "total": self.total, "vat": self.vat, "payment": self.payment,
            "change": self.change,
        }  # fmt: skip


@frozen
class Field:
    """A line of a form: its printed `label`, the words one may ask with, and its value (None: left blank)."""

    label: str
    words: tuple[str, ...]
    value: str | None
    is_person: bool = False


@frozen
class Table:
    """A table: a header and rows of as many cells; the first cell of each row is its name."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@frozen
class Form:
    """A form with an optional title, its fields, and perhaps a table."""

    title: str | None
    fields: tuple[Field, ...]
    table: Table | None = None


def person(rng: np.random.Generator) -> str:
    """A given name and a family name, one of them sometimes invented or an initial."""
    family = pick(rng, _FAMILY) if chance(rng, 0.75) else words.invented_word(rng).capitalize()
    given = pick(rng, _GIVEN) if chance(rng, 0.85) else f"{pick(rng, _GIVEN)[0]}."
    return f"{given} {family}"


def day(rng: np.random.Generator) -> str:
    """A date in one of four spellings."""
    year, month, date = int(rng.integers(1960, 2035)), int(rng.integers(1, 13)), int(rng.integers(1, 29))
    return pick(
        rng,
        (
            f"{year}-{month:02d}-{date:02d}",
            f"{date:02d}.{month:02d}.{year}",
            f"{date:02d}/{month:02d}/{year}",
            f"{date} {_MONTHS[month - 1]} {year}",
        ),
    )


def clock(rng: np.random.Generator) -> str:
    """A time of day, hours and minutes."""
    return f"{int(rng.integers(0, 24)):02d}:{int(rng.integers(0, 60)):02d}"


def digits(rng: np.random.Generator, least: int, most: int) -> str:
    """A number of `least` to `most` digits that does not start with 0."""
    count = int(rng.integers(least, most + 1))
    return str(int(rng.integers(10 ** (count - 1), 10**count)))


def phone(rng: np.random.Generator) -> str:
    """A telephone number of at most ten characters."""
    first, second = digits(rng, 3, 4), digits(rng, 4, 5)
    return pick(rng, (f"{first}-{second}", f"0{first} {second}"))


def shop_name(rng: np.random.Generator, most: int) -> str:
    """The name of a shop, of at most `most` characters."""
    for _ in range(8):
        first = words.word(rng) if chance(rng, 0.5) else words.invented_word(rng)
        name = pick(
            rng, (first, f"{first} {pick(rng, _TRADES)}", f"{pick(rng, _FAMILY)} {pick(rng, _TRADES)}")
        )
        name = name.upper() if chance(rng, 0.5) else name.title()
        if 2 < len(name) <= most:
            return name
    return name[:most].strip()


def goods(rng: np.random.Generator, count: int, most: int) -> list[str]:
    """`count` different things one can buy, each of at most `most` characters."""
    names: list[str] = []
    while len(names) < count:
        name = pick(rng, _GOODS) if chance(rng, 0.7) else words.word(rng).capitalize()
        if 2 < len(name) <= most and all(name.lower() != other.lower() for other in names):
            names.append(name)
    return names


def receipt(rng: np.random.Generator, most_rows: int, most_characters: int) -> Receipt:
    """A receipt whose total is the sum of its prices, of at most `most_rows` (5 or more) printed rows."""
    count = int(rng.integers(2, max(2, min(5, most_rows - 3)) + 1))
    names = goods(rng, count, most_characters - 7)
    if chance(rng, 0.25):
        names = [name.upper() for name in names]
    cents = [int(rng.integers(20, pick(rng, (500, 2000, 9000)))) for _ in names]
    comma = chance(rng, 0.1)

    def money(amount: int) -> str:
        text = f"{amount // 100}.{amount % 100:02d}"
        return text.replace(".", ",") if comma else text

    total = sum(cents)
    left = most_rows - count - 2
    given = total if chance(rng, 0.3) else -(-total // 500) * 500
    extras: dict[str, str | None] = {}
    for name in sample(rng, ("date", "date", "time", "number", "phone", "vat", "payment", "cash"), 8):
        rows = {"cash": 2, "time": 0 if "date" in extras else 1}.get(name, 1)
        if name in extras or rows > left or chance(rng, 0.25):
            continue
        left -= rows
        if name == "cash":
            extras |= {"payment": "CASH", "paid": money(given), "change": money(given - total)}
        elif name == "payment" and "paid" not in extras:
            extras["payment"] = pick(rng, ("CARD", "CASH", "VISA", "DEBIT", "CHEQUE", "VOUCHER"))
        elif name in {"date", "time", "number", "phone", "vat"}:
            makers: dict[str, Maker] = {
                "date": day,
                "time": clock,
                "number": lambda rng: digits(rng, 3, 6),
                "phone": phone,
                "vat": lambda _: money(round(total * 0.16)),
            }
            extras[name] = makers[name](rng)
    prices = tuple(zip(names, map(money, cents), strict=True))
    return Receipt(shop=shop_name(rng, most_characters), items=prices, total=money(total), **extras)


def _one_of(*options: str) -> Maker:
    return lambda rng: pick(rng, options)


def _number(least: int, most: int, pattern: str) -> Maker:
    return lambda rng: pattern.format(int(rng.integers(least, most)))


def _mail(rng: np.random.Generator) -> str:
    return (
        f"{pick(rng, _GIVEN).lower()}@{words.word(rng).lower()[:7]}.{pick(rng, ('com', 'org', 'net', 'de'))}"
    )


def _street(rng: np.random.Generator) -> str:
    kind = pick(rng, ("St", "Road", "Lane", "Ave"))
    return f"{words.word(rng).capitalize()} {kind} {int(rng.integers(1, 200))}"


def _amount(rng: np.random.Generator) -> str:
    return f"{int(rng.integers(1, 1000))}.{int(rng.integers(0, 100)):02d}"


def _code(rng: np.random.Generator) -> str:
    letters = "".join(pick(rng, "ABCDEFGHJKLMNPRSTUVWX") for _ in range(int(rng.integers(1, 4))))
    return f"{letters}{pick(rng, ('-', '', ' '))}{digits(rng, 2, 5)}"


_PEOPLE = (
    (("Name", "Full name"), ("name", "full name")),
    (("Client", "Customer"), ("client", "customer")),
    (("Doctor", "Physician"), ("doctor", "physician")),
    (("Contact", "Contact person"), ("contact", "contact person")),
    (("Manager",), ("manager",)),
    (("Driver",), ("driver",)),
    (("Author",), ("author",)),
    (("Guest", "Visitor"), ("guest", "visitor")),
    (("Inspector",), ("inspector",)),
    (("Teacher",), ("teacher",)),
    (("Signed by", "Signature"), ("signer", "signature")),
)

_FACTS: tuple[tuple[tuple[str, ...], tuple[str, ...], Maker], ...] = (
    (("Company", "Firm"), ("company", "firm"), lambda rng: shop_name(rng, 11)),
    (("Date",), ("date",), day),
    (("Born", "Date of birth", "Birth date"), ("date of birth", "birth date", "birthday"), day),
    (("Due date", "Due", "Deadline"), ("due date", "deadline"), day),
    (("Phone", "Tel", "Telephone", "Mobile"), ("phone number", "telephone number", "phone"), phone),
    (("Email", "E-mail"), ("email", "email address", "e-mail"), _mail),
    (("City", "Town"), ("city", "town"), _one_of(*_CITIES)),
    (("Country",), ("country",), _one_of(*_COUNTRIES)),
    (("Street", "Address"), ("street", "address"), _street),
    (("ZIP", "Postcode"), ("postcode", "zip code", "zip"), lambda rng: digits(rng, 4, 5)),
    (("Amount", "Sum"), ("amount", "sum"), _amount),
    (("Order no", "Order", "Order ID"), ("order number", "order id"), _code),
    (("Invoice no", "Invoice"), ("invoice number", "number of the invoice"), lambda rng: digits(rng, 3, 6)),
    (("Room", "Room no"), ("room", "room number"), lambda rng: digits(rng, 1, 3)),
    (
        ("Department", "Dept"),
        ("department", "dept"),
        _one_of(
            "Sales", "Service", "Design", "Finance", "Legal", "Research", "Support", "Logistics", "IT", "HR"
        ),
    ),
    (
        ("Job", "Position"),
        ("job", "position"),
        _one_of(
            "Engineer", "Nurse", "Driver", "Cook", "Clerk", "Analyst", "Welder", "Pilot", "Editor", "Farmer"
        ),
    ),
    (("Age",), ("age",), _number(1, 99, "{}")),
    (("Weight",), ("weight",), _number(2, 999, "{} kg")),
    (
        ("Status",),
        ("status",),
        _one_of("open", "paid", "closed", "pending", "shipped", "new", "done", "late"),
    ),
    (("Seat",), ("seat", "seat number"), lambda rng: f"{int(rng.integers(1, 60))}{pick(rng, 'ABCDEF')}"),
    (("Flight", "Flight no"), ("flight", "flight number"), _code),
    (("Gate",), ("gate",), lambda rng: f"{pick(rng, 'ABCDEF')}{int(rng.integers(1, 70))}"),
    (("Plate", "Car plate"), ("plate", "car plate", "number plate"), _code),
    (("Serial no", "Serial", "S/N"), ("serial number", "serial"), _code),
    (
        ("Blood type",),
        ("blood type", "blood group"),
        _one_of("A+", "A-", "B+", "B-", "AB+", "AB-", "0+", "0-"),
    ),
    (("Time",), ("time",), clock),
    (
        ("Color", "Colour"),
        ("color", "colour"),
        _one_of("red", "green", "blue", "black", "white", "silver", "grey"),
    ),
    (("Quantity", "Pieces"), ("quantity", "number of pieces"), _number(1, 500, "{}")),
)

FIELD_WORDS: tuple[tuple[str, ...], ...] = tuple(
    names for names in (*(names for _, names in _PEOPLE), *(names for _, names, _ in _FACTS))
)
"""The words that ask for each field that a form may have."""

_TITLES = (
    "INVOICE", "ORDER FORM", "VISITOR PASS", "REGISTRATION", "DELIVERY NOTE", "MEMBER CARD", "JOB SHEET",
    "BOARDING PASS", "BOOKING", "PATIENT CARD", "TIME SHEET", "INSPECTION", "ID CARD", "TICKET", "REPORT",
    "Work order", "Application", "Service report", "Packing list", "Reservation", "Order", "Contract",
)  # fmt: skip

_TABLES: tuple[tuple[tuple[str, ...], str], ...] = (
    (("Item", "Qty"), "goods"), (("Item", "Qty", "Price"), "goods"), (("Part", "Qty"), "goods"),
    (("Item", "Price"), "goods"), (("Product", "Price"), "goods"), (("Name", "Score"), "people"),
    (("Name", "Hours"), "people"), (("Name", "Age", "Room"), "people"), (("City", "Temp"), "cities"),
    (("City", "Price"), "cities"), (("Day", "Hours"), "days"), (("Day", "Sales", "Qty"), "days"),
)  # fmt: skip

_NARROWEST_TABLE = 12
"""Characters of a row below which no table fits: five of a name, seven of a column."""

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def form(rng: np.random.Generator, most_rows: int, most_characters: int, table_share: float) -> Form:
    """A form of at most `most_rows` rows; one in `table_share` has a table below its fields."""
    title = pick(rng, _TITLES) if chance(rng, 0.75) else None
    left = most_rows - (title is not None)
    grid = None
    if chance(rng, table_share) and left >= 4 and most_characters >= _NARROWEST_TABLE:
        grid = table(rng, min(4, left - 2), most_characters)
        left -= len(grid.rows) + 1
    count = int(rng.integers(min(left, 1 if grid else 3), min(left, 7) + 1))
    return Form(
        title if title and len(title) <= most_characters else None, _fields(rng, count, most_characters), grid
    )


def _fields(rng: np.random.Generator, count: int, most: int) -> tuple[Field, ...]:
    fields: list[Field] = []
    order = rng.permutation(len(_PEOPLE) + len(_FACTS)).tolist() * 3
    if chance(rng, 0.6):
        order.sort(key=lambda index: index >= len(_PEOPLE) or chance(rng, 0.6))
    for index in order:
        if len(fields) == count:
            break
        is_person = index < len(_PEOPLE)
        labels, names = _PEOPLE[index] if is_person else _FACTS[index - len(_PEOPLE)][:2]
        if any(field.words == names for field in fields) or (is_person and len(fields) > 2):
            continue
        label = pick(rng, labels)
        maker = person if is_person else _FACTS[index - len(_PEOPLE)][2]
        value = maker(rng)
        if len(label) + 2 + len(value) <= most:
            fields.append(Field(label, names, None if chance(rng, 0.06) else value, is_person))
    return tuple(fields)


def table(rng: np.random.Generator, most_rows: int, most_characters: int) -> Table:
    """A table of two to `most_rows` rows below its header, rows of at most `most_characters`."""
    while True:
        header, kind = pick(rng, _TABLES)
        room = most_characters - 7 * (len(header) - 1)
        if room >= 5:
            break
    count = int(rng.integers(2, max(2, most_rows) + 1))
    names = {
        "goods": lambda: goods(rng, count, min(room, 10)),
        "people": lambda: sample(rng, [name for name in _GIVEN if len(name) <= room], count),
        "cities": lambda: sample(rng, [name for name in _CITIES if len(name) <= room], count),
        "days": lambda: sample(rng, _DAYS, count),
    }[kind]()
    rows = tuple((name, *(_cell(rng, column) for column in header[1:])) for name in names)
    return Table(header, rows)


def _cell(rng: np.random.Generator, column: str) -> str:
    if column == "Price":
        return f"{int(rng.integers(0, 100))}.{int(rng.integers(0, 100)):02d}"
    if column in {"Hours", "Score"} and chance(rng, 0.4):
        return f"{int(rng.integers(0, 10))}.{pick(rng, '0257')}"
    return str(int(rng.integers(1, {"Age": 99, "Temp": 40, "Sales": 1000}.get(column, 60))))
