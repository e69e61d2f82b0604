"""Exported and compiled networks: kept in files, and proved before they are used."""
