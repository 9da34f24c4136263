"""Receipts: what was served, signed, so that whoever was served can say later what it was about, from anywhere.

A receipt of an answer names one row and needs no key to be rated. A shared one stands in the delivery payload, where
everybody who is served the same text finds the same: with it goes a key, and who was served.
"""

from __future__ import annotations

import time
from dataclasses import astuple, dataclass, fields

from django.conf import settings

from experiments.errors import ReceiptExpired, ReceiptInvalid
from promptlab.lib import signed

PURPOSE = "receipt"
CHECKSUM_CHARACTERS = 16
LEEWAY_S = 600
"""How far another server's clock may be ahead."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was served. Ids are 0 where there is none; `slot` is -1 where nobody was assigned.

    `unit` is a pseudonym, and empty in a shared receipt, as is `answer`, the message's uid in hex. `at` is Unix time.
    """

    team_id: int
    prompt_id: int
    version_id: int
    checksum: str
    environment_id: int
    revision: int
    at: int
    experiment_id: int = 0
    phase: int = 0
    variant_id: int = 0
    slot: int = -1
    unit: str = ""
    answer: str = ""

    @property
    def is_shared(self) -> bool:
        return not self.answer

    @property
    def is_forced(self) -> bool:
        """Whether the unit was on the experiment's list for trying a variant out: it has no variant that counts."""
        return bool(self.experiment_id) and not self.variant_id


TYPES = {"str": str, "int": int}


def write(receipt: Receipt) -> str:
    """Return the receipt as a token of about 200 characters. The same receipt gives the same token."""
    return signed.sign(PURPOSE, astuple(receipt))


def read(token: str) -> Receipt:
    """Return what a token says. Raises ReceiptInvalid for one that is not ours, ReceiptExpired for an old one."""
    try:
        receipt = Receipt(*signed.read(PURPOSE, token))  # type: ignore[arg-type]
    except (signed.BadToken, TypeError) as error:
        raise ReceiptInvalid from error
    assert all(type(getattr(receipt, one.name)) is TYPES[str(one.type)] for one in fields(receipt)), "we wrote it"
    age_s = time.time() - receipt.at
    if age_s < -LEEWAY_S:
        raise ReceiptInvalid
    # A shared one lives as long as what it stands for is served; what is rated with it is dated by itself.
    if not receipt.is_shared and age_s > settings.RECEIPT_DAYS * 86_400:
        raise ReceiptExpired(days=settings.RECEIPT_DAYS)
    return receipt


def pseudonym(team_id: int, unit_id: str) -> str:
    """Return what stands for a unit in a receipt; empty for nobody."""
    return signed.pseudonym(PURPOSE, f"{team_id}:{unit_id}") if unit_id else ""
