"""`iclal prepare`: a corpus in its official layout becomes checked utterances, with an account of every item."""

from __future__ import annotations

# A corpus is one file with `Options` and `read` (see `iclal.data.corpora.reader`) and one line here.
CORPORA = {
    "librispeech": "iclal.data.corpora.librispeech",
    "ami": "iclal.data.corpora.ami",
    "qmsum": "iclal.data.corpora.qmsum",
    "spoken-squad": "iclal.data.corpora.spoken_squad",
    "wavprompt": "iclal.data.corpora.wavprompt",
    "slurp": "iclal.data.corpora.slurp",
    "fluent-speech-commands": "iclal.data.corpora.fluent_speech_commands",
    "digits": "iclal.data.corpora.digits",
    "ljspeech": "iclal.data.corpora.ljspeech",
    "speechocean762": "iclal.data.corpora.speechocean762",
    "folder": "iclal.data.corpora.folder",
    "lhotse": "iclal.data.corpora.lhotse",
}
