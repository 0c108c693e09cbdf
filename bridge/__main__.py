"""`python -m bridge` is `segue`."""

from bridge.cli import main

if __name__ == "__main__":
    main()
