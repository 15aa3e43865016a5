"""Data sets: converters that write TFRecords, the table of known data sets, and the input pipeline."""
