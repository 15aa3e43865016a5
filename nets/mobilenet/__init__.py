"""MobileNet v2, v3 and for the Edge TPU: one machinery, tables of layers."""
