"""What is printed: common words, invented words, numbers, codes, dates, times, prices, addresses. ASCII only.

Every maker takes the generator; nothing here draws.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.,:;-/()%&+#@!?'\"$=*"
"""Every character that printed text may show, besides the space."""


def _split(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_CODE_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"  # as on number plates: no I, no O
_ALIKE = set("IlOo")
"""Letters that some font draws like another character; without a word around them nobody can tell."""
_SCALELESS = set("cosvwxz")
"""Letters whose capitals differ from them in size alone."""
_ONSETS = _split(
    "b c d f g h j k l m n p r s t v w z bl br ch cl cr dr fl fr gl gr ph pl pr qu sh sk sl sp st th tr tw"
)
_VOWELS = _split("a e i o u y ai ea ee io oa oo ou ie")
_CODAS = (
    _split("b d g k l m n p r s t x ck ff ft ld ll lt mp nd ng nk nt rd rk rn rt ss st sh th") + ("",) * 6
)
_MONTHS = _split("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec")
_ENDINGS = _split("com org net io de eu co.uk dev info")
_UNITS = _split("kg g mg km m cm mm L ml V A W kW Hz GB MB s min h pcs C bar")

_CODE_PATTERNS = (
    "AA-9999", "AA 999", "AAA-999", "A9A 9AA", "99-AA-99", "AA99 AAA", "999-999", "AAA999", "9AAA999",
    "A-9999", "AA9999A", "99/99", "AAAA-99", "#99999", "No. 999", "A99", "A9-99", "99.99.99", "AAA 99A",
    "9999 AA", "(99) 9999", "+99 999 99", "999-9999", "99999", "99999-9", "AA:99:A9", "A.99", "A/9999",
    "99999 A", "AAAAA", "AAA-AAA", "R99+", "A=9.9", "9*9", "99+9=99", "$9,999", "A9;A9", "?99", "AA/AA!",
)  # fmt: skip


def word(rng: np.random.Generator) -> str:
    """A common English word in lower case, as a title or in capitals."""
    return _cased(rng, WORDS[int(rng.integers(len(WORDS)))])


def invented_word(rng: np.random.Generator) -> str:
    """A word of one to three syllables that nobody has seen."""
    parts = []
    for onset, vowel, coda in rng.random((int(rng.integers(1, 4)), 3)).tolist():
        parts += [_at(_ONSETS, onset), _at(_VOWELS, vowel), _at(_CODAS, coda)]
    return _cased(rng, "".join(parts))


def jumble(rng: np.random.Generator) -> str:
    """Three to eight characters without any sense, none of which is drawn like another."""
    pool = _POOLS[int(rng.integers(len(_POOLS)))]
    return "".join(pool[i] for i in rng.integers(0, len(pool), int(rng.integers(3, 9))))


def number(rng: np.random.Generator) -> str:
    """Digits: whole, with decimals, with separators, with a sign, a percent sign or a unit."""
    digits = int(rng.integers(1, 7))
    value = int(rng.integers(10 ** (digits - 1) if digits > 1 else 0, 10**digits))
    way = int(rng.integers(8))
    if way == 0:
        return f"{value / 10 ** int(rng.integers(1, 3)):.{int(rng.integers(1, 3))}f}"
    if way == 1:
        return f"{value:,}"
    if way == 2:
        return f"{value % 1000}{('%', ' %')[value % 2]}"
    if way == 3:
        return f"{'+-'[value % 2]}{value % 10000}"
    if way == 4:
        return f"{value % 10000} {_UNITS[int(rng.integers(len(_UNITS)))]}"
    return str(value)


def whole_number(rng: np.random.Generator) -> str:
    """One to six digits."""
    return str(int(rng.integers(0, 10 ** int(rng.integers(1, 7)))))


def code(rng: np.random.Generator) -> str:
    """A serial number, a number plate, a phone number: letters and digits by a pattern."""
    pattern = _CODE_PATTERNS[int(rng.integers(len(_CODE_PATTERNS)))]
    picks = rng.random(len(pattern)).tolist()
    signs = {"A": _CODE_LETTERS, "9": "0123456789"}
    return "".join(_at(signs[p], pick) if p in signs else p for p, pick in zip(pattern, picks, strict=True))


def date(rng: np.random.Generator) -> str:
    """A day in one of the usual spellings."""
    day, month, year = int(rng.integers(1, 32)), int(rng.integers(1, 13)), int(rng.integers(1950, 2050))
    ways = (
        f"{year}-{month:02}-{day:02}",
        f"{day:02}.{month:02}.{year}",
        f"{day:02}/{month:02}/{year}",
        f"{month}/{day}/{year % 100:02}",
        f"{day} {_MONTHS[month - 1]} {year}",
        f"{_MONTHS[month - 1]} {day}, {year}",
    )
    return ways[int(rng.integers(len(ways)))]


def clock(rng: np.random.Generator) -> str:
    """A time of day."""
    hour, minute, second = int(rng.integers(24)), int(rng.integers(60)), int(rng.integers(60))
    half = f"{(hour - 1) % 12 + 1}:{minute:02} {'AM' if hour < 12 else 'PM'}"
    ways = (f"{hour:02}:{minute:02}", f"{hour}:{minute:02}", f"{hour:02}:{minute:02}:{second:02}", half)
    return ways[int(rng.integers(len(ways)))]


def price(rng: np.random.Generator) -> str:
    """An amount of money."""
    amount = int(rng.integers(1, 10 ** int(rng.integers(2, 6)))) / 100
    ways = (f"${amount:.2f}", f"{amount:.2f}", f"EUR {amount:.2f}", f"{amount:.2f} EUR", f"USD {amount:.0f}")
    return ways[int(rng.integers(len(ways)))]


def address(rng: np.random.Generator) -> str:
    """A web or mail address."""
    first, second = (WORDS[i] for i in rng.integers(0, len(WORDS), 2))
    ending = _ENDINGS[int(rng.integers(len(_ENDINGS)))]
    ways = (
        f"www.{first}.{ending}",
        f"{first}{second}.{ending}",
        f"{first}@{second}.{ending}",
        f"{first}.{ending}",
    )
    return ways[int(rng.integers(len(ways)))]


def piece(rng: np.random.Generator) -> str:
    """Something short of any of these kinds; most often a word."""
    makers, shares = _PIECES
    return makers[int(np.searchsorted(shares, rng.random()))](rng)


def passage(rng: np.random.Generator, longest: int) -> str:
    """Several pieces, at least one, of at most `longest` characters together."""
    style = float(rng.random())
    text = _cut(piece(rng), longest)
    for _ in range(8):
        following = (word(rng) if style < 0.5 else piece(rng)) if rng.random() < 0.85 else _marked(rng)
        if len(text) + 1 + len(following) > longest:
            break
        text = f"{text} {following}"
    if style < 0.2 and not any(character.isdigit() for character in text):
        text = text[0].upper() + text[1:].lower()
    elif style > 0.9:
        text = text.upper()
    return text


def _marked(rng: np.random.Generator) -> str:
    """A word with punctuation about it."""
    inner, mark = word(rng), int(rng.integers(9))
    return (
        f"({inner})",
        f"{inner}:",
        f"{inner},",
        f"{inner}.",
        f"{inner}!",
        f"{inner}?",
        f'"{inner}"',
        f"{inner};",
        f"& {inner}",
    )[mark]


def _cut(text: str, longest: int) -> str:
    return text[:longest].strip()


def _cased(rng: np.random.Generator, text: str) -> str:
    way = float(rng.random())
    if way < 0.5:
        return text
    return text.capitalize() if way < 0.75 or set(text) <= _SCALELESS else text.upper()


def _at(choices: Sequence[str], share: float) -> str:
    return choices[int(share * len(choices))]


_DISTINCT = "".join(character for character in CHARACTERS if character not in _ALIKE)
_POOLS = tuple(
    "".join(filter(chosen, _DISTINCT))
    for chosen in (str.isascii, str.isalnum, str.isupper, str.islower, str.isdigit)
)

_PIECES: tuple[tuple[Callable[[np.random.Generator], str], ...], tuple[float, ...]] = (
    (word, invented_word, code, number, whole_number, jumble, date, clock, price, address),
    (0.36, 0.5, 0.62, 0.71, 0.77, 0.83, 0.88, 0.92, 0.96, 1.0),
)

WORDS = _split(
    """
