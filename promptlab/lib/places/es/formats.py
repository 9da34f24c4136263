"""Spanish: `1.234,5`. Django sets thousands apart by a space; tables of numbers are read more easily with the mark."""

DECIMAL_SEPARATOR = ","
THOUSAND_SEPARATOR = "."
NUMBER_GROUPING = 3
