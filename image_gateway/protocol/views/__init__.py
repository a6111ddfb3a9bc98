"""Layouts of emulators: each module maps the file names of one client to byte ranges of the raw image."""
