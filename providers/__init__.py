"""How each realtime provider speaks: commands to messages, messages to events, failures classified.

No sockets, no clock.
"""
