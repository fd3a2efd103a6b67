"""Speculative decoding: guess the next tokens cheaply, compute them in one step, keep those that were right."""
