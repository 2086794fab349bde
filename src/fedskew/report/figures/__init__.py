"""The figures of a report: charts in the page, plates in files."""
