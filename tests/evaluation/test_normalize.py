"""Normalisers: the golden table, idempotence, versions."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iclal.errors import SettingsError
from iclal.evaluation.normalize import NORMALIZERS, get_normalizer
from iclal.evaluation.spelling import american
from iclal.evaluation.spoken_numbers import CURRENCIES, FRACTIONS, REPEATS, SCALES, SMALL, ZEROS, spoken_to_digits

NUMBERS = """
two | 2
thirty one | 31
five twenty four | 524
two point five million | 2500000
four point two billions | 4200000000s
200 thousand | 200000
200 thousand dollars | $200000
$20 million | $20000000
€52.4 million | €52400000
£77 thousands | £77000s
two double o eight | 2008
three thousand twenty nine | 3029
forty three thousand two hundred sixty | 43260
forty three thousand two hundred and sixty | 43260
one hundred million two hundred thousand | 100200000
one hundred twenty five | 125
a hundred and one dogs | 101 dogs
fifteen hundred and six | 1506
three billion | 3000000000
millions | 1000000s
hundreds of people | 100s of people
3 14 | 3 14
3.14 | 3.14
3 point 14 | 3.14
fourteen point 4 | 14.4
zero point zero five | 0.05
point five | 0.5
two point two five dollars | $2.25
two hundred million dollars | $200000000
ninety percent | 90%
seventy six per cent | 76%
50 % | 50%
double oh seven | 007
nine one one | 911
nine double one | 911
one triple oh one | 10001
two dollars and seventy cents | $2.70
3 cents | ¢3
$0.36 | ¢36
three euros and sixty five cents | €3.65
three and a half million | 3500000
forty eight and a half dollars | $48.5
six and a half | 6.5
6½ sacks | 6.5 sacks
minus five hundred | minus 500
-500 | minus 500
1,234 | 1234
ten to one | 10 to 1
two hundred and sixty and five | 260 and 5
twenty and five | 20 and 5
b747 | b 747
10mm | 10 mm
"""
ORDINALS_AND_YEARS = """
nineteen ninety nine | 1999
twenty nineteen | 2019
two thousand one | 2001
nineteen oh five | 1905
nineteen fifties | 1950s
the '90s | the 90s
two thousand twenty twenty | 2020 20
thirty first | 31st
thirty three thousand and three hundred and third | 33303rd
two thousandth | 2000th
10 th | 10th
july third twenty twenty | july 3rd 2020
August twenty-sixth, twenty twenty-one | august 26th 2021
"""
WORDS = """
Let's | let us
he's like | he is like
she's been like | she has been like
I won't, can't and cannot | i will not can not and can not
they'd've | they would have
John’s book | john is book
five o'clock | 5 oclock
Mr. Park visited Assoc. Prof. Kim Jr. | mister park visited associate professor kim junior
Mr. O'Neil | mister o neil
um, so -- uh -- yes | so yes
[noise] hello (laughs) <unk> | hello
a well-known x-ray | a well known x ray
café naïve Straße | cafe naive strasse
the neighbour's coloured centre organised travelling | the neighbor is colored center organized traveling
THE U.S. ARMY | the u s army
한국어, 텍스트 | 한국어 텍스트
double trouble | double trouble
point taken | point taken
the pound is | the pound is
oh one thing | oh 1 thing
"""
LIBRISPEECH = """
Mr. O'Neil can't; 'quoted' rock 'n' roll | mr o'neil can't quoted rock n roll
It’s well-known -- truly! | it's well known truly
Nineteen ninety-nine, 20% | nineteen ninety nine 20
Café,  naïve_test | café naïve test
한국어, 텍스트 | 한국어 텍스트
... |
"""
VOCABULARY = [*SMALL, *SCALES, *ZEROS, *REPEATS, *CURRENCIES, *FRACTIONS]
VOCABULARY += "and a point percent per cent first third fifties millions thousandth minus st s th the x-ray".split()
VOCABULARY += "3 14 3.5 $2 20% ¢5 1,234 10mm um (x) [y mr. o'clock it's 's can't '90s -5 ½ 6½ colour $0.36 .5".split()


def table(text: str) -> list[tuple[str, str]]:
    """Rows of `before | after`."""
    rows = (line.split("|") for line in text.splitlines() if line.strip())
    return [(before.strip(), after.strip()) for before, after in rows]


@pytest.mark.parametrize(("before", "after"), table(NUMBERS) + table(ORDINALS_AND_YEARS) + table(WORDS))
def test_whisper_golden_table(before: str, after: str) -> None:
    apply = get_normalizer("whisper").apply
    assert apply(before) == after
    assert apply(after) == after


@pytest.mark.parametrize(("before", "after"), table(LIBRISPEECH))
def test_librispeech_golden_table(before: str, after: str) -> None:
    apply = get_normalizer("librispeech").apply
    assert apply(before) == after
    assert apply(after) == after


def test_none_leaves_the_text_as_it_is() -> None:
    assert get_normalizer("none").apply(" Two  Dogs,\n") == " Two  Dogs,\n"


@pytest.mark.parametrize("name", NORMALIZERS)
@settings(max_examples=60, deadline=None)
@given(text=st.text(max_size=40))
def test_normalising_twice_is_normalising_once_on_any_text(name: str, text: str) -> None:
    once = NORMALIZERS[name].apply(text)
    assert NORMALIZERS[name].apply(once) == once


@settings(max_examples=150, deadline=None)
@given(words=st.lists(st.sampled_from(VOCABULARY), max_size=9))
def test_normalising_twice_is_normalising_once_on_numbers_in_any_order(words: list[str]) -> None:
    once = NORMALIZERS["whisper"].apply(" ".join(words))
    assert NORMALIZERS["whisper"].apply(once) == once


@settings(max_examples=100, deadline=None)
@given(number=st.integers(1, 999_999))
def test_every_spelled_out_number_becomes_its_digits(number: int) -> None:
    assert spoken_to_digits(spell(number)) == str(number)


def spell(number: int) -> str:
    """English words of a number below a million, as people write them."""
    words = {int(digits): word for word, digits in SMALL.items()}
    if number >= 1000:
        return " ".join([spell(number // 1000), "thousand", *([spell(number % 1000)] if number % 1000 else [])])
    if number >= 100:
        return " ".join([words[number // 100], "hundred", *(["and", spell(number % 100)] if number % 100 else [])])
    if number in words:
        return words[number]
    return f"{words[number // 10 * 10]} {words[number % 10]}"


def test_american_spelling_leaves_american_alone_and_other_words_too() -> None:
    text = "the color of our four hours devour a glamorous tour advise promise exercise well called metric"
    assert american(text) == text


def test_an_unknown_normalizer_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SettingsError, match="'wisper'; known are none, librispeech, whisper"):
        get_normalizer("wisper")


def test_versions_belong_to_what_the_normalizers_do() -> None:
    """A change of output must raise the version: then change both here."""
    known = {normalizer.name: (normalizer.version, normalizer.fingerprint) for normalizer in NORMALIZERS.values()}
    assert known == {
        "none": ("1", "618ab3c7e9c1"),
        "librispeech": ("1", "baeb80385406"),
        "whisper": ("1", "610534f7e6d9"),
    }
