"""Sound as values: frames, codecs, resampling, voice activity, turns, tape, playout. No asyncio, clock or logging."""
