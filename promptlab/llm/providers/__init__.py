"""One file per kind of provider; `making` finds them by name."""
