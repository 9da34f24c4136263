"""Prompts as files: our bundle and the formats of others. Pure: text in, dataclasses out, and back. No tables here."""
