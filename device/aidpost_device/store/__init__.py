"""The store: people, studies, scans and readings in one SQLite file that survives a power cut."""
