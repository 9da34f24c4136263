"""Spanish: `1.234,5` and `13 nov 2026`. Django writes a space and whole names, which are too long for tables."""

DATE_FORMAT = "j b Y"
DATETIME_FORMAT = "j b Y, H:i"
DECIMAL_SEPARATOR = ","
THOUSAND_SEPARATOR = "."
NUMBER_GROUPING = 3
