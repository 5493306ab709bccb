"""British spelling to American: a small table of the words that recognisers and transcribers disagree on."""

from __future__ import annotations

import re

_OUR = (
    "arbour ardour armour behaviour candour clamour colour demeanour endeavour favour fervour flavour glamour harbour "
    "honour humour labour neighbour odour parlour rancour rigour rumour saviour savour splendour tumour valour vapour "
    "vigour"
).split()
_ISE = (
    "agon apolog author capital categor central character civil critic crystall digit econom emphas energ equal "
    "familiar fertil final general global harmon hospital hypothes immun industrial initial ital legal local maxim "
    "mechan memor minim mobil modern national natural neutral normal optim organ patron penal personal polar popular "
    "priorit privat real recogn reorgan revolution scrutin sensit social special stabil standard steril subsid summar "
    "symbol sympath synchron terror total util vandal verbal victim visual"
).split()
_YSE = "analyse catalyse paralyse".split()
_RE = (
    "calibre centre fibre kilometre centimetre millimetre litre lustre meagre metre sabre sombre spectre theatre"
).split()
_DOUBLE_L = (
    "cancel channel counsel dial equal fuel funnel initial jewel label level marvel model pedal quarrel rival shovel "
    "signal total travel tunnel unravel"
).split()
_PAIRS = (
    "aeroplane:airplane aeroplanes:airplanes aluminium:aluminum analogue:analog anaemia:anemia "
    "archaeology:archeology axe:ax catalogue:catalog catalogues:catalogs catalogued:cataloged cheque:check "
    "cheques:checks chequered:checkered cosy:cozy defence:defense defences:defenses dialogue:dialog "
    "dialogues:dialogs draught:draft draughts:drafts enrol:enroll enrolment:enrollment foetus:fetus "
    "fulfil:fulfill fulfilment:fulfillment gaol:jail grey:gray greyer:grayer greyish:grayish greys:grays "
    "instalment:installment instil:instill jewellery:jewelry kerb:curb kerbs:curbs learnt:learned licence:license "
    "licences:licenses manoeuvre:maneuver manoeuvres:maneuvers maths:math moult:molt moustache:mustache mum:mom "
    "offence:offense offences:offenses okay:ok paediatric:pediatric plough:plow ploughed:plowed ploughs:plows "
    "practise:practice practised:practiced practising:practicing pretence:pretense programme:program "
    "programmes:programs pyjamas:pajamas sceptic:skeptic sceptical:skeptical skilful:skillful smoulder:smolder "
    "storey:story storeys:stories sulphur:sulfur tyre:tire tyres:tires whilst:while wilful:willful woollen:woolen"
).split()
_WORDS = {british: spelled for british, _, spelled in (pair.partition(":") for pair in _PAIRS)}

_RULES = (
    (re.compile(rf"\b((?:dis|mis|un)?(?:{'|'.join(word[:-2] for word in _OUR)}))ur(?!ous)"), r"\1r"),
    (re.compile(rf"\b({'|'.join(_ISE)})is(?=(?:e|ed|er|ers|es|ing|able|ation|ations|ational)\b)"), r"\1iz"),
    (re.compile(rf"\b({'|'.join(word[:-2] for word in _YSE)})s(?=(?:e|ed|er|ers|ing)\b)"), r"\1z"),
    (re.compile(rf"\b({'|'.join(word[:-2] for word in _RE)})re(s?)\b"), r"\1er\2"),
    (re.compile(rf"\b({'|'.join(word[:-2] for word in _RE)})red\b"), r"\1ered"),
    (re.compile(rf"\b({'|'.join(_DOUBLE_L)})l(?=(?:ed|er|ers|ing|ings)\b)"), r"\1"),
)


def american(text: str) -> str:
    """The text, in lower case, with American spelling.

    >>> american("the neighbour's grey theatre organised a catalogue")
    "the neighbor's gray theater organized a catalog"
    """
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return " ".join(_WORDS.get(word, word) for word in text.split(" "))
