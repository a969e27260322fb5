"""Requests, events and the nouns that every part shares. Imports the standard library only; does no I/O."""
