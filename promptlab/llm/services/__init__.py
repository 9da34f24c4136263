"""What changes providers, models and prices: one verb a function, with its entry in the activity log."""
