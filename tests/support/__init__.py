"""What every test may use: the cast, makers, and callers of the two kinds of doors."""
