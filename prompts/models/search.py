"""What is searched of a prompt: one row each, written by `services.indexing`, asked by `prompts.search`."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from prompts.models.prompt import Prompt


class SearchDocument(models.Model):
    """A prompt's texts as `lib.words` compares them. They can all be made again from the prompt and its versions.

    Beside these columns the database keeps what finds a word quickly: PostgreSQL a column `vector` of lexemes with its
    index, SQLite the FTS5 table `prompts_searchindex`. Both have the words of every field, and what the words of title
    and short name end with.
    """

    prompt = models.OneToOneField(Prompt, models.CASCADE, primary_key=True, related_name="search_document")
    title = models.TextField(_("title"))
    name = models.TextField(_("short name"))
    description = models.TextField(_("what it is for"))
    words = models.TextField(_("words of all fields"))

    class Meta:
        verbose_name = _("searched text")
        verbose_name_plural = _("searched texts")

    def __str__(self) -> str:
        return str(self.prompt)
