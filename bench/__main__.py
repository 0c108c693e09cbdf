"""`python -m bench`: the media-stream edge under load."""

from bench.edge import main

main()
