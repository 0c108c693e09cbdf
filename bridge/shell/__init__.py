"""The only code that waits: runner, provider sockets, pacer, tools, records, stores."""
