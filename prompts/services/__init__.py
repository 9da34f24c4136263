"""What can be done to prompts: one function per verb, actor first, permission, change and audit in one transaction."""
