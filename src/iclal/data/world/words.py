"""The words of the spoken world that fill its sentences."""

COLOURS = tuple("red blue green yellow black white brown grey pink purple violet silver".split())
DAYS = tuple("monday tuesday wednesday thursday friday saturday sunday".split())
PLACES = tuple(
    "paris london berlin madrid oslo dublin boston delhi vienna prague athens lisbon warsaw moscow texas florence "
    "hamburg munich zurich brussels quebec houston dallas denver seattle bangkok naples glasgow bristol norway "
    "sweden finland scotland egypt india brazil mexico alaska france greece".split()
)
THINGS = tuple(
    "lamp book chair table bottle basket hammer clock candle ladder mirror pencil blanket bucket guitar jacket kettle "
    "letter needle pillow ribbon saddle ticket umbrella violin wagon window bicycle camera drum engine feather glove "
    "helmet jar map net plate ring shirt spoon stamp towel whistle stone shell cork pump horn flag cup coin cloak "
    "bell bag boat shovel carpet button anchor".split()
)
NUMBERS = tuple(
    "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen "
    "nineteen twenty thirty forty fifty sixty seventy eighty ninety".split()
)
DIGITS = tuple("zero one two three four five six seven eight nine".split())

SPEAKERS = ("man", "woman", "child")
PACES = ("slow", "fast")
SURROUNDINGS = ("quiet", "noisy")


def plural(thing: str) -> str:
    """The regular plural; THINGS holds no other."""
    return thing + "s"
