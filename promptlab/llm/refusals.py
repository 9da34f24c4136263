"""What providers, models and prices refuse. No message ever holds a key."""

from __future__ import annotations

from django.utils.translation import gettext_noop as _

from promptlab.lib.errors import Conflict, Invalid, NotFound
from promptlab.llm.errors import LLMError


class ModelOff(LLMError):
    """An administrator switched off the model, or the provider that answers for it."""

    code = "model_not_allowed"
    status = 403
    detail = _("The model {model!r} is switched off. Choose one of those that are offered.")

    def __init__(self, model: str) -> None:
        super().__init__(model=model[:100])


class NoModelOfTier(LLMError):
    """A team has no model of a tier that is on."""

    code = "no_model_of_tier"
    status = 400
    detail = _("No model of the tier {tier!r} is offered. Name a model, or have an administrator give one this tier.")


class ProviderNotReady(LLMError):
    """The provider has no key, or one that cannot be read, or its address is not allowed any more."""

    code = "provider_not_ready"
    status = 503
    detail = _("The provider {provider!r} cannot be called: {reason}. An administrator has to look at it.")


class ProviderNotFound(NotFound):
    code = "provider_not_found"
    detail = _("There is no such provider.")


class ModelRowNotFound(NotFound):
    code = "model_row_not_found"
    detail = _("There is no such model.")


class PriceNotFound(NotFound):
    code = "price_not_found"
    detail = _("There is no such price.")


class NameTaken(Conflict):
    code = "name_taken"
    detail = _("There is already {what} called {name!r}. Choose another name.")


class NameReserved(Invalid):
    code = "name_reserved"
    detail = _("{name!r} is built in. Choose another name.")


class AddressNeeded(Invalid):
    code = "address_needed"
    detail = _("A provider of this kind has no address of its own. Give the one that it is called at.")


class KeyNeeded(Invalid):
    code = "key_needed"
    detail = _("The address leads to another host. Enter the key again: it goes nowhere it was not meant for.")


class KeyUnreadable(Invalid):
    code = "key_unreadable"
    detail = _("A key is one line of letters, digits and signs, without blanks.")


class VariableRefused(Invalid):
    """One sentence for every reason: which variables there are is the operator's business."""

    code = "variable_refused"
    detail = _(
        "This variable is not one that the operator lets providers use at this host (LLM_KEY_VARIABLES, LLM_KEY_HOSTS)."
    )


class ProviderInUse(Conflict):
    code = "provider_in_use"
    detail = _("The provider {provider!r} answers for {models}. Confirm with its name to remove it all the same.")


class TooManyProviders(Conflict):
    code = "too_many_providers"
    detail = _("A team has at most {most} providers. Remove one first.")


class TooManyModels(Conflict):
    code = "too_many_models"
    detail = _("A team has at most {most} models. Remove one first.")


class UnknownFallback(Invalid):
    code = "unknown_fallback"
    detail = _("There is no other model {model!r} of this team to fall back to.")


class PriceOverlap(Conflict):
    code = "price_overlap"
    detail = _(
        "There is already a price for these tokens at that time, from {since}. Choose another time, or remove it."
    )
