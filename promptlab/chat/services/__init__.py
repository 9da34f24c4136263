"""What happens in a conversation: a turn, its sums, and closing what was abandoned."""
