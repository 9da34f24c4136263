"""The forms of providers' pages: how one is reached, with which key, and what its models cost."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from promptlab.accounts.modeladmin import HouseForm, TeamForm, asks
from promptlab.llm import finding
from promptlab.llm.models import Price, Provider
from promptlab.llm.services import providing

LIMITS = {
    "connect_timeout_s": _("Longest wait to connect"),
    "first_token_timeout_s": _("Longest wait for the first word"),
    "deadline_s": _("Longest time for an answer"),
}
MASKED = {
    finding.EMAIL: _("E-mail addresses"),
    finding.PHONE: _("Phone numbers"),
    finding.CARD: _("Card numbers"),
    finding.IBAN: _("Bank accounts (IBAN)"),
}


def fields() -> dict[str, forms.Field]:
    """Return what can be said of a provider, but for its key."""
    seconds = _("In seconds. Empty: as the settings of this installation say.")
    return {
        "name": forms.CharField(label=_("Name"), max_length=50, error_messages=asks(_("Give the provider a name."))),
        "kind": forms.ChoiceField(label=_("Kind"), choices=Provider.Kind.choices),
        "address": forms.CharField(
            label=_("Address"),
            max_length=1000,
            required=False,
            help_text=_("Begins with https://, most end in /v1. May be empty for OpenAI, Google and Anthropic."),
        ),
        "api_version": forms.CharField(
            label=_("API version"), max_length=40, required=False, help_text=_("Only Azure asks for one.")
        ),
        "region_note": forms.CharField(
            label=_("Region and privacy"),
            max_length=300,
            required=False,
            help_text=_("Shown to everybody who chooses a model: where texts go, and what may not be sent."),
        ),
        "masked": forms.MultipleChoiceField(
            label=_("Replaced before a call"),
            choices=list(MASKED.items()),
            required=False,
            widget=forms.CheckboxSelectMultiple,
            help_text=_("The provider gets tokens such as [EMAIL_1]; callers get the values back in the answer."),
        ),
        "on_hang_up": forms.ChoiceField(
            label=_("When the caller hangs up"),
            choices=Provider.OnHangUp.choices,
            help_text=_("Providers that bill the whole answer all the same are better read to the end."),
        ),
        "connect_timeout_s": forms.FloatField(label=_("Longest wait to connect"), required=False, help_text=seconds),
        "first_token_timeout_s": forms.FloatField(
            label=_("Longest wait for the first word"), required=False, help_text=seconds
        ),
        "deadline_s": forms.FloatField(label=_("Longest time for an answer"), required=False, help_text=seconds),
    }


def initial(provider: Provider) -> dict[str, Any]:
    """Return what a provider's form begins with."""
    return {name: getattr(provider, name) for name in fields()} | {"masked": provider.masked_list}


def key_fields() -> dict[str, forms.Field]:
    """Return where a key comes from. What was typed is never sent back to the browser."""
    hidden = forms.PasswordInput(render_value=False, attrs={"autocomplete": "off"})
    return {
        "key": forms.CharField(
            label=_("Key"),
            max_length=providing.LONGEST_KEY,
            required=False,
            widget=hidden,
            help_text=_("Stored sealed. Nobody can read it here again."),
        ),
        "key_variable": forms.CharField(
            label=_("Or the variable that holds it"),
            max_length=100,
            required=False,
            help_text=_("The name of a variable of the environment that the operator allows."),
        ),
    }


class NewProviderForm(TeamForm):
    """A provider to be."""

    field_order = ["team", "name", "kind", "address", "key", "key_variable", "api_version", "region_note"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields.update({**fields(), **key_fields()})
        self.order_fields(self.field_order)


class ProviderForm(HouseForm):
    """A provider that is there. Its key is asked for only because another address wants it again."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields.update(fields())
        self.fields["key"] = key_fields()["key"]
        self.fields["key"].help_text = _("Empty: the one that is stored. An address at another host takes it again.")
        self.order_fields(["name", "kind", "address", "key"])


class KeyForm(HouseForm):
    """Another key."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields.update(key_fields())


class ConfirmForm(HouseForm):
    """Removing what others use: its name is typed."""

    named = {"provider_in_use": "confirm"}
    confirm = forms.CharField(label=_("Type the provider's name"), max_length=50)


class PriceForm(HouseForm):
    """A price to be."""

    model = forms.CharField(
        label=_("Model"), max_length=200, help_text=_("By the provider's name for it, without a date.")
    )
    token = forms.ChoiceField(label=_("Tokens"), choices=Price.Token.choices)
    usd_per_million = forms.DecimalField(label=_("US dollars for a million"), max_digits=14, decimal_places=6)
    valid_from = forms.DateTimeField(label=_("From"), required=False, help_text=_("Empty: from now on."))
    valid_to = forms.DateTimeField(label=_("Until"), required=False, help_text=_("Empty: until another one begins."))
