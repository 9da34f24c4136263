"""Which language a text is in, where that is sure: by its script, or by the small words that only one language uses.

A text that is short, mixed, or in a language that is not listed has none. Nothing here guesses.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Final

LEAST_HITS: Final = 3
"""So many small words have to be there."""
AHEAD: Final = 2
"""So many times as many as of the next language."""
_LETTERS: Final = re.compile(r"[^\W\d_]+")
_WORDS: Final[Mapping[str, frozenset[str]]] = {
    code: frozenset(words.split())
    for code, words in {
        "en": "the and of to is are was you your we our it this that with for have has not will can be they from or if",
        "es": "el los las y es son está que de del una con por para su no lo le usted su como más pero hay puede se al",
        "fr": "le les et est sont vous votre nous notre une des du dans pour pas avec que qui ne sur ce cette il elle à au",
        "de": "der die das und ist sind sie wir nicht ein eine einen mit für auf den dem zu von ihr ihre ich es auch werden",
        "it": "il lo gli e è sono che di della del una con per non più su come ma si alla questo suo può le nel anche",
        "pt": "o os as e é são que de da do uma com para não você seu sua por mais como mas em no na se ao pode",
        "nl": "de het een en is zijn dat van niet met voor op u uw we ik je te aan er ook maar wordt kunt kan naar bij",
        "pl": "i jest są nie na do się że w z to jak dla po przez ale jego może od czy tylko oraz",
        "sv": "och är att det som en ett på av för med inte den du vi har till kan om men din vår",
    }.items()
}
_SCRIPTS: Final[Mapping[str, str]] = {
    "ja": "\u3041-\u30ff",
    "ko": "\uac00-\ud7a3",
    "zh": "\u4e00-\u9fff",
    "el": "\u0370-\u03ff",
    "he": "\u0590-\u05ff",
    "ar": "\u0600-\u06ff",
    "ru": "\u0400-\u04ff",
    "th": "\u0e00-\u0e7f",
}
_NOT: Final[Mapping[str, str]] = {"ar": "پچژگکی", "ru": "іїєґўјљњћђ"}
"""Letters of other languages in the same script: a text with one of them is none of ours."""
LANGUAGES: Final = tuple(sorted({*_WORDS, *_SCRIPTS}))


def language_of(text: str) -> str | None:
    """Return the code of the language that a text is in, one of `LANGUAGES`; None where that is not sure."""
    letters = sum(map(len, _LETTERS.findall(text)))
    if not letters:
        return None
    for code, script in _SCRIPTS.items():
        own = len(re.findall(f"[{script}]", text))
        # Japanese writes with Chinese characters, too: a fifth in its own letters tells it.
        if own / letters > (0.2 if code == "ja" else 0.6):
            return None if set(text.lower()) & set(_NOT.get(code, "")) or own < LEAST_HITS else code
    return _by_words(text)


def _by_words(text: str) -> str | None:
    words = Counter(_LETTERS.findall(text.lower()))
    hits = {code: sum(words[word] for word in known) for code, known in _WORDS.items()}
    (best, most), (_, next_most) = sorted(hits.items(), key=lambda one: -one[1])[:2]
    return best if most >= LEAST_HITS and most >= AHEAD * next_most else None
