"""The test caller: acts as a carrier's media stream, speaks from a file, and measures what it hears."""
