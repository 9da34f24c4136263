"""Everybody's page about themselves: name, language, colours, keys, mails, roles, and ending sessions elsewhere."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from promptlab.accounts import services
from promptlab.accounts.access import Principal
from promptlab.accounts.modeladmin import HouseForm, acting, asks, role_names, sent
from promptlab.accounts.models import Membership, User
from promptlab.hooks.models import MailKind
from promptlab.hooks.services import choosing
from promptlab.lib.errors import DomainError

SIGN_OUT = "sign_out"
"""What the button "Sign out everywhere else" sends as `act`."""


class AccountForm(HouseForm):
    """What people say of themselves."""

    first_name = forms.CharField(
        label=_("First name"), max_length=150, error_messages=asks(_("Write your first name."))
    )
    last_name = forms.CharField(label=_("Last name"), max_length=150, required=False)
    has_single_keys = forms.BooleanField(
        label=_("Single keys do something"),
        required=False,
        help_text=_("Such as / for the search. Switch it off if you speak to your computer."),
    )
    mails = forms.MultipleChoiceField(
        label=_("Send me a mail when"),
        choices=MailKind.choices,
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("Nobody gets a mail about what they did themselves."),
    )


def account_page(request: HttpRequest, frame: dict[str, Any]) -> HttpResponse:
    """Show somebody their own account; a POST changes it, or ends their sessions on other devices."""
    person, actor = request.user, acting(request)
    assert isinstance(person, User)
    if request.method == "POST" and request.POST.get("act") == SIGN_OUT:
        update_session_auth_hash(request, services.sign_out_everywhere(actor))
        return _said(request, gettext("You are signed out everywhere else."))
    initial = {
        "first_name": person.first_name,
        "last_name": person.last_name,
        "has_single_keys": person.has_single_keys,
        "mails": [kind for kind, is_on in choosing.choices_of(person.pk).items() if is_on],
    }
    form = AccountForm(sent(request), initial=initial)
    if request.method == "POST" and form.is_valid():
        try:
            _change(actor, form.cleaned_data)
            return _said(request, gettext("Your account is saved."))
        except DomainError as error:
            form.refuse(error)
    held: dict[Any, list[str]] = {}
    for membership in Membership.objects.filter(user=person).select_related("team"):
        held.setdefault(membership.team, []).append(membership.role)
    context = {
        "title": _("Your account"),
        "form": form,
        "address": person.email,
        "roles": [(team, ", ".join(role_names(roles))) for team, roles in held.items()],
        "breadcrumbs": [],
    }
    return TemplateResponse(request, "admin/account.html", {**frame, **context})


def _change(actor: Principal, filled: dict[str, Any]) -> None:
    services.change_own_account(
        actor,
        first_name=filled["first_name"],
        last_name=filled["last_name"],
        has_single_keys=filled["has_single_keys"],
    )
    choosing.choose_mails(actor, {kind: kind in filled["mails"] for kind in MailKind.values})


def _said(request: HttpRequest, sentence: str) -> HttpResponse:
    messages.success(request, sentence)
    return HttpResponseRedirect(reverse("admin:account"))