able about above accept access account acid across act action active add address adjust admit adult advice
afford after again age agency agent ago agree ahead aim air alarm album alert alive all allow almost alone
along already also alter always amber amount anchor ancient angle animal ankle annual answer any apart
appeal apple apply april apron arch area argue arm army around arrive arrow art article ash aside ask asleep
aspect assist atlas atom attach attack attend attic august aunt author auto autumn avenue average avoid
awake award aware away axis baby back bacon badge bag bake baker balance balcony ball ballet bamboo banana
band bank banner bar bare bargain barley barn barrel base basic basin basket bath battery battle beach bead
beam bean bear beard beast beat beauty become bed bee beef beer before begin behave behind bell below belt
bench bend benefit berry best better between beyond bicycle big bike bill bird birth biscuit bite bitter
black blade blame blanket blast blind block blood bloom blouse blow blue board boat body boil bold bolt bone
bonus book boot border borrow both bottle bottom bowl box boy brain brake branch brand brass brave bread
break breath breeze brick bride bridge brief bright bring broad bronze broom brother brown brush bubble
bucket budget build bulb bull bundle burn bus bush busy butcher butter button buy buyer cabin cable cactus
cafe cage cake call calm camel camera camp can canal candle candy canoe canvas cap cape capital captain car
carbon card care career cargo carpet carrot carry cart carve case cash castle cat catalog catch cattle cause
cave ceiling cell cellar cement center central century cereal certain chain chair chalk chance change
channel chapter charge charm chart chase cheap check cheek cheese chef cherry chess chest chicken chief
child chimney chin choice choose church cinema circle citizen city civil claim class clay clean clear clerk
clever click cliff climate climb clinic clock close closed cloth cloud clover club coach coal coast coat
cocoa code coffee coin cold collar collect college colony column comb combine come comedy comfort command
common company compare compass concert cook cool copper copy coral core corn corner correct cost cotton
couch cough council count counter country county couple courage course court cousin cover cow crab craft
crane cream create credit creek crew cricket crime crisp crop cross crowd crown cruise crust cry crystal
cube culture cup cure curious current curtain curve cushion custom cut cycle daily dairy damage damp dance
danger dare dark data date daughter dawn day dead deaf deal dear debate debt decade decide deck deep deer
defend degree delay deliver demand dense dentist depart depth desert design desk detail device dew dial
diamond diary dice diet differ dig digit dinner direct dirt dish display distance ditch dive divide doctor
dog doll dollar dolphin domain donkey door dose dot double dough dove down dozen draft dragon drain drama
draw drawer dream dress drift drill drink drive driver drop drum dry duck due dull dust duty eager eagle ear
early earn earth ease east easy eat echo edge edit editor effect effort egg eight either elbow elder elect
element eleven elm else empire employ empty end enemy energy engine enjoy enough enter entire entry envelope
equal error escape estate even evening event ever every exact exam example excuse exempt exercise exist exit
expand expect expert export express extra eye fabric face fact factory fade fail faint fair faith fall false
fame family famous fan fancy far farm farmer fashion fast fat father fault favor fear feast feather fee feed
feel fellow female fence ferry festival fetch fever few fiber field fifteen fifth fifty fig fight figure
file fill film filter final finance find fine finger finish fire firm first fish fit five fix flag flame
flash flat flavor fleet flesh flight float flood floor flour flow flower flute fly foam focus fog fold folk
follow food foot force forest forget fork form formal former fort forty forward fossil found four fox frame
free freedom freeze freight fresh friday fridge friend frog front frost fruit fuel full fun fund funny fur
future gain galaxy gallery game gap garage garden garlic gas gate gather gauge gear general gentle ghost
giant gift ginger giraffe girl give glad glass globe glory glove glow glue goal goat gold golden good goose
govern grace grade grain grand grape graph grass grave gravity great green greet grey grid grill grip
grocery ground group grow growth guard guess guest guide guitar gulf gun habit hair half hall hammer hand
handle hang happen happy harbor hard harvest hat have hawk hay hazel head health hear heart heat heaven
heavy hedge heel height helmet help hen herb here hero hidden hide high hill hint hire history hit hobby
hold hole holiday hollow home honest honey hook hope horn horse hospital host hot hotel hour house human
humble humor hundred hunger hunt hurry hurt husband hut ice idea ideal idle image impact import impress inch
include income index indoor industry infant inform injury ink inn inner input insect inside insist install
instead insure intend invent invest invite iron island issue item ivory ivy jacket jam january jar jaw jazz
jelly jewel job join joint joke journal journey joy judge jug juice july jump june jungle junior jury just
keen keep kernel kettle key kick kid kidney kind king kiosk kitchen kite kitten knee knife knock knot know
label labor lace ladder lady lake lamb lamp land lane language laptop large laser last late laugh launch
laundry law lawn lawyer lay layer lazy lead leader leaf league lean learn lease least leather leave lecture
left leg legal lemon lend length lens less lesson letter level lever liberty library license lid lie life
lift light like lily limb lime limit line linen link lion lip liquid list listen liter little live liver
living lizard load loaf loan lobby local lock lodge log logic lonely long look loop loose lord lose loss lot
loud lounge love low loyal luck luggage lumber lunar lunch lung luxury machine magic magnet maid mail main
major make male mall mammal man manage mango manner manual many map maple marble march margin marine mark
market marriage mask mass master match material matter maximum may maybe mayor meadow meal mean measure meat
medal media medical medium meet melon melt member memory mention menu mercy merit merry message metal meter
method middle midnight mild mile milk mill million mind mine mineral minimum minor mint minute mirror miss
mist mix mobile mode model modern modest moment monday money monkey month mood moon moral more morning moss
most mother motion motor mount mountain mouse mouth move movie much mud muffin mule muscle museum mushroom
music mustard mutual mystery nail name narrow nation native nature navy near neat neck need needle neighbor
neither nephew nerve nest net network never new news next nice niece night nine noble noise none noodle noon
normal north nose note nothing notice novel november now number nurse nut nylon oak oat object oblige
observe ocean october odd offer office officer often oil old olive once one onion only onto open opera
opinion orange orbit orchard order organ origin orphan other otter ounce outdoor output outside oval oven
over owl own owner oxygen oyster pace pack package page pain paint pair palace pale palm pan panel panic
paper parade parcel pardon parent park parrot part partner party pass passage past pasta paste patch path
patient pattern pause pave pay peace peach peak peanut pear pearl pebble pedal pen pencil penny people
pepper perfect perform perhaps period permit person petrol phone photo phrase piano pick picnic picture pie
piece pig pigeon pile pill pillow pilot pin pine pink pint pioneer pipe pirate pitch pizza place plain plan
plane planet plant plaster plastic plate play player please plenty plot plow plug plum plus pocket poem poet
point poison polar pole police policy polish polite pond pony pool poor pope poppy popular porch port
portion post poster pot potato pottery pound pour powder power praise pray prefer prepare present press
pretty price pride priest prime prince print prison private prize problem process produce profit program
promise proof proper protect proud prove provide public pull pulse pump punch pupil puppet purchase pure
purple purpose purse push put puzzle pyramid quality quarter queen quest quick quiet quilt quit quite quiz
quota quote rabbit race rack radar radio raft rail rain raise ram ranch random range rapid rare rate rather
raven raw ray razor reach read reader ready real reason rebel recall receipt receive recipe record red
reduce reef refer reform refuse region regret regular reject relate relax relay release relief rely remain
remark remedy remind remote remove rent repair repeat reply report rescue reserve resist resort respect rest
result retail retire return reveal review reward rhyme rhythm ribbon rice rich ride rider ridge right rigid
ring riot ripe rise risk rival river road roast robin robot rock rocket role roll roof room root rope rose
rotten rough round route routine row royal rubber ruby rude rug ruin rule ruler rural rush rust sacred sad
saddle safe safety sail sailor saint salad salary sale salmon salt same sample sand sandwich satin saturday
sauce sausage save saw scale scarf scene scent school science score scout scrap screen screw script sea seal
search season seat second secret section see seed seek seem seldom select self sell senate send senior sense
september series serve service set settle seven several severe shade shadow shake shallow shape share shark
sharp shed sheep sheet shelf shell shelter shield shift shine ship shirt shock shoe shoot shop shore short
should shoulder shout show shower shrimp shut shy side sight sign signal silence silk silly silver similar
simple since singer single sink sister site six size skate sketch ski skill skin skirt sky slave sleep
sleeve slice slide slight slim slip slope slow small smart smell smile smoke smooth snack snail snake snow
soap soccer social sock soda sofa soft soil solar soldier solid solve some son song soon sorry sort soul
sound soup sour source south space spare spark speak special speech speed spell spend sphere spice spider
spin spine spirit split spoil sponge spoon sport spot spray spread spring square squash stable stadium staff
stage stain stair stamp stand standard star start state station statue stay steak steam steel steep stem
step stereo stick still sting stock stomach stone stool stop store storm story stove straight strange straw
stream street strength stress stretch strict strike string strip strong student studio study stuff style
subject submit subway success such sudden sugar suggest suit sum summer sun sunday sunny supper supply
support sure surface surgeon surprise swallow swamp swan sweater sweep sweet swim swing switch sword symbol
system table tablet tail tailor take tale talent talk tall tame tank tap tape target task taste tax taxi tea
teach teacher team tear tell temper temple ten tenant tennis tent term test text than thank theater then
theory there thick thief thin thing think third thirty thorn thread three throat throne through throw thumb
thunder thursday ticket tide tidy tie tiger tight tile timber time tin tiny tip tire tired title toast
tobacco today toe together toilet tomato tomorrow tone tongue tonight tool tooth top torch total touch tough
tour toward towel tower town toy trace track trade traffic trail train transfer trap travel tray treasure
treat tree trend trial tribe trick trip trophy trouble truck true trumpet trunk trust truth try tube tuesday
tulip tuna tunnel turkey turn turtle twelve twenty twice twin twist two type typical ugly umbrella uncle
under uniform union unit unity until update upon upper upset urban urge urgent use useful usual vacant
vacation valid valley value valve van vanilla vapor various vase vast vault vein velvet vendor venture verb
verse version very vessel veteran victim victory video view village vine vinegar violet violin virtue visa
visit visitor visual vital vivid vocal voice volcano volume vote voyage wage wagon waist wait waiter walk
wall wallet walnut want war warm warn warning wash waste watch water wave wax way weak wealth weapon wear
weather web wedding wednesday weed week weigh weight welcome well west wet whale wheat wheel when where
which while whip white whole wide widow width wife wild will win wind window wine wing winner winter wire
wise wish witness wolf woman wonder wood wooden wool word work worker world worm worry worth wrap wreck
wrist write wrong yard yarn year yellow yes yesterday yet yield yoga young youth zebra zero zinc zipper zone
zoo
"""
)
