"""The tables of a report, and the formats they are written in."""
