"""Where callers come in. A new way in is one file that offers a `Leg`."""
