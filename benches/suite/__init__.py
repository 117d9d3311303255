"""The benchmark suite: what is measured (rows), with what (build), how (measure), and how it is told (report, plot)."""
