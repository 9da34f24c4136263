"""What server and SDK must agree on to the last byte: wire shapes, template rendering, variant assignment.

Standard library only. The server is the first user; the SDK ships it.
"""
