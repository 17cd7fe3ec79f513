"""Webhooks: where messages may go, how they are signed and sent, and when they are sent again."""
