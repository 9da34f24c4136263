"""What can be done to experiments: one function per verb."""
