"""Emulators of the providers: real servers, real speech, faults on cue. They import `audio` and nothing of `providers`."""
