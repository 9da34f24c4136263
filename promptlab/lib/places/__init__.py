"""How numbers and dates are written where a language's own way is wanted, a folder per language (FORMAT_MODULE_PATH)."""
